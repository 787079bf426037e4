/**
 * An experiment small enough for tests: a tiny target, made-up prompts, trainings of a few updates. Holds no test;
 * the tests of `lib/experiment` use it.
 */
import type { StoredExamples } from "../../lib/data/features.ts";
import type { Experiment } from "../../lib/experiment/experiment.ts";
import type { ExperimentEvent, Lab, RunOptions } from "../../lib/experiment/run.ts";
import { runExperiment } from "../../lib/experiment/run.ts";
import type { Results, Row } from "../../lib/experiment/rows.ts";
import type { Counts } from "../../lib/eval/two_level.ts";
import { random } from "../../lib/random.ts";
import { TINY } from "../model/tiny.ts";
import { withRun } from "../train/tiny_run.ts";

/** Four arms: two differ in their second step alone, one is measured with another tree. */
export const EXPERIMENT: Experiment = {
  name: "tiny",
  question: "Does anything matter on 24 tokens?",
  arms: [
    { name: "base", passes: [1, 2], paper: "N=2" },
    { name: "no mask", passes: [1, 2], recipe: { mask: "none" } },
    { name: "one step", passes: [1], paper: "N=1" },
    {
      name: "narrow",
      passes: [1, 2],
      trees: { tau: { tree: { depth: 1, width: 1, budget: 2 } } },
    },
  ],
  base: "base",
  seeds: [0, 1],
  settings: {
    epochs: 2,
    learningRate: [1e-3, 6e-4],
    rows: 128,
    warmup: 1,
    inner: 16,
    prompts: 3,
    maxTokens: 12,
    trees: { tau: { tree: { depth: 2, width: 2, budget: 4 } } },
  },
  paper: {
    title: "Table 0",
    rows: [{ variant: "N=1", tau: 5.18, speedup: 3.1 }, {
      variant: "N=2",
      tau: 5.33,
      speedup: 3.19,
    }],
  },
};

/** A lab and a folder for one test. */
export async function withLab(
  use: (lab: Lab, options: RunOptions) => Promise<void>,
): Promise<void> {
  await withRun(async ({ backend, target, examples, folder }) => {
    const prompts = (count: number) =>
      Array.from({ length: count }, (_, i) => {
        const from = random(4, "prompt", i);
        return Int32Array.from({ length: 5 + i }, () => from.integer(TINY.vocabulary));
      });
    const lab = { backend, target, examples: examples as StoredExamples, prompts };
    await use(lab, { folder, commit: "abc1234" });
  });
}

/** Runs to the end, or leaves the loop at the first event that is `enough`. */
export async function runTo(
  experiment: Experiment,
  lab: Lab,
  { enough = () => false, ...options }: RunOptions & {
    enough?: (event: ExperimentEvent) => boolean;
  },
): Promise<{ events: ExperimentEvent[]; rows: Row[] }> {
  const run = runExperiment(experiment, lab, options), events: ExperimentEvent[] = [];
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { events, rows: value };
    events.push(value);
    if (!enough(value)) continue;
    await run.return([]);
    return { events, rows: [] };
  }
}

/** Rows with three prompts a seed: emitted tokens as given, one round each. */
export function rowsOf(emitted: Record<string, number[][]>): Results {
  const rows = Object.entries(emitted).flatMap(([arm, seeds]) =>
    seeds.map((prompts, seed): Row => ({
      arm,
      seed,
      counts: { tau: prompts.map((n): Counts => [n, 1]) },
      training: { parameters: 2.5e6, passes: [1, 2], tokens: 86_146, updates: 300, seconds: 20 },
      target: "tiny-1",
      date: "2026-01-02",
      commit: "abc1234",
    }))
  );
  return { experiment: "tiny", settings: EXPERIMENT.settings, rows };
}
