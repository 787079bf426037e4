/**
 * Figures of single questions, as pure functions from rows to Plotly JSON: tau over tree sizes, misaligned tokens
 * by pass (the paper's figure 1c), what a round's parts cost, two sides of a comparison. Figures of suites are in
 * `figures.ts`, of trainings in `training_figures.ts`.
 */
import { axis, COLORS, GREY, layout, round } from "./figure_layout.ts";
import type { Figure } from "./figures.ts";

/** A measured value with its interval, of one series at one place. */
export interface Measured {
  series: string;
  at: number;
  value: number;
  /** 95 %, if known. */
  interval?: readonly [low: number, high: number];
}

/** Rows of each series, in the order in which series first occur. */
function bySeries(rows: readonly Measured[]): [string, Measured[]][] {
  const names = [...new Set(rows.map((r) => r.series))];
  return names.map((name) => [name, rows.filter((r) => r.series === name)]);
}

const intervals = (rows: readonly Measured[]) =>
  rows.some((r) => r.interval !== undefined)
    ? {
      error_y: {
        type: "data",
        symmetric: false,
        array: rows.map(({ value, interval }) => (interval?.[1] ?? value) - value),
        arrayminus: rows.map(({ value, interval }) => value - (interval?.[0] ?? value)),
        thickness: 1.5,
      },
    }
    : {};

const tableOf = (rows: readonly Measured[], { x, y }: { x: string; y: string }) => [
  ["series", x, y, "low", "high"],
  ...rows.map(({ series, at, value, interval }) => [
    series,
    at,
    round(value),
    ...(interval === undefined ? ["-", "-"] : interval.map(round)),
  ]),
];

/** Lines with points and whiskers, a line a series. `x` and `y` are the axes' titles. */
export function measuredCurves(
  rows: readonly Measured[],
  { title, x, y, log = false, fromZero = true, share = false }: {
    title: string;
    x: string;
    y: string;
    /** A logarithmic x axis. */
    log?: boolean;
    fromZero?: boolean;
    /** Values are shares, shown in percent. */
    share?: boolean;
  },
): Figure {
  const places = [...new Set(rows.map((r) => r.at))].sort((a, b) => a - b);
  const span = (places.at(-1) ?? 0) - (places[0] ?? 0);
  const whole = !log && span < 15 && places.every(Number.isInteger);
  return {
    title,
    data: bySeries(rows).map(([name, own], i) => ({
      type: "scatter",
      mode: "lines+markers",
      name,
      x: own.map((r) => r.at),
      y: own.map((r) => r.value),
      line: { color: COLORS[i % COLORS.length] },
      ...intervals(own),
    })),
    layout: layout({
      xaxis: axis(x, { ...(log && { type: "log" }), ...(whole && { dtick: 1 }) }),
      yaxis: axis(y, {
        ...(fromZero && { rangemode: "tozero" }),
        ...(share && { tickformat: ".0%" }),
      }),
    }),
    table: tableOf(rows, { x, y }),
  };
}

/** tau against the nodes of a tree: `at` is the budget, root included. */
export function tauByBudget(rows: readonly Measured[]): Figure {
  return measuredCurves(rows, {
    title: "Acceptance length by tree size",
    x: "nodes verified a round",
    y: "tau: tokens a target forward",
  });
}

/** Share of rows whose true token is outside the draft's top k, pass after pass: the paper's figure 1c. */
export function misalignedByPass(
  rows: readonly Measured[],
  { k = 3 }: { k?: number } = {},
): Figure {
  return measuredCurves(rows, {
    title: `Misaligned tokens by pass: true token outside the top ${k}`,
    x: "pass",
    y: "share of trainable rows",
    share: true,
  });
}

/** Milliseconds of a round's parts over the rows that they forward: three curves. */
export function costCurves(
  costs: {
    read: readonly (readonly [number, number])[];
    expand: readonly (readonly [number, number])[];
    verify: readonly (readonly [number, number])[];
  },
): Figure {
  const parts = [
    ["target verifies", costs.verify],
    ["draft reads", costs.read],
    ["draft expands", costs.expand],
  ] as const;
  const rows = parts.flatMap(([series, curve]) =>
    curve.map(([at, value]): Measured => ({ series, at, value }))
  );
  return measuredCurves(rows, {
    title: "What a forward costs here, by rows",
    x: "rows",
    y: "milliseconds",
    log: true,
  });
}

/** A bar a row with its interval, and a dotted line at `reference`, as in tables of ablations. */
export function intervalBars(
  rows: readonly { name: string; value: number; interval: readonly [number, number] }[],
  { title, values, reference }: { title: string; values: string; reference?: number },
): Figure {
  const inside = (r: typeof rows[number]) =>
    reference !== undefined && r.interval[0] <= reference && r.interval[1] >= reference;
  const line = { type: "line", yref: "paper", y0: 0, y1: 1, x0: reference, x1: reference };
  return {
    title,
    data: [{
      type: "scatter",
      mode: "markers",
      x: rows.map((r) => r.value),
      y: rows.map((r) => r.name),
      // Grey where nothing can be told from the reference.
      marker: { color: rows.map((r) => inside(r) ? "#999999" : COLORS[0]), size: 9 },
      error_x: {
        type: "data",
        symmetric: false,
        array: rows.map((r) => r.interval[1] - r.value),
        arrayminus: rows.map((r) => r.value - r.interval[0]),
        color: "#999999",
        thickness: 2,
      },
    }],
    layout: layout({
      xaxis: axis(values),
      yaxis: axis("", { autorange: "reversed", type: "category", ticksuffix: " " }),
    }, {
      height: 110 + 30 * rows.length,
      ...(reference !== undefined && { shapes: [{ ...line, line: { color: GREY, dash: "dot" } }] }),
    }),
    table: [
      ["", values, "low", "high"],
      ...rows.map((r) => [r.name, round(r.value), ...r.interval.map(round)]),
    ],
  };
}
