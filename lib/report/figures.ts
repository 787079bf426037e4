/**
 * Figures as pure functions from rows to Plotly JSON. They draw nothing: `page.ts` shows them, notebooks will.
 * How they look: `figure_layout.ts`. Curves over all stages of a training: `training_figures.ts`.
 */
import type { SuiteSummary } from "../eval/summary.ts";
import type { TrainingEvent } from "./events.ts";
import { axis, COLORS, GREY, type Layout, layout, round } from "./figure_layout.ts";

/** A figure: Plotly traces and layout, and the numbers it shows as a table. */
export interface Figure {
  title: string;
  data: Record<string, unknown>[];
  layout: Record<string, unknown>;
  /** First row is the heading. */
  table: (string | number)[][];
}

/** Parts of a round; not the colours of suites. */
const PARTS = [
  { name: "draft", key: "draftMs", color: "#56B4E9" },
  { name: "verify", key: "verifyMs", color: "#D55E00" },
  { name: "sampling", key: "sampleMs", color: "#009E73" },
  { name: "host", key: "hostMs", color: "#999999" },
] as const;

/** A layout of one horizontal bar a suite, the first on top; long names have room at the left. */
function barLayout(rows: readonly unknown[], { values, ...more }: Layout & { values: string }) {
  const suites = axis("", { autorange: "reversed", type: "category", ticksuffix: " " });
  const axes = { xaxis: axis(values, { rangemode: "tozero" }), yaxis: suites };
  return layout(axes, { height: 120 + 44 * rows.length, ...more });
}

/** A named value with its 95 % interval. */
export interface Bar {
  name: string;
  value: number;
  interval: readonly [number, number];
}

function errorBars(rows: readonly Bar[]) {
  return {
    type: "data",
    symmetric: false,
    array: rows.map(({ value, interval: [, high] }) => high - value),
    arrayminus: rows.map(({ value, interval: [low] }) => value - low),
    // Seen on bars, on white and on black.
    color: "#999999",
    thickness: 2,
  };
}

function barsWithIntervals(rows: readonly Bar[]): Record<string, unknown> {
  return {
    type: "bar",
    orientation: "h",
    y: rows.map((r) => r.name),
    x: rows.map((r) => r.value),
    marker: { color: rows.map((_, i) => COLORS[i % COLORS.length]) },
    error_x: errorBars(rows),
    width: 0.6,
  };
}

const barTable = (what: string, rows: readonly Bar[]) => [
  ["suite", what, "low", "high"],
  ...rows.map((r) => [r.name, round(r.value), ...r.interval.map(round)]),
];

/** tau of each suite with its interval. */
export function tauBySuite(suites: readonly SuiteSummary[]): Figure {
  const rows = suites.map((s) => ({ name: s.suite, value: s.tau, interval: s.tau_ci }));
  return {
    title: "Acceptance length (tau), 95 % interval",
    data: [barsWithIntervals(rows)],
    layout: barLayout(rows, { values: "tau: tokens a target forward" }),
    table: barTable("tau", rows),
  };
}

/**
 * Named values as points with their 95 % intervals, the first on top: arms of an experiment. `values` names the
 * axis, which need not begin at 0; a dotted line stands at the value of `base`, if one is named.
 */
export function valuesWithIntervals(
  rows: readonly Bar[],
  { title, values, base }: { title: string; values: string; base?: string },
): Figure {
  const at = rows.find((r) => r.name === base)?.value;
  const line = { type: "line", yref: "paper", y0: 0, y1: 1, x0: at, x1: at };
  return {
    title: `${title}, 95 % interval`,
    data: [{
      type: "scatter",
      mode: "markers",
      y: rows.map((r) => r.name),
      x: rows.map((r) => r.value),
      marker: { color: rows.map((_, i) => COLORS[i % COLORS.length]), size: 10 },
      error_x: errorBars(rows),
    }],
    layout: barLayout(rows, {
      values,
      xaxis: axis(values),
      shapes: at === undefined ? [] : [{ ...line, line: { color: GREY, dash: "dot" } }],
    }),
    table: barTable(values, rows).with(0, ["arm", values, "low", "high"]),
  };
}

