/**
 * What tasks record of themselves beside their numbers: where they run, what they read, what they cost. The rows are
 * `lib/report/provenance.ts`; this asks backends, models and data for them.
 */
import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import type { StoredExamples } from "../data/features.ts";
import { askedIn, type Suite } from "../data/suites.ts";
import { nameOfFolder } from "../hub/model.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { openCheckpoint } from "../io/checkpoint.ts";
import { readJson } from "../io/json.ts";
import { hashWeights, type Target } from "../model/load.ts";
import { type Environment, readEnvironment } from "../report/environment.ts";
import { hashOf, peakBytes, type RanCommand, type ReadThing } from "../report/provenance.ts";
import { TRAINING_FILE, type TrainingRecord } from "../report/stored_run.ts";

/** Declared option of tasks whose runs are reported. */
export const QUESTION_OPTION = {
  type: "string",
  describe: "what this run is to answer: stands on its report",
} as const;

/** Where the backend is, with the runtime's version and the adapter where it has them. */
export function environmentOf(backend: Backend): Promise<Environment> {
  const { version, adapter } = backend as { version?: string; adapter?: string };
  const name = version === undefined ? backend.name : `${backend.name} ${version}`;
  return readEnvironment({ backend: name, adapter });
}

/** Bytes of the weight files of a folder. */
async function weightBytes(folder: string): Promise<number> {
  const names = (await readdir(folder)).filter((n) => /\.(safetensors|bin)$/.test(n));
  const sizes = await Promise.all(names.map(async (n) => (await stat(join(folder, n))).size));
  return sizes.reduce((a, b) => a + b, 0);
}

export async function targetThing({ folder, identity }: Target): Promise<ReadThing> {
  return { name: nameOfFolder(folder), hash: identity, bytes: await weightBytes(folder) };
}

export async function draftThing(folder: string): Promise<ReadThing> {
  using file = openCheckpoint(folder);
  const hash = await hashWeights(file.path);
  return { name: nameOfFolder(folder), hash, bytes: await weightBytes(folder) };
}

/** A suite as it was asked: the hash is of ids and texts, whatever file they stood in. */
export function suiteThing({ questions }: Suite, name: string): ReadThing {
  const hash = hashOf([JSON.stringify(questions.map((q) => [q.id, ...askedIn(q)]))]);
  return { name, hash, count: questions.length };
}

/** Training data: the hash is of ids and masks; features follow from these and the target. */
export function dataThing({ folder, count, lengths, readText }: StoredExamples): ReadThing {
  const parts = function* () {
    for (let i = 0; i < count; i++) {
      const { id, ids, mask } = readText(i);
      yield `${id} ${ids.length}\n`;
      yield new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
      yield mask;
    }
  };
  return { name: folder, hash: hashOf(parts()), count, tokens: lengths.reduce((a, b) => a + b, 0) };
}

/** File of a data folder that says how it was made. */
const DATA_FILE = "data.json";

export async function writeDataCommand(folder: string, command: RanCommand): Promise<void> {
  await writeFileAtomic(join(folder, DATA_FILE), `${JSON.stringify({ command })}\n`);
}

export async function readDataCommand(folder: string): Promise<RanCommand | undefined> {
  const path = join(folder, DATA_FILE);
  return existsSync(path) ? (await readJson(path)).command as RanCommand : undefined;
}

/** The record of a training: written when its first update is done, and once more at its end. */
export async function openTrainingRecord(
  folder: string,
  record: TrainingRecord,
): Promise<{ begin(): Promise<void>; finish(tokens: number): Promise<void> }> {
  const path = join(folder, TRAINING_FILE), began = performance.now();
  let begun = false;
  const known = existsSync(path)
    ? await readJson(path) as unknown as Partial<TrainingRecord>
    : undefined;
  // The first start is what the run is; a later one that differs in nothing but the date adds nothing.
  const here = ({ date: _, ...rest }: Environment) => JSON.stringify(rest);
  const places = [known?.environment, ...known?.resumed ?? []].flatMap((e) => e ? [here(e)] : []);
  const isNew = known !== undefined && !places.includes(here(record.environment));
  const own: TrainingRecord = {
    ...record,
    ...known,
    ...(isNew && { resumed: [...known.resumed ?? [], record.environment] }),
  };
  const write = () => writeFileAtomic(path, `${JSON.stringify(own)}\n`);
  return {
    async begin() {
      if (begun) return;
      begun = true;
      await write();
    },
    async finish(tokens) {
      const seconds = (performance.now() - began) / 1000, before = own.cost;
      own.cost = {
        seconds: seconds + (before?.seconds ?? 0),
        tokens: tokens + (before?.tokens ?? 0),
        peakBytes: Math.max(peakBytes(), before?.peakBytes ?? 0),
      };
      own.drafts = [];
      for (let step = 1; existsSync(join(folder, `step-${step}`, "draft")); step++) {
        const { hash, bytes = 0 } = await draftThing(join(folder, `step-${step}`, "draft"));
        own.drafts.push({ step, folder: `step-${step}/draft`, hash, bytes });
      }
      await write();
    },
  };
}
