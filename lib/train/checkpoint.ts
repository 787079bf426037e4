/**
 * Training state on disk: a folder a checkpoint, complete or absent, the last two kept. It holds the draft
 * under its published names, the optimiser's state, and where the run stands; random numbers need no state,
 * and the place in the data is the number of updates made.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { PARTIAL, removeFolderAtomic, writeFileAtomic, writeFolderAtomic } from "../io/atomic.ts";
import { readJson } from "../io/json.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../io/safetensors.ts";
import { type Shape, sizeOf } from "../graph/node.ts";
import { type Draft, readDraft, writeDraft } from "../model/load.ts";
import type { Recipe } from "./recipe.ts";
import { AVERAGE, optimizerShapes } from "./step.ts";

/** Checkpoints kept: the newest, and the one before in case the newest is found wanting. */
const KEPT = 2;

/** The validation that did best so far. */
export interface Best {
  /** Updates made by then. */
  step: number;
  tau: number;
}

/** All that a run needs to go on. */
export interface TrainingState extends Draft {
  /** The optimiser's state: `first.NAME`, `second.NAME`, perhaps `average.NAME`. */
  optimizer: Record<string, Float32Array>;
  /** Updates made. */
  step: number;
  best?: Best;
  /** Updates made by the last validation. */
  validated?: number;
  /** What the run was started with; a different one is refused on resume. */
  settings: string;
}

/** The optimiser's state of a fresh run: moments of zero, means equal to the parameters. */
export function freshOptimizer(
  { config, parameters }: Draft,
  { recipe }: { recipe: Recipe },
): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(optimizerShapes(config, recipe)).map(([key, shape]) => {
      const [kind, name] = splitKey(key);
      return [key, kind === AVERAGE ? parameters[name].slice() : new Float32Array(sizeOf(shape))];
    }),
  );
}

const splitKey = (key: string): [kind: string, name: string] => {
  const at = key.indexOf(".");
  return [key.slice(0, at), key.slice(at + 1)];
};

/** The draft that is validated and kept: its running mean where there is one. */
export function trainedDraft({ config, parameters, tokens, optimizer }: TrainingState): Draft {
  const mean = (name: string) => optimizer[`${AVERAGE}.${name}`] ?? parameters[name];
  return {
    config,
    parameters: Object.fromEntries(Object.keys(parameters).map((name) => [name, mean(name)])),
    ...(tokens !== undefined && { tokens }),
  };
}

async function listed(folder: string, kind: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.filter((n) => n.startsWith(`${kind}-`) && /^[a-z]+-\d+$/.test(n)).sort();
}

const numbered = (kind: string, step: number) => `${kind}-${String(step).padStart(7, "0")}`;

async function removeAll(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) await removeFolderAtomic(join(folder, name));
}

/** What a killed run was writing or removing. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!/^(update|best)-\d+\./.test(name) || !name.endsWith(PARTIAL)) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Shape of a piece of the optimiser's state is that of its parameter. */
function tensorsOf({ config, optimizer }: TrainingState): Record<string, TensorToWrite> {
  const shapes: Record<string, Shape> = optimizerShapes(config, {
    average: Object.keys(optimizer).some((key) => key.startsWith(AVERAGE)) ? 0.5 : 0,
  });
  return Object.fromEntries(
    Object.entries(shapes).map(([key, shape]) => [key, { shape, data: optimizer[key] }]),
  );
}

/**
 * Writes a checkpoint and removes all but the last two, the oldest before the new one gets its name: at no
 * moment there are three. Returns its folder.
 * @throws when the disk is full or not writable; earlier checkpoints stay as they were.
 */
export async function saveCheckpoint(folder: string, state: TrainingState): Promise<string> {
  const own = numbered("update", state.step), path = join(folder, own);
  await writeFolderAtomic(path, async (temporary) => {
    await writeDraft(temporary, state);
    await writeSafetensors(join(temporary, "optimizer.safetensors"), tensorsOf(state));
    const { step, settings, best, validated } = state;
    const json = JSON.stringify({ step, settings, best, validated });
    await writeFileAtomic(join(temporary, "state.json"), `${json}\n`);
    const others = (await listed(folder, "update")).filter((name) => name !== own);
    await removeAll(folder, others.slice(0, Math.max(0, others.length - (KEPT - 1))));
  });
  await removeLeftovers(folder);
  return path;
}

/** The newest checkpoint of a run, if there is one. */
export async function loadCheckpoint(folder: string): Promise<TrainingState | undefined> {
  const name = (await listed(folder, "update")).at(-1);
  if (name === undefined) return undefined;
  const path = join(folder, name), json = await readJson(join(path, "state.json"));
  const draft = await readDraft(path);
  using file = openSafetensors(join(path, "optimizer.safetensors"));
  const optimizer = Object.fromEntries(file.names.map((n) => [n, file.readFloat32(n)]));
  const { step, settings, best, validated } = json as unknown as TrainingState;
  return {
    ...draft,
    optimizer,
    step,
    settings,
    ...(best !== undefined && { best }),
    ...(validated !== undefined && { validated }),
  };
}

/** Writes the best draft so far, then removes the one before. */
export async function saveBest(folder: string, draft: Draft & { step: number }): Promise<void> {
  const name = numbered("best", draft.step);
  await writeFolderAtomic(join(folder, name), (temporary) => writeDraft(temporary, draft));
  await removeAll(folder, (await listed(folder, "best")).filter((n) => n !== name));
}

/** The best draft of a run, as {@link saveBest} left it. @throws when it is not there. */
export async function loadBest(folder: string, { step }: Best): Promise<Draft> {
  return await readDraft(join(folder, numbered("best", step)));
}
