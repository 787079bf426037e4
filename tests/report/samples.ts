/** Summaries and events with round numbers, for tests of figures and pages. Holds no test. */
import type { SuiteSummary } from "../../lib/eval/summary.ts";
import type { Environment } from "../../lib/report/environment.ts";
import type { StepEvent, TrainingEvent, ValidationEvent } from "../../lib/report/events.ts";

/** A summary in which every number is different. */
export function sampleSummary(suite = "ours", changes: Partial<SuiteSummary> = {}): SuiteSummary {
  return {
    suite,
    prompts: 4,
    tokens: 120,
    tau: 2.5004,
    tau_numerator: 116,
    tau_denominator: 46,
    tau_ci: [2.25, 2.75],
    tau_upstream: 2.7,
    tau_vllm: 2.6,
    tau_specforge: 2.55,
    speedup: 1.5,
    speedup_ci: [1.25, 1.8125],
    speedup_with_prefill: 1.4,
    speedup_with_prefill_ci: [1.2, 1.6],
    tokens_per_second: 60,
    tokens_per_second_with_prefill: 55,
    plain_tokens_per_second: 40,
    plain_tokens_per_second_with_prefill: 39,
    identical: 3,
    acceptance_by_depth: [
      { depth: 1, share: 0.75, accepted: 30, reached: 40 },
      { depth: 2, share: 2 / 3, accepted: 20, reached: 30 },
    ],
    ms_per_round: { draftMs: 6.25, verifyMs: 20.12345, sampleMs: 0.25, hostMs: 0.5 },
    ...changes,
  };
}

/** Updates of a run with two passes; pass p of update n puts n / 10 - p / 100 of the tokens first. */
export function sampleSteps(count: number): TrainingEvent[] {
  const step = (n: number): StepEvent => ({
    type: "step",
    step: n,
    total: count,
    epoch: 0,
    loss: 1,
    passes: [0, 1].map((p) => ({
      featureLoss: 0,
      tokenLoss: 0,
      topKLoss: 0,
      top1: n / 10 - p / 100,
      top3: 0,
      top10: 0,
      misaligned: 0,
      kept: 1,
    })),
    learningRate: 0,
    gradientNorm: 0,
    tokens: 1,
    ms: 300,
    tokensPerSecond: 1,
    secondsLeft: 1,
  });
  return Array.from({ length: count }, (_, i) => step(i + 1));
}

/** A validation after update `step`, of two passes, with every number another. */
export function sampleValidation(
  step: number,
  changes: Partial<ValidationEvent> = {},
): ValidationEvent {
  const passes = [0, 1].map((p) => ({
    featureLoss: 0.5 + p,
    tokenLoss: 1.5 + p,
    topKLoss: 2.5 + p,
    top1: 0.5 - p / 4,
    top3: 0.75 - p / 4,
    top10: 0.875 - p / 4,
    misaligned: 0.25 + p / 4,
    kept: 1 - p / 8,
  }));
  const tau = { value: 3.25, low: 3, high: 3.5, emitted: 325, forwards: 100 };
  return { type: "validation", step, loss: 0.75, passes, tau, ...changes };
}

/** A place that does not exist. */
export const NOWHERE: Environment = {
  date: "2000-01-01 00:00",
  commit: "abc1234",
  deno: "0.0.0",
  platform: "none none",
  cpu: "abacus",
  cores: 2,
  memory: "1 GiB",
  backend: "reference",
};
