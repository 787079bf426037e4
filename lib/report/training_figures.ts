/**
 * Curves over all stages of a training, as pure functions from events to Plotly JSON: medians of bins for long
 * series, with the middle eight tenths of each bin as a band; validations as points; a dotted line where a
 * stage begins. Updates are counted on from stage to stage. The page they stand on: `training_page.ts`.
 */
import type { StepEvent, TrainingEvent, ValidationEvent } from "./events.ts";
import { axis, COLORS, FAINT, GREY, type Layout, layout } from "./figure_layout.ts";
import type { Figure } from "./figures.ts";

/** Events of each stage, in order. */
export type Stages = readonly (readonly TrainingEvent[])[];

type Measured = StepEvent | ValidationEvent;

/** One curve: a number of each event, undefined where there is none. */
export interface Curve<E extends Measured> {
  name: string;
  value: (event: E) => number | undefined;
}

export interface CurvesOptions {
  title: string;
  /** Title of the vertical axis. */
  y: string;
  /** Of updates: lines. */
  training?: readonly Curve<StepEvent>[];
  /** Of validations: points, joined by thin lines. The same colours in the same order. */
  validation?: readonly Curve<ValidationEvent>[];
  yaxis?: Layout;
  /** Show the range where nine tenths of the points lie: the first updates are far from all others. */
  focus?: boolean;
  /** Show the spread of each bin; for figures of one curve. */
  band?: boolean;
  /** Points of a curve, all stages together, at most (about). */
  points?: number;
}

/** Number `q` (0 to 1) of the way through the sorted values, between neighbours if need be. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b), at = q * (sorted.length - 1);
  const low = sorted[Math.floor(at)], high = sorted[Math.ceil(at)];
  return low + (high - low) * (at - Math.floor(at));
}

/** Updates done before each stage, and at the end of all. */
export function offsetsOf(stages: Stages): number[] {
  const offsets = [0];
  for (const events of stages) {
    offsets.push(offsets.at(-1)! + events.reduce((most, e) => Math.max(most, e.step), 0));
  }
  return offsets;
}

/** A point of a curve: the median of a bin; stages are kept apart, so that curves break there. */
interface Point {
  x: number;
  y: number;
  low: number;
  high: number;
}

const isNumber = (value: unknown): value is number => Number.isFinite(value);

/** Runs of `size` values; the last may be shorter. */
function bins<T>(values: readonly T[], size: number): T[][] {
  const count = Math.ceil(values.length / size);
  return Array.from({ length: count }, (_, i) => values.slice(i * size, (i + 1) * size));
}

/** The points of one curve, stage after stage. */
export function pointsOf<E extends Measured>(
  stages: readonly (readonly E[])[],
  { value, offsets, size }: { value: Curve<E>["value"]; offsets: number[]; size: number },
): Point[][] {
  return stages.map((events, s) => {
    const rows = events.map((e) => ({ x: offsets[s] + e.step, y: value(e) }))
      .filter((row): row is { x: number; y: number } => isNumber(row.y));
    return bins(rows, size).map((bin) => {
      const ys = bin.map((r) => r.y);
      // The middle update itself, not one between two.
      const x = bin[Math.floor((bin.length - 1) / 2)].x;
      return { x, y: quantile(ys, 0.5), low: quantile(ys, 0.1), high: quantile(ys, 0.9) };
    });
  });
}

/** The stages one after another with a gap between them: Plotly breaks a line at null. */
function joined(stages: readonly Point[][], key: keyof Point): (number | null)[] {
  const filled = stages.filter((points) => points.length > 0);
  return filled.flatMap((points, i) => [...(i > 0 ? [null] : []), ...points.map((p) => p[key])]);
}

/** A grey area per stage: one closed line around each. */
function bandTraces(stages: readonly Point[][]): Record<string, unknown>[] {
  return stages.filter((points) => points.length > 1).map((points) => ({
    type: "scatter",
    mode: "lines",
    fill: "toself",
    fillcolor: FAINT,
    line: { width: 0 },
    hoverinfo: "skip",
    showlegend: false,
    x: [...points, ...points.toReversed()].map((p) => p.x),
    y: [...points.map((p) => p.high), ...points.toReversed().map((p) => p.low)],
  }));
}

