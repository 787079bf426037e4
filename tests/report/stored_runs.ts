/** Stored runs with round numbers, for tests of reports. Holds no test. */
import type { PromptResult } from "../../lib/eval/metrics.ts";
import { summarize } from "../../lib/eval/summary.ts";
import type { Environment } from "../../lib/report/environment.ts";
import { ranCommand } from "../../lib/report/provenance.ts";
import { sampleOf } from "../../lib/report/samples.ts";
import type { StoredEvaluation, TrainingRecord } from "../../lib/report/stored_run.ts";
import { NOWHERE, sampleSteps, sampleValidation } from "./samples.ts";

/** A place that recorded everything. */
export const SOMEWHERE: Environment = {
  ...NOWHERE,
  packages: "one 1.0.0, two 2.0.0",
  lockfile: "0123456789abcdef",
};

const OPTIONS = {
  target: { type: "string", default: "data/target" },
  draft: { type: "string", default: "data/draft" },
  temperature: { type: "number", default: 0 },
  seed: { type: "integer", default: 0 },
  suite: { type: "string", default: "ours" },
  stop: { type: "string" },
  quick: { type: "boolean" },
} as const;

/**
 * A prompt whose rounds emit these numbers of tokens, all but one of each accepted; a round takes 10 ms. Plain, every
 * token takes 10 ms.
 */
export function prompt(id: string, emitted: readonly number[]): PromptResult {
  const count = 1 + emitted.reduce((a, b) => a + b, 0);
  const tokens = Array.from({ length: count }, (_, i) => 10 + i);
  const ms = { draftMs: 4, verifyMs: 5, sampleMs: 0.5, hostMs: 0.5 };
  const round = (n: number, drafted: number) => ({
    emitted: n,
    drafted,
    depth: drafted === 0 ? 0 : 5,
    accepted: n - 1,
    ...ms,
  });
  return {
    id,
    category: "made up",
    promptTokens: 7,
    plain: {
      tokens,
      prefillMs: 3,
      decodeMs: 10 * (count - 1),
      rounds: tokens.slice(1).map(() => round(1, 0)),
    },
    speculative: {
      tokens,
      prefillMs: 3,
      decodeMs: 10 * emitted.length,
      rounds: emitted.map((n) => round(n, 8)),
    },
  };
}

/** An evaluation of one suite, of prompts by id. */
export function storedEvaluation(
  prompts: Record<string, readonly number[]>,
  { temperature = 0, suite = "ours", ...more }: Partial<StoredEvaluation> & {
    temperature?: number;
    suite?: string;
  } = {},
): StoredEvaluation {
  const results = Object.entries(prompts).map(([id, emitted]) => prompt(id, emitted));
  const values = { target: "data/target", draft: "a draft", temperature, seed: 3, quick: true };
  const decode = (ids: readonly number[]) => ids.map((id) => ` w${id}`).join("");
  return {
    question: "Is it so?",
    command: ranCommand("eval", values, { declared: OPTIONS }),
    settings: { temperature, seed: 3 },
    environment: SOMEWHERE,
    inputs: {
      target: { name: "data/target", hash: "aaaaaaaaaaaaaaaa", bytes: 5e7 },
      draft: { name: "a draft", hash: "bbbbbbbbbbbbbbbb", bytes: 8e6 },
      suites: [{ name: suite, hash: "cccccccccccccccc", count: results.length }],
    },
    suites: [summarize(suite, results)],
    cost: { seconds: 75, tokens: 1234, peakBytes: 6e8 },
    samples: [
      sampleOf(results[0].speculative, { suite, id: results[0].id, prompt: "Why?", decode }),
    ],
    details: [{ suite, results }],
    ...more,
  };
}

/** Events of one stage: three updates and a validation with counts of four prompts. */
export function storedTraining(counts: [number, number][]) {
  const emitted = counts.reduce((n, [e]) => n + e, 0),
    forwards = counts.reduce((n, [, f]) => n + f, 0);
  const tau = { value: emitted / forwards, low: 1, high: 9, emitted, forwards, counts };
  return {
    stages: [[...sampleSteps(3), sampleValidation(3, { tau, best: true })]],
    settings: { "stage 1": { recipe: { passes: 2, weights: { token: 0.1 } } } },
  };
}

export const TRAINING_RECORD: TrainingRecord = {
  question: "Does it learn?",
  command: ranCommand("train", { target: "data/target", seed: 1, data: "runs/data" }, {
    declared: { ...OPTIONS, data: { type: "string", default: "runs/data" } },
  }),
  dataCommand: ranCommand("data", { seed: 2 }, { declared: OPTIONS }),
  environment: SOMEWHERE,
  inputs: {
    target: { name: "data/target", hash: "aaaaaaaaaaaaaaaa" },
    data: { name: "runs/data/train", hash: "dddddddddddddddd", count: 24, tokens: 1955 },
    validation: { name: "runs/data/validation", hash: "eeeeeeeeeeeeeeee", count: 4 },
  },
  cost: { seconds: 3723, tokens: 5865, peakBytes: 0 },
  drafts: [{ step: 1, folder: "step-1/draft", hash: "ffffffffffffffff", bytes: 8e6 }],
};
