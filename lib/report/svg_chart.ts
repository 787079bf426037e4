/**
 * A figure as a picture without a browser: Plotly JSON, as far as our figures use it, to SVG. Grey text and no
 * background, for light and dark alike. Not a second design: what Plotly draws of the same JSON looks much the
 * same. Marks: `svg_marks.ts`; shown by `bundle.ts`.
 */
import { FAINT, GREY } from "./figure_layout.ts";
import type { Figure } from "./figures.ts";
import { escapeHtml } from "./page.ts";
import {
  type BarPlace,
  colorOf,
  drawTrace,
  mapRange,
  px,
  shortNumber,
  stroke,
  type Trace,
  viridis,
} from "./svg_marks.ts";
import { type AxisLayout, makeScale, type Scale, type Value } from "./svg_scale.ts";

/** The part of Plotly's layouts that is read here. */
interface ChartLayout {
  height?: number;
  xaxis?: AxisLayout;
  yaxis?: AxisLayout;
  barmode?: string;
  showlegend?: boolean;
  shapes?: readonly {
    xref?: string;
    yref?: string;
    x0: number;
    x1: number;
    y0: number;
    y1: number;
    line?: { color?: string; width?: number; dash?: string };
  }[];
  annotations?: readonly { x: Value; y: number; yref?: string; xref?: string; text: string }[];
}

/** About the width of a text in a proportional font. */
const textWidth = (text: string, size = 12) => text.length * size * 0.56;

/** A stack's bars begin where the ones before end; others stand beside each other. */
function barPlaces(traces: readonly Trace[], barmode?: string): (BarPlace | undefined)[] {
  const all = traces.filter((t) => t.type === "bar"), sums = new Map<string, number>();
  return traces.map((trace) => {
    if (trace.type !== "bar") return undefined;
    const flat = trace.orientation === "h";
    const names = (flat ? trace.y : trace.x) ?? [], values = (flat ? trace.x : trace.y) ?? [];
    if (barmode !== "stack") {
      return { base: names.map(() => 0), index: all.indexOf(trace), of: all.length };
    }
    const base = names.map((name, i) => {
      const before = sums.get(`${name}`) ?? 0;
      sums.set(`${name}`, before + (Number(values[i]) || 0));
      return before;
    });
    return { base, index: 0, of: 1 };
  });
}

/** Everything that must be seen along an axis. */
function valuesAlong(
  traces: readonly Trace[],
  { axis, places }: { axis: "x" | "y"; places: readonly (BarPlace | undefined)[] },
): Value[] {
  return traces.flatMap((trace, t): Value[] => {
    const own = (trace[axis] ?? []).filter((v): v is Value => v !== null);
    const error = axis === "x" ? trace.error_x : trace.error_y, place = places[t];
    const { array = [], arrayminus = array } = error ?? {};
    const spread = array.length === 0
      ? []
      : (trace[axis] ?? []).flatMap((v, i) =>
        typeof v === "number" && Number.isFinite(array[i]) && Number.isFinite(arrayminus[i])
          ? [v - arrayminus[i], v + array[i]]
          : []
      );
    const isLength = place !== undefined && (trace.orientation === "h") === (axis === "x");
    if (!isLength) return [...own, ...spread];
    return [0, ...own.map((v, i) => Number(v) + place.base[i]), ...spread];
  });
}

const isMap = (t: Trace) => t.type === "heatmap";

/** Entries of the legend in rows no wider than the chart. */
function legend(
  traces: readonly Trace[],
  { left, top, width }: { left: number; top: number; width: number },
): { svg: string; height: number } {
  let x = left, y = top;
  const parts = traces.map((trace, i) => ({ trace, color: legendColor(trace, i) }))
    .filter(({ trace }) => trace.showlegend !== false && trace.name !== undefined)
    .map(({ trace, color }) => {
      const name = trace.name!, wide = 26 + textWidth(name) + 14;
      if (x > left && x + wide > left + width) [x, y] = [left, y + 18];
      const dash = trace.line?.dash;
      const sign = trace.type === "bar"
        ? `<rect x="${px(x)}" y="${px(y - 9)}" width="18" height="10" fill="${color}"/>`
        : `<path d="M${px(x)} ${px(y - 4)}h20" ${stroke({ color, dash })}/>` +
          (trace.mode?.includes("markers")
            ? `<circle cx="${px(x + 10)}" cy="${px(y - 4)}" r="3" fill="${color}"/>`
            : "");
      const text = `<text x="${px(x + 26)}" y="${px(y)}">${escapeHtml(name)}</text>`;
      x += wide;
      return sign + text;
    });
  return { svg: parts.join(""), height: parts.length === 0 ? 0 : y - top + 18 };
}

const legendColor = ({ line, marker }: Trace, i: number) =>
  line?.color ?? (typeof marker?.color === "string" ? marker.color : colorOf(i));

/** Axis of the map's colours, at the right. */
function colorBar(trace: Trace, { x, top, bottom }: { x: number; top: number; bottom: number }) {
  const [low, high] = mapRange(trace), steps = 24, size = (bottom - top) / steps;
  const cells = Array.from({ length: steps }, (_, i) => {
    const { fill } = viridis(1 - (i + 0.5) / steps);
    return `<rect x="${px(x)}" y="${px(top + i * size)}" width="12" height="${
      px(size + 0.5)
    }" fill="${fill}"/>`;
  });
  return cells.join("") +
    `<text x="${px(x + 16)}" y="${px(top + 10)}">${shortNumber(high)}</text>` +
    `<text x="${px(x + 16)}" y="${px(bottom)}">${shortNumber(low)}</text>`;
}

