/**
 * Runs as they are stored: an evaluation's `report.json`, a training's folder with `run.json` and metrics. What each
 * holds, and the readers that check it. Older files lack what was not recorded then; reports say so. Pages of them:
 * `evaluation_report.ts`, `training_report.ts`.
 */
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { PromptResult } from "../eval/metrics.ts";
import type { SuiteSummary } from "../eval/summary.ts";
import { type Json, readJson } from "../io/json.ts";
import type { Environment } from "./environment.ts";
import type { Cost, Inputs, RanCommand } from "./provenance.ts";
import { readRun, type TrainingRun } from "./run_folder.ts";
import type { Sample } from "./samples.ts";

/** What every run may say of itself. */
export interface RunRecord {
  question?: string;
  command?: RanCommand;
  inputs?: Inputs;
  cost?: Cost;
}

/** Results of the prompts of one suite, as measured. */
export interface SuiteDetails {
  suite: string;
  results: PromptResult[];
}

/** What `deno task eval` writes. */
export interface StoredEvaluation extends RunRecord {
  settings: Record<string, string | number>;
  environment: Environment;
  suites: SuiteSummary[];
  details?: SuiteDetails[];
  samples?: Sample[];
  /** What trees were sized by. */
  costs?: unknown;
}

/** What `deno task train` writes beside its metrics. */
export interface TrainingRecord extends RunRecord {
  environment: Environment;
  /** Where it went on after it had been stopped. */
  resumed?: Environment[];
  /** How the training data were made. */
  dataCommand?: RanCommand;
  /** Drafts of the finished steps. */
  drafts?: { step: number; folder: string; hash: string; bytes: number }[];
}

/** A run that was found, with the place it was read from. */
export type StoredRun =
  | { kind: "evaluation"; path: string; evaluation: StoredEvaluation }
  | { kind: "training"; path: string; run: TrainingRun; record: Partial<TrainingRecord> }
  | { kind: "experiment"; path: string };

export const EVALUATION_FILE = "report.json", TRAINING_FILE = "run.json";

const isObject = (v: unknown): v is Json => typeof v === "object" && v !== null;

/** @throws naming file, place, found and wanted. */
export function checkEvaluation(json: Json, path: string): StoredEvaluation {
  const refuse = (what: string) => new Error(`Cannot read an evaluation from ${path}: ${what}`);
  const { suites, settings, environment, details } = json;
  if (!Array.isArray(suites)) throw refuse(`suites is ${typeof suites}, wanted a list`);
  if (suites.length === 0) throw refuse("it has no suites");
  for (const [i, one] of suites.entries()) {
    const place = `suites[${i}]`;
    if (!isObject(one)) throw refuse(`${place} is ${JSON.stringify(one)}, wanted an object`);
    for (const key of ["suite", "tau", "tau_ci", "speedup", "speedup_ci", "prompts"] as const) {
      if (one[key] === undefined) throw refuse(`${place} has no ${key}`);
    }
  }
  if (!isObject(settings)) throw refuse("it has no settings");
  if (!isObject(environment)) throw refuse("it has no environment");
  if (details !== undefined && !Array.isArray(details)) throw refuse("details is not a list");
  return json as unknown as StoredEvaluation;
}

const isTraining = (folder: string) => existsSync(join(folder, "step-1", "metrics.jsonl"));

/**
 * Reads a run: a folder of a training or an evaluation, a `report.json`, or (its path only) a `results.json`.
 * @throws when it is none of these, or damaged, naming what was found.
 */
export async function readStoredRun(path: string): Promise<StoredRun> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new Error(`Cannot report on ${path}: no such file or folder, wanted a run`);
  }
  if (found.isDirectory()) {
    const file = ["report.json", "results.json"].find((name) => existsSync(join(path, name)));
    if (isTraining(path)) {
      const file = join(path, TRAINING_FILE);
      const record = existsSync(file) ? await readJson(file) as Partial<TrainingRecord> : {};
      return { kind: "training", path, run: await readRun(path), record };
    }
    if (file !== undefined) return await readStoredRun(join(path, file));
    throw new Error(
      `Cannot report on ${path}: it holds no step-1/metrics.jsonl, report.json or results.json`,
    );
  }
  const json = await readJson(path);
  if (Array.isArray(json.suites)) {
    return { kind: "evaluation", path, evaluation: checkEvaluation(json, path) };
  }
  if (Array.isArray(json.rows) && typeof json.experiment === "string") {
    return { kind: "experiment", path };
  }
  const keys = Object.keys(json).slice(0, 6).join(", ") || "nothing";
  throw new Error(
    `Cannot report on ${path}: it holds ${keys}; wanted the report.json of deno task eval or the ` +
      "results.json of deno task experiment",
  );
}