/** Speedup over plain decoding of each suite, prefill excluded. */
export function speedupBars(suites: readonly SuiteSummary[]): Figure {
  const rows = suites.map((s) => ({ name: s.suite, value: s.speedup, interval: s.speedup_ci }));
  const plain = { type: "line", yref: "paper", y0: 0, y1: 1, x0: 1, x1: 1 };
  return {
    title: "Speedup over plain decoding, 95 % interval",
    data: [barsWithIntervals(rows)],
    layout: barLayout(rows, {
      values: "times plain decoding",
      shapes: [{ ...plain, line: { color: GREY, dash: "dot" } }],
    }),
    table: barTable("speedup", rows),
  };
}

/** Share accepted at each depth, of the rounds that reached it. */
export function acceptanceCurves(suites: readonly SuiteSummary[]): Figure {
  return {
    title: "Acceptance by depth (n-alpha)",
    data: suites.map((s) => ({
      type: "scatter",
      mode: "lines+markers",
      name: s.suite,
      x: s.acceptance_by_depth.map((d) => d.depth),
      y: s.acceptance_by_depth.map((d) => d.share),
    })),
    layout: layout({
      xaxis: axis("depth in the tree", { dtick: 1 }),
      yaxis: axis("share accepted", { range: [0, 1.05] }),
    }),
    table: [
      ["suite", "depth", "share", "accepted", "reached"],
      ...suites.flatMap((s) =>
        s.acceptance_by_depth.map((d) => [s.suite, d.depth, round(d.share), d.accepted, d.reached])
      ),
    ],
  };
}

/** Where a round's time goes. */
export function timeBreakdown(suites: readonly SuiteSummary[]): Figure {
  return {
    title: "Milliseconds a round",
    data: PARTS.map(({ name, key, color }) => ({
      type: "bar",
      orientation: "h",
      name,
      y: suites.map((s) => s.suite),
      x: suites.map((s) => s.ms_per_round[key]),
      marker: { color },
      width: 0.6,
    })),
    layout: barLayout(suites, { values: "ms", barmode: "stack", height: 150 + 44 * suites.length }),
    table: [
      ["suite", ...PARTS.map(({ name }) => name)],
      ...suites.map((s) => [s.suite, ...PARTS.map(({ key }) => round(s.ms_per_round[key]))]),
    ],
  };
}

/** Top-1 accuracy of each pass over the updates of a run, averaged over blocks: `points` of them at most. */
export function trainingCurves(events: readonly TrainingEvent[], { points = 100 } = {}): Figure {
  const steps = events.filter((e) => e.type === "step");
  const block = Math.max(1, Math.ceil(steps.length / points)),
    passes = steps[0]?.passes.length ?? 0;
  const blocks = Array.from(
    { length: Math.ceil(steps.length / block) },
    (_, i) => steps.slice(i * block, (i + 1) * block),
  );
  const mean = (rows: typeof steps, pass: number) =>
    rows.reduce((s, r) => s + r.passes[pass].top1, 0) / rows.length;
  const x = blocks.map((rows) => rows[rows.length - 1].step);
  return {
    title: "True tokens that the draft puts first, by pass",
    data: Array.from({ length: passes }, (_, pass) => ({
      type: "scatter",
      mode: "lines",
      name: `pass ${pass + 1}`,
      x,
      y: blocks.map((rows) => mean(rows, pass)),
    })),
    layout: layout({
      xaxis: axis("update"),
      yaxis: axis("top-1", { rangemode: "tozero" }),
    }),
    table: [
      ["update", ...Array.from({ length: passes }, (_, p) => `pass ${p + 1}`)],
      ...blocks.map((rows, i) => [
        x[i],
        ...Array.from({ length: passes }, (_, p) => round(mean(rows, p))),
      ]),
    ],
  };
}
