/** The page of an evaluation: one table, four pictures, the settings. Made from summaries only. */
import type { SuiteSummary } from "../eval/summary.ts";
import type { Environment } from "./environment.ts";
import { acceptanceCurves, speedupBars, tauBySuite, timeBreakdown } from "./figures.ts";
import type { Page, Section } from "./page.ts";
import { withInterval } from "./table.ts";

/** Rows of the summary table; the first is the heading. */
export function summaryRows(suites: readonly SuiteSummary[]): (string | number)[][] {
  return [
    ["suite", "prompts", "tau", "speedup", "plain tok/s", "GRIFFIN tok/s", "identical"],
    ...suites.map((s) => [
      s.suite,
      s.prompts,
      withInterval(s.tau, s.tau_ci),
      withInterval(s.speedup, s.speedup_ci),
      s.plain_tokens_per_second.toFixed(1),
      s.tokens_per_second.toFixed(1),
      `${s.identical}/${s.prompts}`,
    ]),
  ];
}

/** Rows of tau under four definitions (`lib/eval/tau_definitions.ts`); the first is the heading. */
export function tauRows(suites: readonly SuiteSummary[]): (string | number)[][] {
  return [
    ["suite", "tau", "published script", "vLLM", "SpecForge"],
    ...suites.map((s) => [
      s.suite,
      ...[s.tau, s.tau_upstream, s.tau_vllm, s.tau_specforge].map((t) => t.toFixed(3)),
    ]),
  ];
}

/** The page for `renderPage`. */
export function evaluationPage(
  suites: readonly SuiteSummary[],
  { environment, settings, prompts }: {
    environment: Environment;
    settings: Record<string, string | number>;
    /** A row a prompt, heading first. */
    prompts?: (string | number)[][];
  },
): Page {
  const sections: Section[] = [
    {
      heading: "Result",
      text:
        "tau counts tokens a target forward after prefill, the extra token included. Speedup is tokens a " +
        "second of speculative over plain decoding of the same target in the same run, prefill excluded. " +
        "Brackets are 95 % intervals by bootstrap over prompts.",
      table: summaryRows(suites),
      figures: [
        tauBySuite(suites),
        speedupBars(suites),
        acceptanceCurves(suites),
        timeBreakdown(suites),
      ],
    },
    {
      heading: "More numbers",
      table: [
        [
          "suite",
          "tokens",
          "tau numerator",
          "tau denominator",
          "tau upstream",
          "speedup with prefill",
        ],
        ...suites.map((s) => [
          s.suite,
          s.tokens,
          s.tau_numerator,
          s.tau_denominator,
          s.tau_upstream.toFixed(2),
          withInterval(s.speedup_with_prefill, s.speedup_with_prefill_ci),
        ]),
      ],
    },
    {
      heading: "Settings",
      table: [["setting", "value"], ...Object.entries(settings).map(([k, v]) => [k, String(v)])],
    },
  ];
  if (prompts !== undefined) sections.push({ heading: "Prompts", table: prompts });
  return {
    title: "GRIFFIN Lab: speculative against plain decoding",
    lead:
      "One target, decoded token by token and with a GRIFFIN draft that proposes trees of tokens.",
    sections,
    environment,
  };
}
