/**
 * Figures as pure functions from rows to Plotly JSON. They draw nothing: `page.ts` shows them, notebooks will.
 * Colours: Okabe and Ito's palette; grey text and no background, so that light and dark pages both serve.
 */
import type { SuiteSummary } from "../eval/summary.ts";
import type { TrainingEvent } from "./events.ts";

/** A figure: Plotly traces and layout, and the numbers it shows as a table. */
export interface Figure {
  title: string;
  data: Record<string, unknown>[];
  layout: Record<string, unknown>;
  /** First row is the heading. */
  table: (string | number)[][];
}

const COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"];
const GREY = "#808080", FAINT = "rgba(128,128,128,0.3)";

function layout(x: string, y: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  const axis = (title: string) => ({
    title: { text: title },
    gridcolor: FAINT,
    zerolinecolor: FAINT,
    automargin: true,
  });
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: GREY, family: "system-ui, sans-serif", size: 13 },
    colorway: COLORS,
    margin: { t: 16, r: 16, b: 48, l: 56 },
    xaxis: axis(x),
    yaxis: { ...axis(y), rangemode: "tozero" },
    legend: { orientation: "h", y: 1.12 },
    ...more,
  };
}

const round = (x: number) => Math.round(x * 1000) / 1000;

function errors(value: number, [low, high]: readonly [number, number]) {
  return { above: high - value, below: value - low };
}

function barsWithIntervals(
  rows: readonly { name: string; value: number; interval: readonly [number, number] }[],
): Record<string, unknown> {
  const bounds = rows.map((r) => errors(r.value, r.interval));
  return {
    type: "bar",
    x: rows.map((r) => r.name),
    y: rows.map((r) => r.value),
    marker: { color: rows.map((_, i) => COLORS[i % COLORS.length]) },
    error_y: {
      type: "data",
      symmetric: false,
      array: bounds.map((b) => b.above),
      arrayminus: bounds.map((b) => b.below),
      color: GREY,
    },
    width: 0.5,
  };
}

/** tau of each suite with its interval. */
export function tauBySuite(suites: readonly SuiteSummary[]): Figure {
  return {
    title: "Acceptance length (tau) by suite, 95 % interval",
    data: [
      barsWithIntervals(suites.map((s) => ({ name: s.suite, value: s.tau, interval: s.tau_ci }))),
    ],
    layout: layout("suite", "tau: tokens a target forward"),
    table: [
      ["suite", "tau", "low", "high"],
      ...suites.map((s) => [s.suite, round(s.tau), ...s.tau_ci.map(round)]),
    ],
  };
}

/** Speedup over plain decoding of each suite, prefill excluded. */
export function speedupBars(suites: readonly SuiteSummary[]): Figure {
  const rows = suites.map((s) => ({ name: s.suite, value: s.speedup, interval: s.speedup_ci }));
  const line = { type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1 };
  return {
    title: "Speedup over plain decoding, 95 % interval",
    data: [barsWithIntervals(rows)],
    layout: layout("suite", "times plain decoding", {
      shapes: [{ ...line, line: { color: GREY, dash: "dot" } }],
    }),
    table: [
      ["suite", "speedup", "low", "high"],
      ...rows.map((r) => [r.name, round(r.value), ...r.interval.map(round)]),
    ],
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
    layout: layout("depth in the tree", "share accepted", {
      yaxis: { title: { text: "share accepted" }, range: [0, 1], gridcolor: FAINT },
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
  const parts = [["draft", "draftMs"], ["verify", "verifyMs"], ["host", "hostMs"]] as const;
  return {
    title: "Milliseconds a round",
    data: parts.map(([name, key]) => ({
      type: "bar",
      orientation: "h",
      name,
      y: suites.map((s) => s.suite),
      x: suites.map((s) => s.ms_per_round[key]),
    })),
    layout: layout("ms", "", { barmode: "stack" }),
    table: [
      ["suite", "draft", "verify", "host"],
      ...suites.map((s) => [s.suite, ...parts.map(([, key]) => round(s.ms_per_round[key]))]),
    ],
  };
}

/** Loss and top-1 accuracy of each pass over the updates of a run, smoothed by blocks. */
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
    title: "Training: share of true tokens that the draft puts first, by pass",
    data: Array.from({ length: passes }, (_, pass) => ({
      type: "scatter",
      mode: "lines",
      name: `pass ${pass + 1}`,
      x,
      y: blocks.map((rows) => mean(rows, pass)),
    })),
    layout: layout("update", "top-1"),
    table: [
      ["update", ...Array.from({ length: passes }, (_, p) => `pass ${p + 1}`)],
      ...blocks.map((rows, i) => [
        x[i],
        ...Array.from({ length: passes }, (_, p) => round(mean(rows, p))),
      ]),
    ],
  };
}
