/**
 * The marks of a drawn chart as SVG: lines, points, bands, bars, whiskers, maps of cells. Each takes one Plotly
 * trace of the kinds that our figures use and two scales (`svg_scale.ts`). The frame around them: `svg_chart.ts`.
 */
import { COLORS, GREY } from "./figure_layout.ts";
import { escapeHtml } from "./page.ts";
import type { Scale, Value } from "./svg_scale.ts";

/** The part of Plotly's traces that is read here. */
export interface Trace {
  type?: string;
  mode?: string;
  name?: string;
  x?: readonly (Value | null)[];
  y?: readonly (Value | null)[];
  z?: readonly (readonly (number | null)[])[];
  orientation?: string;
  opacity?: number;
  fill?: string;
  fillcolor?: string;
  width?: number;
  showlegend?: boolean;
  colorscale?: string;
  /** Of the map's cells; those of the data without it. */
  zmin?: number;
  zmax?: number;
  text?: readonly (readonly string[])[];
  line?: { color?: string; width?: number; dash?: string };
  marker?: { color?: string | readonly string[]; size?: number; symbol?: string };
  error_x?: ErrorBars;
  error_y?: ErrorBars;
}

export interface ErrorBars {
  array?: readonly number[];
  arrayminus?: readonly number[];
  color?: string;
  thickness?: number;
}

/** A trace's place in its figure. */
export interface Drawing {
  x: Scale;
  y: Scale;
  /** Its colour where it names none. */
  color: string;
}

/** Two digits after the point: a tenth of a pixel is not seen, and files stay small. */
export const px = (value: number): string => `${Number(value.toFixed(1))}`;

const DASHES: Record<string, string> = { dot: "2 3", dash: "6 4", dashdot: "6 3 2 3" };

/** Attributes of a stroke. */
export function stroke(
  { color, width = 2, dash }: { color: string; width?: number; dash?: string },
): string {
  const dashes = dash !== undefined && DASHES[dash] !== undefined
    ? ` stroke-dasharray="${DASHES[dash]}"`
    : "";
  return `stroke="${color}" stroke-width="${width}"${dashes}`;
}

/** The points of a trace in runs: a point without a place ends one. */
function runs({ x = [], y = [] }: Trace, drawing: Drawing): [number, number][][] {
  const all: [number, number][][] = [[]];
  for (let i = 0; i < x.length; i++) {
    const px = x[i], py = y[i];
    const point: [number, number] | undefined = px === null || py === null || py === undefined
      ? undefined
      : [drawing.x.at(px), drawing.y.at(py)];
    if (point === undefined || point.some(Number.isNaN)) all.push([]);
    else all[all.length - 1].push(point);
  }
  return all.filter((run) => run.length > 0);
}

const pathOf = (points: readonly [number, number][]) =>
  points.map(([x, y], i) => `${i === 0 ? "M" : "L"}${px(x)} ${px(y)}`).join("");

/** Whiskers along one axis at the places of a trace. */
function whiskers(
  trace: Trace,
  { x, y, color, along }: Drawing & { along: "x" | "y" },
): string {
  const bars = along === "x" ? trace.error_x : trace.error_y;
  if (bars?.array === undefined) return "";
  const { array, arrayminus = array } = bars, xs = trace.x ?? [], ys = trace.y ?? [];
  const paint = stroke({ color: bars.color ?? color, width: bars.thickness ?? 1.5 });
  return xs.map((at, i) => {
    const other = ys[i];
    if (at === null || other === null) return "";
    const value = Number(along === "x" ? at : other);
    const low = value - arrayminus[i], high = value + array[i];
    if (![low, high].every(Number.isFinite)) return "";
    if (along === "x") {
      const a = px(x.at(low)), b = px(x.at(high)), m = y.at(other);
      return `<path d="M${a} ${px(m)}H${b}M${a} ${px(m - 4)}v8M${b} ${px(m - 4)}v8" ${paint}/>`;
    }
    const a = px(y.at(low)), b = px(y.at(high)), m = x.at(at);
    return `<path d="M${px(m)} ${a}V${b}M${px(m - 4)} ${a}h8M${px(m - 4)} ${b}h8" ${paint}/>`;
  }).join("");
}

/** Lines, points, filled areas. */
function scatter(trace: Trace, drawing: Drawing): string {
  const { mode = "lines", opacity = 1, line = {}, marker = {} } = trace;
  const color = line.color ?? (typeof marker.color === "string" ? marker.color : drawing.color);
  const paths = runs(trace, drawing), parts: string[] = [];
  if (trace.fill === "toself") {
    parts.push(...paths.map((p) => `<path d="${pathOf(p)}Z" fill="${trace.fillcolor ?? color}"/>`));
  } else if (mode.includes("lines") && line.width !== 0) {
    const { width, dash } = line, paint = stroke({ color, width, dash });
    parts.push(...paths.map((p) => `<path d="${pathOf(p)}" fill="none" ${paint}/>`));
  }
  if (mode.includes("markers")) {
    const radius = (marker.size ?? 6) / 2;
    const fills = typeof marker.color === "object" ? marker.color : undefined;
    parts.push(
      ...paths.flat().map(([x, y], i) =>
        `<circle cx="${px(x)}" cy="${px(y)}" r="${radius}" fill="${fills?.[i] ?? color}"/>`
      ),
    );
  }
  const bars = whiskers(trace, { ...drawing, color, along: "y" }) +
    whiskers(trace, { ...drawing, color, along: "x" });
  return `<g${opacity < 1 ? ` opacity="${opacity}"` : ""}>${bars}${parts.join("")}</g>`;
}

