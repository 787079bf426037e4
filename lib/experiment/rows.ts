/**
 * What an experiment found: a row an arm and seed, with the counts of every prompt, from which every number can be
 * made again. A results file is one JSON object with a row a line. Rows become tables in `table.ts`.
 */
import { writeFileAtomic } from "../io/atomic.ts";
import { readJson } from "../io/json.ts";
import type { Counts } from "../eval/two_level.ts";
import type { Recipe } from "../train/recipe.ts";
import type { Settings } from "./experiment.ts";

/** How a draft came to be. */
export interface Training {
  parameters: number;
  passes: readonly number[];
  /** Tokens of training data read, padding left out. */
  tokens: number;
  updates: number;
  /** Time in updates; checkpoints left out. */
  seconds: number;
  /** Of each step; rows of runs before there was this file lack them. */
  recipes?: readonly Recipe[];
}

/** One arm with one seed. */
export interface Row {
  arm: string;
  seed: number;
  /** By measure: a pair a prompt, in the order of the prompts. */
  counts: Record<string, readonly Counts[]>;
  training?: Training;
  /** Time of measuring. */
  seconds?: number;
  /** Hash of the target's weights. */
  target: string;
  date: string;
  commit: string;
}

/** All rows of an experiment and the settings they were made with. */
export interface Results {
  experiment: string;
  settings: Settings;
  rows: readonly Row[];
}

/** Writes a results file: a line a row. */
export async function writeResults(path: string, { rows, ...head }: Results): Promise<void> {
  const lines = rows.map((row) => `    ${JSON.stringify(row)}`).join(",\n");
  const parts = Object.entries(head).map(([key, value]) => `  "${key}": ${JSON.stringify(value)},`);
  await writeFileAtomic(path, `{\n${parts.join("\n")}\n  "rows": [\n${lines}\n  ]\n}\n`);
}

const isCounts = (value: unknown) =>
  Array.isArray(value) && value.length > 0 &&
  value.every((p) => Array.isArray(p) && p.length === 2 && p.every(Number.isFinite));

/** @throws naming the file and the first row that is none, or one that was measured otherwise. */
export async function readResults(path: string): Promise<Results> {
  const { experiment, settings, rows } = await readJson(path) as unknown as Partial<Results>;
  if (typeof experiment !== "string" || settings === undefined || !Array.isArray(rows)) {
    throw new Error(`Cannot read ${path}: wanted experiment, settings and rows`);
  }
  for (const [i, row] of (rows as Row[]).entries()) {
    const counts = Object.values(row.counts ?? {});
    if (typeof row.arm !== "string" || counts.length === 0 || !counts.every(isCounts)) {
      throw new Error(`Cannot read ${path}: row ${i + 1} has no arm or no counts`);
    }
  }
  return { experiment, settings, rows };
}
