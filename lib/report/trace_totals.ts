/**
 * The totals of a trace: tau under every definition, acceptance by depth, times, and a row a generation. Computed
 * from the rows by the functions that evaluations use. Shown by `trace_page.ts` and printed by its task.
 */
import { acceptanceByDepth, type Ratio, tau, tauUpstream, timeSplit } from "../eval/metrics.ts";
import { tauSpecForge, tauVllm } from "../eval/tau_definitions.ts";
import { toGeneration, type TracedGeneration } from "./trace.ts";

export interface TraceTotals {
  generations: number;
  rounds: number;
  /** Emitted, first tokens included. */
  tokens: number;
  drafted: number;
  accepted: number;
  tau: Ratio;
  tau_upstream: Ratio;
  tau_vllm: Ratio;
  tau_specforge: Ratio;
  /** From depth 1. */
  acceptance_by_depth: Ratio[];
  ms_per_round: { draftMs: number; verifyMs: number; sampleMs: number; hostMs: number };
}

export function traceTotals(traced: readonly TracedGeneration[]): TraceTotals {
  const generations = traced.map(toGeneration), rounds = generations.flatMap((g) => g.rounds);
  return {
    generations: generations.length,
    rounds: rounds.length,
    tokens: generations.reduce((n, g) => n + g.tokens.length, 0),
    drafted: rounds.reduce((n, r) => n + r.drafted, 0),
    accepted: rounds.reduce((n, r) => n + r.accepted, 0),
    tau: tau(generations),
    tau_upstream: tauUpstream(generations),
    tau_vllm: tauVllm(generations),
    tau_specforge: tauSpecForge(generations),
    acceptance_by_depth: acceptanceByDepth(generations),
    ms_per_round: timeSplit(generations),
  };
}

type Row = (string | number)[];

const cells = ({ value, numerator, denominator }: Ratio) => [
  Number.isNaN(value) ? "-" : value.toFixed(3),
  numerator,
  denominator,
];

/** Every ratio with what it was made of; the first row is the heading. */
export function ratioRows(totals: TraceTotals): Row[] {
  const { drafted, accepted } = totals;
  return [
    ["", "value", "numerator", "denominator"],
    ["tau: tokens emitted / rounds", ...cells(totals.tau)],
    ["tau, published script", ...cells(totals.tau_upstream)],
    ["tau, vLLM", ...cells(totals.tau_vllm)],
    ["tau, SpecForge", ...cells(totals.tau_specforge)],
    [
      "accepted / drafted",
      ...cells({ value: accepted / drafted, numerator: accepted, denominator: drafted }),
    ],
    ...totals.acceptance_by_depth.flatMap((ratio, i) =>
      ratio.denominator > 0 ? [[`accepted at depth ${i + 1} / reached`, ...cells(ratio)]] : []
    ),
  ];
}

/** A row a generation; the first is the heading. */
export function generationRows(traced: readonly TracedGeneration[]): Row[] {
  return [
    ["", "id", "category", "prompt tokens", "tokens", "rounds", "tau", "end"],
    ...traced.map((one, i) => {
      const generation = toGeneration(one), { start, end } = one;
      return [
        i + 1,
        start.id,
        start.category,
        start.prompt.length,
        generation.tokens.length,
        generation.rounds.length,
        cells(tau([generation]))[0],
        end?.reason ?? "run stopped",
      ];
    }),
  ];
}
