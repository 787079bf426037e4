/**
 * The page of a sweep over tree sizes: what was decoded, and maps of what was simulated, tau and tokens a second over
 * nodes and depth, for each cell the best width and minimum score. Made from rows only.
 */
import type { Environment } from "./environment.ts";
import { axis, layout, round } from "./figure_layout.ts";
import type { Figure } from "./figures.ts";
import type { Page } from "./page.ts";

/** A simulated size. */
export interface SizeRow {
  depth: number;
  width: number;
  budget: number;
  tau: number;
  tokensPerSecond: number;
}

/** What is shown of a suite. */
export interface SweptSuite {
  suite: string;
  rows: readonly SizeRow[];
  /** Really decoded; heading first. */
  decoded: readonly (readonly (string | number)[])[];
  text: string;
}

/** The best row of each cell by `value`. */
function bestByCell(rows: readonly SizeRow[], value: (row: SizeRow) => number) {
  const cells = new Map<string, SizeRow>();
  for (const row of rows) {
    const key = `${row.depth} ${row.budget}`, found = cells.get(key);
    if (found === undefined || value(row) > value(found)) cells.set(key, row);
  }
  return (depth: number, budget: number) => cells.get(`${depth} ${budget}`);
}

/** A map over nodes and depth. */
export function sizeMap(
  rows: readonly SizeRow[],
  { title, value }: { title: string; value: (row: SizeRow) => number },
): Figure {
  const rising = (values: Iterable<number>) => [...new Set(values)].sort((a, b) => a - b);
  const budgets = rising(rows.map((r) => r.budget)), depths = rising(rows.map((r) => r.depth));
  const at = bestByCell(rows, value);
  const z = depths.map((depth) =>
    budgets.map((budget) => {
      const row = at(depth, budget);
      return row === undefined ? null : round(value(row));
    })
  );
  return {
    title,
    data: [{
      type: "heatmap",
      x: budgets.map(String),
      y: depths.map(String),
      z,
      colorscale: "Viridis",
      hovertemplate: "%{x} nodes, depth %{y}: %{z}<extra></extra>",
    }],
    layout: layout({
      xaxis: axis("nodes", { type: "category" }),
      yaxis: axis("depth", { type: "category" }),
    }),
    table: [
      ["depth", ...budgets.map((n) => `${n} nodes`)],
      ...depths.map((depth, i) => [depth, ...z[i].map((v) => v ?? "-")]),
    ],
  };
}

/** The page for `renderPage`. */
export function sweepPage(
  suites: readonly SweptSuite[],
  { environment, settings }: {
    environment: Environment;
    settings: Record<string, string | number>;
  },
): Page {
  return {
    title: "GRIFFIN Lab: which tree is the fastest?",
    lead:
      "All sizes simulated from one recording of the draft; the best, and the tree that sizes " +
      "itself, decoded in turn.",
    sections: [
      ...suites.map(({ suite, rows, decoded, text }) => ({
        heading: suite,
        text,
        table: decoded,
        figures: [
          sizeMap(rows, { title: `${suite}: acceptance length (tau)`, value: (r) => r.tau }),
          sizeMap(rows, {
            title: `${suite}: predicted tokens a second`,
            value: (r) => r.tokensPerSecond,
          }),
        ],
      })),
      {
        heading: "Settings",
        table: [["setting", "value"], ...Object.entries(settings).map(([k, v]) => [k, String(v)])],
      },
    ],
    environment,
  };
}