/** Grid and tick texts of both axes. Texts along x that would touch are left out. */
function axes(
  { x, y, frame: { left, top, right, bottom } }: { x: Scale; y: Scale; frame: Frame },
): string {
  const grid = stroke({ color: FAINT, width: 1 });
  let free = -Infinity;
  const below = x.ticks.map(({ value, text }) => {
    const at = x.at(value), half = textWidth(text) / 2, crowded = at - half < free;
    if (!crowded) free = at + half + 6;
    return (x.slot === 0 ? `<path d="M${px(at)} ${px(top)}V${px(bottom)}" ${grid}/>` : "") +
      (crowded
        ? ""
        : `<text x="${px(at)}" y="${px(bottom + 16)}" text-anchor="middle">${
          escapeHtml(text)
        }</text>`);
  });
  const beside = y.ticks.map(({ value, text }) => {
    const at = y.at(value);
    return (y.slot === 0 ? `<path d="M${px(left)} ${px(at)}H${px(right)}" ${grid}/>` : "") +
      `<text x="${px(left - 6)}" y="${px(at + 4)}" text-anchor="end">${
        escapeHtml(text.trimEnd())
      }</text>`;
  });
  return below.join("") + beside.join("");
}

interface Frame {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Lines and texts laid over the chart. */
function extras(
  { shapes = [], annotations = [] }: ChartLayout,
  { x, y, frame }: { x: Scale; y: Scale; frame: Frame },
): string {
  const { left, top, right, bottom } = frame;
  const atX = (v: Value, ref?: string) =>
    ref === "paper" ? left + Number(v) * (right - left) : x.at(v);
  const atY = (v: number, ref?: string) => ref === "paper" ? bottom - v * (bottom - top) : y.at(v);
  return shapes.map(({ xref, yref, x0, x1, y0, y1, line = {} }) =>
    `<path d="M${px(atX(x0, xref))} ${px(atY(y0, yref))}L${px(atX(x1, xref))} ${
      px(atY(y1, yref))
    }" ${stroke({ color: line.color ?? GREY, width: line.width ?? 1.5, dash: line.dash })}/>`
  ).join("") +
    annotations.map(({ x: at, y: level, xref, yref, text }) =>
      `<text x="${px(atX(at, xref) + 2)}" y="${px(atY(level, yref) - 3)}" font-size="11">${
        escapeHtml(text)
      }</text>`
    ).join("");
}

/** The figure as SVG, `width` pixels wide. @throws on kinds of traces that our figures do not have. */
export function drawFigure(figure: Figure, { width = 700 }: { width?: number } = {}): string {
  const traces = figure.data as Trace[], settings = figure.layout as ChartLayout;
  const { xaxis = {}, yaxis = {}, barmode, annotations = [] } = settings;
  const places = barPlaces(traces, barmode);
  const along = (axis: "x" | "y") => valuesAlong(traces, { axis, places });
  const map = traces.find(isMap), named = along("y");
  const marked = traces.some((t) => t.mode?.includes("markers")) ? 0.03 : 0;
  // Ticks of a trial tell how wide their texts are.
  const trial = makeScale(named, { axis: yaxis, from: 300, to: 0, padding: 0.06 });
  const widest = trial.ticks.reduce((most, t) => Math.max(most, textWidth(t.text.trimEnd())), 0);
  const left = Math.min(width / 2, widest + 12 + (yaxis.title?.text ? 20 : 4));
  const right = width - (map === undefined ? 18 : 62);
  const several = traces.filter((t) => t.showlegend !== false && t.name !== undefined).length > 1;
  const shown = settings.showlegend ?? (several && map === undefined);
  const key = shown ? legend(traces, { left, top: 46, width: right - left }) : undefined;
  const top = 34 + (key?.height ?? 0) + (annotations.length > 0 ? 14 : 0);
  const height = Math.max(180, settings.height ?? 320) + (key?.height ?? 0);
  const frame = { left, top, right, bottom: height - (xaxis.title?.text ? 44 : 26) };
  const x = makeScale(along("x"), { axis: xaxis, from: left, to: right, padding: marked });
  const y = makeScale(named, { axis: yaxis, from: frame.bottom, to: top, padding: 0.06 });
  const clip = `clip-${Math.abs(hash(figure.title + width))}`;
  const marks = traces.map((trace, i) =>
    drawTrace(trace, { x, y, color: colorOf(i), place: places[i] })
  );
  const middle = (top + frame.bottom) / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${
    escapeHtml(figure.title)
  }" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" fill="${GREY}" ` +
    `font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="12">` +
    `<clipPath id="${clip}"><rect x="${px(left - 5)}" y="${px(top - 5)}" width="${
      px(right - left + 10)
    }" height="${px(frame.bottom - top + 10)}"/></clipPath>` +
    `<text x="4" y="18" font-size="14" font-weight="600">${escapeHtml(figure.title)}</text>` +
    (key?.svg ?? "") + axes({ x, y, frame }) +
    `<g clip-path="url(#${clip})">${marks.join("")}</g>` + extras(settings, { x, y, frame }) +
    (map === undefined ? "" : colorBar(map, { x: right + 8, top, bottom: frame.bottom })) +
    (xaxis.title?.text
      ? `<text x="${px((left + right) / 2)}" y="${px(height - 8)}" text-anchor="middle">${
        escapeHtml(xaxis.title.text)
      }</text>`
      : "") +
    (yaxis.title?.text
      ? `<text transform="translate(12 ${px(middle)}) rotate(-90)" text-anchor="middle">${
        escapeHtml(yaxis.title.text)
      }</text>`
      : "") +
    "</svg>";
}

/** Names of clipping areas must differ between the pictures of a page. */
function hash(text: string): number {
  let h = 7;
  for (const c of text) h = (31 * h + c.codePointAt(0)!) | 0;
  return h;
}
