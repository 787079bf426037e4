/**
 * What a run of a suite says: one plain object with every reported number, its interval, and what it was
 * computed from. Printed by tasks, drawn by `lib/report/figures.ts`.
 */
import {
  acceptanceByDepth,
  isIdentical,
  type PromptResult,
  speedup,
  tau,
  tauUpstream,
  timeSplit,
  tokensPerSecond,
} from "./metrics.ts";
import { bootstrap, type Interval } from "./stats.ts";
import { tauSpecForge, tauVllm } from "./tau_definitions.ts";

/** Numbers of one suite. Intervals are 95 %, by bootstrap over prompts. */
export interface SuiteSummary {
  suite: string;
  prompts: number;
  tokens: number;
  tau: number;
  tau_numerator: number;
  tau_denominator: number;
  tau_ci: [number, number];
  /** The same rounds as others count them: `metrics.ts` and `tau_definitions.ts`. */
  tau_upstream: number;
  tau_vllm: number;
  tau_specforge: number;
  speedup: number;
  speedup_ci: [number, number];
  speedup_with_prefill: number;
  speedup_with_prefill_ci: [number, number];
  tokens_per_second: number;
  tokens_per_second_with_prefill: number;
  plain_tokens_per_second: number;
  plain_tokens_per_second_with_prefill: number;
  /** Prompts whose two texts are the same. */
  identical: number;
  /** Depths that a round reached. */
  acceptance_by_depth: { depth: number; share: number; accepted: number; reached: number }[];
  ms_per_round: { draftMs: number; verifyMs: number; sampleMs: number; hostMs: number };
}

const pair = ({ low, high }: Interval): [number, number] => [low, high];

/** Summarises the results of a suite. @throws when there are none. */
export function summarize(suite: string, results: readonly PromptResult[]): SuiteSummary {
  if (results.length === 0) throw new Error(`Cannot summarise ${suite}: no prompt was completed`);
  const speculative = results.map((r) => r.speculative), plain = results.map((r) => r.plain);
  const t = tau(speculative), gain = speedup(results);
  const fast = tokensPerSecond(speculative), slow = tokensPerSecond(plain);
  return {
    suite,
    prompts: results.length,
    tokens: speculative.reduce((n, g) => n + g.tokens.length, 0),
    tau: t.value,
    tau_numerator: t.numerator,
    tau_denominator: t.denominator,
    tau_ci: pair(bootstrap(results, (drawn) => tau(drawn.map((r) => r.speculative)).value)),
    tau_upstream: tauUpstream(speculative).value,
    tau_vllm: tauVllm(speculative).value,
    tau_specforge: tauSpecForge(speculative).value,
    speedup: gain.withoutPrefill,
    speedup_ci: pair(bootstrap(results, (drawn) => speedup(drawn).withoutPrefill)),
    speedup_with_prefill: gain.withPrefill,
    speedup_with_prefill_ci: pair(bootstrap(results, (drawn) => speedup(drawn).withPrefill)),
    tokens_per_second: fast.withoutPrefill,
    tokens_per_second_with_prefill: fast.withPrefill,
    plain_tokens_per_second: slow.withoutPrefill,
    plain_tokens_per_second_with_prefill: slow.withPrefill,
    identical: results.filter(isIdentical).length,
    acceptance_by_depth: acceptanceByDepth(speculative).map((r, i) => ({
      depth: i + 1,
      share: r.value,
      accepted: r.numerator,
      reached: r.denominator,
    })).filter((d) => d.reached > 0),
    ms_per_round: timeSplit(speculative),
  };
}
