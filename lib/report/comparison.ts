/**
 * Two evaluations side by side: each suite's numbers, and their paired differences with intervals where both asked the
 * same prompts. From stored rows only. What must be said beforehand: `run_facts.ts`; two trainings:
 * `training_comparison.ts`.
 */
import { type PromptResult, speedup, tau, tokensPerSecond } from "../eval/metrics.ts";
import { bootstrap } from "../eval/stats.ts";
import type { SuiteSummary } from "../eval/summary.ts";
import { type Environment, NOT_RECORDED } from "./environment.ts";
import { GREY } from "./figure_layout.ts";
import { type Figure, valuesWithIntervals } from "./figures.ts";
import type { Page, Section } from "./page.ts";
import type { StoredEvaluation } from "./stored_run.ts";
import { withInterval } from "./table.ts";

/** Both results of one prompt. */
export interface Pair {
  a: PromptResult;
  b: PromptResult;
}

/** A number with its 95 % interval. */
export interface Difference {
  value: number;
  low: number;
  high: number;
}

/** `+0.12 [0.02, 0.21]`. */
export function showDifference({ value, low, high }: Difference): string {
  return `${value > 0 ? "+" : ""}${withInterval(value, [low, high])}`;
}

/** The prompts of a suite that both asked: the same id with as many tokens. */
export function pairsOf(
  suite: string,
  [a, b]: readonly [StoredEvaluation, StoredEvaluation],
): Pair[] {
  const results = (of: StoredEvaluation) =>
    of.details?.find((d) => d.suite === suite)?.results ?? [];
  const others = new Map(results(b).map((r) => [r.id, r]));
  return results(a).flatMap((one) => {
    const other = others.get(one.id);
    return other?.promptTokens === one.promptTokens ? [{ a: one, b: other }] : [];
  });
}

/** A statistic of B minus that of A, prompts drawn as pairs. */
export function pairedDifference(
  pairs: readonly Pair[],
  statistic: (results: readonly PromptResult[]) => number,
): Difference {
  const apart = (drawn: readonly Pair[]) =>
    statistic(drawn.map((p) => p.b)) - statistic(drawn.map((p) => p.a));
  return { value: apart(pairs), ...bootstrap(pairs, apart) };
}

const STATISTICS: Record<string, (results: readonly PromptResult[]) => number> = {
  "tau": (rs) => tau(rs.map((r) => r.speculative)).value,
  "speedup": (rs) => speedup(rs).withoutPrefill,
  "tokens/s": (rs) => tokensPerSecond(rs.map((r) => r.speculative)).withoutPrefill,
  "plain tokens/s": (rs) => tokensPerSecond(rs.map((r) => r.plain)).withoutPrefill,
};

/** What two evaluations say of one suite; differences by statistic, B minus A, none without common prompts. */
export interface SuiteComparison {
  suite: string;
  pairs: number;
  prompts: [number, number];
  /** Pairs whose speculative texts are the same. */
  sameText: number;
  differences: Record<string, Difference>;
}

/** One entry a suite that both have, in A's order. */
export function compareSuites(
  both: readonly [StoredEvaluation, StoredEvaluation],
): SuiteComparison[] {
  const [a, b] = both;
  return a.suites.flatMap(({ suite, prompts }) => {
    const other = b.suites.find((s) => s.suite === suite);
    if (other === undefined) return [];
    const pairs = pairsOf(suite, both);
    const same = ({ a, b }: Pair) => `${a.speculative.tokens}` === `${b.speculative.tokens}`;
    const differences = pairs.length === 0 ? [] : Object.entries(STATISTICS).map(
      ([name, of]) => [name, pairedDifference(pairs, of)] as const,
    );
    return [{
      suite,
      pairs: pairs.length,
      prompts: [prompts, other.prompts] as [number, number],
      sameText: pairs.filter(same).length,
      differences: Object.fromEntries(differences),
    }];
  });
}

/** Rows of the settings in which two runs differ. */
export function settingDifferences(
  [a, b]: readonly [Record<string, unknown>, Record<string, unknown>],
): [string, string, string][] {
  const show = (value: unknown) => value === undefined ? NOT_RECORDED : String(value);
  return [...new Set([...Object.keys(a), ...Object.keys(b)])]
    .filter((key) => show(a[key]) !== show(b[key]))
    .map((key) => [key, show(a[key]), show(b[key])]);
}

/** Differences as points with intervals, around a line at 0. */
export function differenceFigure(
  rows: readonly (Difference & { name: string })[],
  { title, x }: { title: string; x: string },
): Figure {
  const bars = rows.map(({ name, value, low, high }) => ({
    name,
    value,
    interval: [low, high] as const,
  }));
  const figure = valuesWithIntervals(bars, { title, values: x });
  const zero = { type: "line", yref: "paper", y0: 0, y1: 1, x0: 0, x1: 0 };
  return {
    ...figure,
    layout: { ...figure.layout, shapes: [{ ...zero, line: { color: GREY, dash: "dot" } }] },
    table: figure.table.with(0, ["", "difference", "low", "high"]),
  };
}