/** Four significant digits: losses and learning rates share no scale. */
const short = (value: number) => Number(value.toPrecision(4));

/** From the lowest twentieth to the highest, and a tenth of that on both sides. */
function focusOf(values: readonly number[]): [number, number] {
  const low = quantile(values, 0.05), high = quantile(values, 0.95);
  const room = 0.1 * (high - low) || 0.01;
  return [low - room, high + room];
}

/** A dotted line before the first update of stage 2, 3 ..., with its name; none for a single stage. */
function stageMarks(offsets: readonly number[]): Layout {
  const begins = offsets.slice(1, -1);
  if (begins.length === 0) return {};
  const line = { type: "line", yref: "paper", y0: 0, y1: 1, line: { color: GREY, dash: "dot" } };
  const label = { yref: "paper", y: 1, yanchor: "bottom", xanchor: "left", showarrow: false };
  const legend = { orientation: "h", x: 0, y: 1.1, yanchor: "bottom", traceorder: "normal" };
  return {
    legend, // above the names of the stages
    margin: { t: 28, r: 24, b: 48, l: 56 },
    shapes: begins.map((x) => ({ ...line, x0: x, x1: x })),
    annotations: [0, ...begins].map((x, i) => ({ ...label, x, text: `stage ${i + 1}` })),
  };
}

/** Curves of updates and validations over the whole training. Without any value: no traces. */
export function trainingFigure(
  stages: Stages,
  { title, y, training = [], validation = [], ...options }: CurvesOptions,
): Figure {
  const { yaxis = {}, band = false, focus = false, points = 150 } = options;
  const offsets = offsetsOf(stages);
  const steps = stages.map((s) => s.filter((e) => e.type === "step"));
  const checks = stages.map((s) => s.filter((e) => e.type === "validation"));
  const size = Math.max(1, Math.ceil(steps.reduce((n, s) => n + s.length, 0) / points));
  const lines = training.map(({ name, value }, i) => ({
    name,
    color: COLORS[i],
    points: pointsOf(steps, { value, offsets, size }),
  }));
  const dots = validation.map(({ name, value }, i) => ({
    name: training.some((t) => t.name === name) ? `${name}, validation` : name,
    color: COLORS[i],
    points: pointsOf(checks, { value, offsets, size: 1 }),
  }));
  const trace = ({ name, points }: typeof lines[number]) => ({
    type: "scatter",
    name,
    x: joined(points, "x"),
    y: joined(points, "y"),
  });
  const has = ({ points }: typeof lines[number]) => points.some((p) => p.length > 0);
  const shown = lines.filter(has), checked = dots.filter(has);
  const data = [
    ...(band && size > 1 ? shown.flatMap((l) => bandTraces(l.points)) : []),
    ...shown.map((l) => ({
      ...trace(l),
      mode: "lines",
      // Noisy; where there are validations, these speak.
      opacity: checked.length > 0 ? 0.5 : 1,
      line: { color: l.color, width: 1.5 },
    })),
    ...checked.map((d) => ({
      ...trace(d),
      mode: "lines+markers",
      line: { color: d.color, width: 1, dash: shown.length > 0 ? "dot" : "solid" },
      marker: { color: d.color, size: 6 },
      // Pass n has the colour of the line of pass n.
      showlegend: shown.length === 0 || validation.length === 1,
    })),
  ];
  const stageOf = (x: number) => offsets.findLastIndex((o) => o < x) + 1;
  const rows = [...shown, ...checked].flatMap(({ name, points }) =>
    points.flat().map((p) => ({ ...p, name }))
  );
  const range = focus && rows.length > 0 ? { range: focusOf(rows.map((r) => r.y)) } : {};
  return {
    title,
    data,
    layout: layout({
      xaxis: axis("update", { range: [0, Math.max(1, offsets.at(-1)!)] }),
      yaxis: axis(y, { ...yaxis, ...range }),
    }, {
      showlegend: Math.max(training.length, validation.length) > 1 ||
        (shown.length > 0 && checked.length > 0),
      ...stageMarks(offsets),
    }),
    table: [
      ["curve", "stage", "update", "median", "tenth", "nine tenths"],
      ...rows.map((r) => [r.name, stageOf(r.x), r.x, short(r.y), short(r.low), short(r.high)]),
    ],
  };
}
