/**
 * Results of two runs of an experiment side by side: each arm's ratio in both, and the paired difference on the seeds
 * that both have. From stored rows only. What must be said beforehand: `lib/report/run_facts.ts`.
 */
import { estimateDifference, estimateRatio } from "../eval/two_level.ts";
import {
  bothPlaces,
  commonSections,
  differenceFigure,
  showDifference,
} from "../report/comparison.ts";
import type { Page } from "../report/page.ts";
import { withInterval } from "../report/table.ts";
import { settingRows } from "../report/training_page.ts";
import { resultsPlace } from "./report.ts";
import type { Results, Row } from "./rows.ts";

type Both = readonly [Results, Results];

/** An arm and measure that both results have. */
interface Shared {
  arm: string;
  measure: string;
  /** Rows of the seeds that both have, in the same order; all rows where no seed is shared. */
  rows: readonly [readonly Row[], readonly Row[]];
  paired: boolean;
}

function sharedBy([a, b]: Both): Shared[] {
  return [...new Set(a.rows.map((r) => r.arm))].flatMap((arm) => {
    const [own, other] = [a, b].map(({ rows }) => rows.filter((r) => r.arm === arm));
    if (other.length === 0) return [];
    const seeds = own.map((r) => r.seed).filter((s) => other.some((r) => r.seed === s));
    const at = (rows: readonly Row[]) => seeds.map((s) => rows.find((r) => r.seed === s)!);
    const measures = Object.keys(own[0].counts).filter((m) => other[0].counts[m] !== undefined);
    return measures.map((measure) => {
      const lengths = [...at(own), ...at(other)].map((r) => r.counts[measure].length);
      const paired = seeds.length > 0 && new Set(lengths).size === 1;
      return { arm, measure, paired, rows: paired ? [at(own), at(other)] as const : [own, other] };
    });
  });
}

/** The page of two results, A and B by `names`; differences are B minus A. */
export function resultsComparison(
  both: Both,
  { names, warnings }: { names: readonly [string, string]; warnings: readonly string[] },
): Page {
  const shared = sharedBy(both),
    of = (rows: readonly Row[], m: string) => rows.map((r) => r.counts[m]);
  const rows = shared.map(({ arm, measure, rows: [a, b], paired }) => {
    const [one, other] = [a, b].map((r) => estimateRatio(of(r, measure)));
    const difference = paired
      ? estimateDifference({ arm: of(b, measure), base: of(a, measure) })
      : undefined;
    return { arm, measure, one, other, difference, seeds: paired ? a.length : 0 };
  });
  const show = (e: { value: number; low: number; high: number }) =>
    withInterval(e.value, [e.low, e.high]);
  const settings = both.map((r) => Object.fromEntries(settingRows({ ...r.settings }))) as [
    Record<string, string>,
    Record<string, string>,
  ];
  const { before, after } = commonSections({ warnings, names, settings });
  const drawn = rows.flatMap(({ arm, measure, difference }) =>
    difference === undefined ? [] : [{ name: `${arm}, ${measure}`, ...difference }]
  );
  return {
    title: "GRIFFIN Lab: results of two experiments",
    lead: `${names[0]} beside ${names[1]}`,
    environment: bothPlaces([resultsPlace(both[0]), resultsPlace(both[1])]),
    sections: [
      before,
      {
        heading: "Result",
        text: rows.length === 0
          ? "They have no arm and measure in common."
          : "Differences are B minus A on the seeds and prompts that both have, drawn as pairs; brackets are 95 % " +
            "intervals over prompts and, of several seeds, over seeds.",
        table: [
          ["arm", "measure", "A", "B", "B - A", "common seeds"],
          ...rows.map((r) => [
            r.arm,
            r.measure,
            show(r.one),
            show(r.other),
            r.difference === undefined ? "-" : showDifference(r.difference),
            r.seeds,
          ]),
        ],
        figures: drawn.length === 0 ? [] : [
          differenceFigure(drawn, { title: "B - A, paired", x: "difference" }),
        ],
      },
      after,
    ],
  };
}
