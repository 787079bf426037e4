/**
 * Runs an experiment: trains every step of its plan that is not on disk, measures every arm that has no row, and
 * yields what happens. A step cut short goes on from its checkpoint; an arm that fails does not stop the others and
 * is tried again by the next run. Folders: `steps/KEY` (shared by all experiments), `NAME/` with rows and results.
 */
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import type { StoredExamples } from "../data/features.ts";
import { onlineExamples } from "../data/online.ts";
import { takePrompts } from "../data/prompts.ts";
import { decodePrompts } from "../eval/tau.ts";
import type { Counts } from "../eval/two_level.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJson } from "../io/json.ts";
import { countParameters } from "../model/draft.ts";
import { type Draft, readDraft, type Target } from "../model/load.ts";
import type { TrainingEvent } from "../report/events.ts";
import { parseEvents } from "../report/run_folder.ts";
import { encodePrompt } from "../text/chat.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { initialDraft } from "../train/initial.ts";
import { trainSteps } from "../train/steps.ts";
import { frequentTokens } from "../train/vocabulary.ts";
import { type Experiment, type MeasuredTree, passesOf, type Settings } from "./experiment.ts";
import { type Job, planExperiment } from "./plan.ts";
import { type Row, type Training, writeResults } from "./rows.ts";

/** What experiments work with. */
export interface Lab {
  backend: Backend;
  target: Target;
  /** Training data; needed where an arm is trained. */
  examples?: StoredExamples;
  /** The first held-out prompts as token ids. */
  prompts: (count: number) => readonly Int32Array[];
}

/** The held-out prompts that ship, as a tokenizer writes them. */
export const heldOutPrompts = (tokenizer: Tokenizer) => (count: number): Int32Array[] =>
  takePrompts("evaluation", { count }).map(({ messages }) => encodePrompt(tokenizer, messages));

export interface RunOptions {
  /** Folder of all experiments' runs. */
  folder: string;
  /** Commit that the rows name. */
  commit: string;
  seeds?: readonly number[];
  only?: readonly string[];
  checkpointEvery?: number;
  signal?: AbortSignal;
}

/** Of whom an event tells. */
interface Whose {
  arm: string;
  seed: number;
}

export type ExperimentEvent =
  | { type: "plan"; jobs: number; measured: number; steps: number; trained: number }
  | { type: "skipped"; row: Row } & Whose
  | { type: "training"; stage: number; stages: number; event: TrainingEvent } & Whose
  | { type: "trained"; stage: number; stages: number; path: string; before: boolean } & Whose
  | { type: "measured"; row: Row } & Whose
  | { type: "failed"; message: string } & Whose;

const draftOf = (folder: string, key: string) => join(folder, "steps", key, "step-1", "draft");

/** Where a job's draft begins, and the examples that it reads. */
function begin({ config, seed }: Job, { examples, target, backend }: Lab) {
  const { taps, draftVocabulary: size, vocabulary } = config!, stored = examples!;
  const tokens = size === undefined ? undefined : frequentTokens(stored, { size, vocabulary });
  return {
    draft: initialDraft(config!, { seed, tokens }),
    read: taps === undefined ? stored : onlineExamples(stored, { target, backend, taps }),
  };
}

/** Trains a job's steps; returns the draft and how it came to be, nothing once the signal is aborted. */
async function* trainJob(
  job: Job,
  lab: Lab,
  { folder, signal, checkpointEvery }: RunOptions,
): AsyncGenerator<ExperimentEvent, { draft: Draft; training: Training } | undefined> {
  const { arm, seed, config, steps } = job, { backend, target } = lab;
  const whose = { arm: arm.name, seed }, stages = steps.length;
  const { draft: fresh, read: examples } = begin(job, lab);
  let draft = fresh;
  const seen = { tokens: 0, updates: 0, seconds: 0 };
  for (const [i, { key, recipe, start }] of steps.entries()) {
    const place = join(folder, "steps", key), stage = i + 1;
    if (!existsSync(place)) {
      // For people and `deno task watch`; nothing is read from it.
      const settings = { recipe, start, config };
      await writeFileAtomic(join(place, "run.json"), `${JSON.stringify({ settings })}\n`);
    }
    const options = { backend, target, examples, folder: place, start, checkpointEvery, signal };
    for await (const { event } of trainSteps(draft, [recipe], options)) {
      if (event.type !== "finished") yield { type: "training", ...whose, stage, stages, event };
      else {
        const { path, before } = event;
        yield { type: "trained", ...whose, stage, stages, path, before };
      }
    }
    if (signal?.aborted) return undefined;
    draft = await readDraft(draftOf(folder, key), { target });
    // The draft is on disk: what the step could be resumed from has done its work.
    await rm(join(place, "step-1", "checkpoints"), { recursive: true, force: true });
    const text = await readFile(join(place, "step-1", "metrics.jsonl"), "utf8");
    for (const event of parseEvents(text)) {
      if (event.type !== "step") continue;
      seen.tokens += event.tokens;
      seen.seconds += event.ms / 1000;
      seen.updates++;
    }
  }
  const parameters = countParameters(config!), recipes = steps.map((s) => s.recipe);
  return { draft, training: { parameters, passes: passesOf(arm), ...seen, recipes } };
}

