/**
 * Training state on disk: a folder a checkpoint, complete or absent, the last two kept. It holds the draft
 * under its published names, the moments, and where the run stands; random numbers need no state.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic, writeFolderAtomic } from "../io/atomic.ts";
import { readJson } from "../io/json.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../io/safetensors.ts";
import type { DraftConfig } from "../model/config.ts";
import { draftShapes } from "../model/draft.ts";
import { type Draft, readDraft, writeDraft } from "../model/load.ts";
import { MOMENTS } from "./step.ts";

/** Checkpoints kept: the newest, and the one before in case the newest is found wanting. */
const KEPT = 2;

/** All that a run needs to go on. */
export interface TrainingState extends Draft {
  /** Moments by `first.NAME` and `second.NAME`. */
  moments: Record<string, Float32Array>;
  /** Updates made. */
  step: number;
  /** What the run was started with; a different one is refused on resume. */
  settings: string;
}

/** Moments of a fresh run. */
export function zeroMoments(config: DraftConfig): Record<string, Float32Array> {
  const sizes = Object.entries(draftShapes(config)).map(([name, shape]) =>
    [name, shape.reduce((a, b) => a * b, 1)] as const
  );
  return Object.fromEntries(
    sizes.flatMap(([name, size]) => MOMENTS.map((m) => [`${m}.${name}`, new Float32Array(size)])),
  );
}

async function listed(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.filter((n) => /^update-\d+$/.test(n)).sort();
}

/** Writes a checkpoint and removes all but the last two. Returns its folder. */
export async function saveCheckpoint(folder: string, state: TrainingState): Promise<string> {
  const path = join(folder, `update-${String(state.step).padStart(7, "0")}`);
  await writeFolderAtomic(path, async (temporary) => {
    await writeDraft(temporary, state);
    const moments: Record<string, TensorToWrite> = {};
    for (const [name, shape] of Object.entries(draftShapes(state.config))) {
      for (const m of MOMENTS) {
        moments[`${m}.${name}`] = { shape, data: state.moments[`${m}.${name}`] };
      }
    }
    await writeSafetensors(join(temporary, "moments.safetensors"), moments);
    const { step, settings } = state;
    await writeFileAtomic(join(temporary, "state.json"), `${JSON.stringify({ step, settings })}\n`);
  });
  for (const old of (await listed(folder)).slice(0, -KEPT)) {
    await rm(join(folder, old), { recursive: true, force: true });
  }
  return path;
}

/** The newest checkpoint of a run, if there is one. */
export async function loadCheckpoint(folder: string): Promise<TrainingState | undefined> {
  const name = (await listed(folder)).at(-1);
  if (name === undefined) return undefined;
  const path = join(folder, name), { step, settings } = await readJson(join(path, "state.json"));
  const draft = await readDraft(path);
  using file = openSafetensors(join(path, "moments.safetensors"));
  const moments = Object.fromEntries(file.names.map((n) => [n, file.readFloat32(n)]));
  return { ...draft, moments, step: Number(step), settings: String(settings) };
}