/** The rows that stand over every comparison: what differs besides the numbers. */
export function commonSections(
  { warnings, settings, names }: {
    warnings: readonly string[];
    settings: readonly [Record<string, unknown>, Record<string, unknown>];
    names: readonly [string, string];
  },
): { before: Section; after: Section } {
  const rows = settingDifferences(settings);
  return {
    before: {
      heading: "Before comparing",
      text: warnings.length > 0
        ? "The two runs differ in more than their numbers, or did not record that they do not:"
        : "Machine, versions, commit, lockfile, inputs: the same in both.",
      warnings,
    },
    after: {
      heading: "Settings that differ",
      ...(rows.length > 0 ? { table: [["setting", ...names], ...rows] } : { text: "None." }),
    },
  };
}

/** Where both were measured, each field with both values where they differ. */
export function bothPlaces([a, b]: readonly [Environment, Environment]): Environment {
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])] as (keyof Environment)[];
  const show = (value: unknown) =>
    value === undefined || Number.isNaN(value) ? NOT_RECORDED : String(value);
  const entries = keys.map((key) => [
    key,
    show(a[key]) === show(b[key]) ? show(a[key]) : `${show(a[key])} | ${show(b[key])}`,
  ]);
  return Object.fromEntries(entries) as unknown as Environment;
}

/** The page of two evaluations, A and B by `names`; differences are B minus A. */
export function evaluationComparison(
  both: readonly [StoredEvaluation, StoredEvaluation],
  { names, warnings }: { names: readonly [string, string]; warnings: readonly string[] },
): Page {
  const [a, b] = both, suites = compareSuites(both);
  const only = [[a, b, names[0]], [b, a, names[1]]] as const;
  const alone = only.flatMap(([own, other, name]) =>
    own.suites.filter((s) => !other.suites.some((o) => o.suite === s.suite))
      .map((s) => `${s.suite} (${name})`)
  );
  const rows = suites.flatMap(({ suite, differences: d }) => {
    const [one, other] = both.map((run) => run.suites.find((s) => s.suite === suite)!);
    const row = (what: string, of: (s: SuiteSummary) => string) => [
      suite,
      what,
      of(one),
      of(other),
      d[what] ? showDifference(d[what]) : "-",
    ];
    return [
      row("tau", (s) => withInterval(s.tau, s.tau_ci)),
      row("speedup", (s) => withInterval(s.speedup, s.speedup_ci)),
      row("tokens/s", (s) => s.tokens_per_second.toFixed(1)),
      row("plain tokens/s", (s) => s.plain_tokens_per_second.toFixed(1)),
    ];
  });
  const counted = suites.map(({ suite, prompts, pairs, sameText }) => [
    suite,
    ...prompts,
    pairs,
    pairs > 0 ? `${sameText}/${pairs}` : "-",
  ]);
  const { before, after } = commonSections({ warnings, names, settings: [a.settings, b.settings] });
  const drawn = suites.filter((s) => s.pairs > 0);
  const unpaired = suites.filter((s) => s.pairs === 0).map((s) => s.suite);
  const notes = [
    `A is ${names[0]}, B is ${
      names[1]
    }. Differences are B minus A, over the prompts that both asked, drawn as ` +
    "pairs; brackets are 95 % intervals by bootstrap over prompts.",
    ...(unpaired.length > 0
      ? [
        `Without differences, since one run did not store its prompts or they are others: ${
          unpaired.join(", ")
        }.`,
      ]
      : []),
    ...(alone.length > 0 ? [`In one run only: ${alone.join(", ")}.`] : []),
  ];
  return {
    title: "GRIFFIN Lab: two evaluations",
    lead: `${names[0]} beside ${names[1]}`,
    environment: bothPlaces([a.environment, b.environment]),
    sections: [
      before,
      {
        heading: "Result",
        text: notes.join(" "),
        table: [["suite", "what", "A", "B", "B - A"], ...rows],
        figures: drawn.length === 0 ? [] : [
          differenceFigure(drawn.map((s) => ({ name: s.suite, ...s.differences.tau })), {
            title: "tau, B - A, paired",
            x: "tokens a target forward",
          }),
          differenceFigure(drawn.map((s) => ({ name: s.suite, ...s.differences.speedup })), {
            title: "Speedup, B - A, paired",
            x: "times plain decoding",
          }),
        ],
      },
      {
        heading: "Prompts",
        text: "Common: asked by both. Same text: with the same speculative text in both.",
        table: [["suite", "A", "B", "common", "same text"], ...counted],
      },
      after,
    ],
  };
}