/** tau's counts on every prompt: tokens emitted, target forwards. */
async function measureTrees(
  draft: Draft,
  { backend, target, prompts }: Lab,
  { trees, settings, signal }: {
    trees: Record<string, MeasuredTree>;
    settings: Settings;
    signal?: AbortSignal;
  },
): Promise<Record<string, Counts[]>> {
  const counts: Record<string, Counts[]> = {}, { maxTokens } = settings;
  for (const [name, shape] of Object.entries(trees)) {
    counts[name] = [];
    const shared = { target, backend, prompts: prompts(settings.prompts), maxTokens, signal };
    for await (const { rounds } of decodePrompts(draft, { ...shared, ...shape })) {
      counts[name].push([rounds.reduce((n, r) => n + r.emitted, 0), rounds.length]);
    }
  }
  return counts;
}

async function* runJob(
  job: Job,
  experiment: Experiment,
  { lab, options }: { lab: Lab; options: RunOptions },
): AsyncGenerator<ExperimentEvent, Row | undefined> {
  const { arm, seed } = job, { settings, measure } = experiment, { signal, commit } = options;
  const made = job.config === undefined ? undefined : yield* trainJob(job, lab, options);
  if (signal?.aborted) return undefined;
  const before = performance.now(), trees = arm.trees ?? settings.trees;
  const draft = made?.draft ?? (arm.trained && await readDraft(arm.trained, lab));
  const counts = measure !== undefined
    ? await measure(arm, { seed, settings, lab, signal })
    : await measureTrees(draft as Draft, lab, { trees, settings, signal });
  if (signal?.aborted) return undefined;
  return {
    arm: arm.name,
    seed,
    counts,
    ...(made !== undefined && { training: made.training }),
    seconds: Math.round((performance.now() - before) / 100) / 10,
    target: lab.target.identity,
    date: new Date().toISOString().slice(0, 10),
    commit,
  };
}

/** Writes `results.json`: all rows that there are at these settings, also of arms that this run leaves alone. */
async function gather(experiment: Experiment, lab: Lab, { folder, seeds = [] }: RunOptions) {
  const { name, settings } = experiment, all = [...new Set([...experiment.seeds, ...seeds])];
  const rows: Row[] = [];
  for (const { file } of await planExperiment(experiment, { ...lab, seeds: all })) {
    const path = join(folder, name, file);
    if (existsSync(path)) rows.push(await readJson(path) as unknown as Row);
  }
  await writeResults(join(folder, name, "results.json"), { experiment: name, settings, rows });
}

/**
 * Runs what is missing of an experiment. `NAME/results.json` is complete after every row.
 * @throws when the plan contradicts itself or data is missing; arms that fail are told by events.
 */
export async function* runExperiment(
  experiment: Experiment,
  lab: Lab,
  options: RunOptions,
): AsyncGenerator<ExperimentEvent, Row[]> {
  const { folder, signal } = options, { name } = experiment;
  const jobs = await planExperiment(experiment, { ...lab, ...options });
  const keys = [...new Set(jobs.flatMap((j) => j.steps.map((s) => s.key)))];
  const pathOf = ({ file }: Job) => join(folder, name, file);
  yield {
    type: "plan",
    jobs: jobs.length,
    measured: jobs.filter((j) => existsSync(pathOf(j))).length,
    steps: keys.length,
    trained: keys.filter((k) => existsSync(draftOf(folder, k))).length,
  };
  const rows: Row[] = [];
  for (const job of jobs) {
    if (signal?.aborted) break;
    const whose = { arm: job.arm.name, seed: job.seed }, path = pathOf(job);
    if (existsSync(path)) {
      const row = await readJson(path) as unknown as Row;
      rows.push(row);
      yield { type: "skipped", ...whose, row };
    } else {
      let row: Row | undefined;
      try {
        row = yield* runJob(job, experiment, { lab, options });
      } catch (cause) {
        yield { type: "failed", ...whose, message: (cause as Error).message };
        continue;
      }
      if (row === undefined) break;
      await writeFileAtomic(path, `${JSON.stringify(row)}\n`);
      rows.push(row);
      yield { type: "measured", ...whose, row };
    }
    await gather(experiment, lab, options);
  }
  return rows;
}