/** Where each bar of a figure begins, and how it shares its place with others. */
export interface BarPlace {
  /** Values before each bar in a stack; zeros beside each other. */
  base: readonly number[];
  /** Which of how many beside each other. */
  index: number;
  of: number;
}

/** Bars of either direction. */
function bars(trace: Trace, { place, ...drawing }: Drawing & { place: BarPlace }): string {
  const flat = trace.orientation === "h", { x, y, color } = drawing;
  const names = (flat ? trace.y : trace.x) ?? [], values = (flat ? trace.x : trace.y) ?? [];
  const across = flat ? y : x, along = flat ? x : y;
  const whole = (trace.width ?? 0.8) * (across.slot || 12), wide = whole / place.of;
  const marks = names.map((name, i) => {
    const value = values[i];
    if (name === null || typeof value !== "number" || !Number.isFinite(value)) return "";
    const colors = trace.marker?.color;
    const fill = typeof colors === "string" ? colors : colors?.[i] ?? color;
    const from = along.at(place.base[i]), to = along.at(place.base[i] + value);
    const start = across.at(name) - whole / 2 + place.index * wide;
    const [low, size] = [Math.min(from, to), Math.abs(to - from)];
    return flat
      ? `<rect x="${px(low)}" y="${px(start)}" width="${px(size)}" height="${
        px(wide)
      }" fill="${fill}"/>`
      : `<rect x="${px(start)}" y="${px(low)}" width="${px(wide)}" height="${
        px(size)
      }" fill="${fill}"/>`;
  });
  const along1 = flat ? "x" : "y";
  const shifted = place.of === 1 ? drawing : {
    ...drawing,
    [flat ? "y" : "x"]: {
      ...across,
      at: (v: Value) => across.at(v) - whole / 2 + (place.index + 0.5) * wide,
    },
  };
  return marks.join("") + whiskers(trace, { ...shifted, color: GREY, along: along1 });
}

/** Matplotlib's viridis at eight places: told apart by all, rising in lightness. */
const VIRIDIS = [
  [68, 1, 84],
  [70, 50, 127],
  [54, 92, 141],
  [39, 127, 142],
  [31, 161, 135],
  [74, 194, 109],
  [159, 218, 58],
  [253, 231, 37],
] as const;

/** Colour of a share from 0 to 1, and a colour that text on it can have. */
export function viridis(share: number): { fill: string; ink: string } {
  const at = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const i = Math.min(VIRIDIS.length - 2, Math.floor(at)), t = at - i;
  const rgb = VIRIDIS[i].map((c, k) => Math.round(c + t * (VIRIDIS[i + 1][k] - c)));
  const light = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
  return { fill: `rgb(${rgb.join(",")})`, ink: light > 130 ? "#000" : "#fff" };
}

/** Smallest and largest of a map. */
export function mapRange({ z = [], zmin, zmax }: Trace): [number, number] {
  const all = z.flat().filter((v): v is number => v !== null && Number.isFinite(v));
  const low = zmin ?? all.reduce((a, b) => Math.min(a, b), Infinity);
  return [low, zmax ?? all.reduce((a, b) => Math.max(a, b), -Infinity)];
}

/** A map of cells, each with its number where it has room. */
function heatmap(trace: Trace, { x, y }: Drawing): string {
  const { x: names = [], y: rows = [], z = [], text } = trace, [low, high] = mapRange(trace);
  return z.map((row, r) =>
    row.map((value, c) => {
      const name = names[c], other = rows[r];
      if (value === null || name === null || other === null) return "";
      const { fill, ink } = viridis(high > low ? (value - low) / (high - low) : 0.5);
      const cx = x.at(name), cy = y.at(other), label = text?.[r]?.[c] ?? shortNumber(value);
      const fits = label.length * 6.2 + 4 < x.slot && y.slot > 13;
      return `<rect x="${px(cx - x.slot / 2)}" y="${px(cy - y.slot / 2)}" width="${px(x.slot)}" ` +
        `height="${px(y.slot)}" fill="${fill}"/>` +
        (fits
          ? `<text x="${px(cx)}" y="${
            px(cy + 4)
          }" fill="${ink}" font-size="11" text-anchor="middle">${escapeHtml(label)}</text>`
          : "");
    }).join("")
  ).join("");
}

/** Three digits of a number. */
export const shortNumber = (value: number): string =>
  Math.abs(value) >= 1000 ? value.toFixed(0) : `${Number(value.toPrecision(3))}`;

/** @throws on a kind of trace that is not drawn here. */
export function drawTrace(
  trace: Trace,
  { place, ...drawing }: Drawing & { place?: BarPlace },
): string {
  switch (trace.type ?? "scatter") {
    case "scatter":
      return scatter(trace, drawing);
    case "bar": {
      const base = (trace.x ?? []).map(() => 0);
      return bars(trace, { ...drawing, place: place ?? { base, index: 0, of: 1 } });
    }
    case "heatmap":
      return heatmap(trace, drawing);
    default:
      throw new Error(
        `Cannot draw a trace of type ${trace.type}: wanted scatter, bar or heatmap`,
      );
  }
}

/** The colour of trace i of a figure where it names none. */
export const colorOf = (i: number): string => COLORS[i % COLORS.length];
