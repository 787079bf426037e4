/**
 * Scales of a drawn chart: from data (numbers, logarithms, names) to places along an axis, with ticks and their
 * texts. It draws nothing: `svg_marks.ts` and `svg_chart.ts` do.
 */

/** A value on an axis; names stand on axes of categories. */
export type Value = number | string;

/** One axis, laid out. */
export interface Scale {
  /** Place of a value, in pixels of the drawing. NaN where it has none, as 0 on a logarithmic axis. */
  at(value: Value): number;
  ticks: { value: Value; text: string }[];
  /** Pixels that one category has; 0 on axes of numbers. */
  slot: number;
}

/** What is known of an axis: its Plotly layout, as far as it is read here. */
export interface AxisLayout {
  type?: string;
  range?: readonly [number, number];
  rangemode?: string;
  autorange?: string;
  dtick?: number | string;
  tickformat?: string;
  ticksuffix?: string;
  showticklabels?: boolean;
  title?: { text?: string };
}

/** A round distance between ticks, so that about `count` of them fit in `span`. */
export function tickStep(span: number, count: number): number {
  const rough = span / Math.max(1, count), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((s) => s * power >= rough * 0.999) ?? 10;
  return step * power;
}

/** A number as a tick shows it, with the digits that its step needs. */
export function tickText(value: number, { step, format }: { step: number; format?: string }) {
  if (format?.endsWith("%")) {
    const digits = Math.max(0, -Math.floor(Math.log10(step * 100) + 1e-9));
    return `${(100 * value).toFixed(digits)}%`;
  }
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`;
  if (size > 0 && step < 1e-4) return value.toExponential(1).replace(".0e", "e");
  return value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
}

/** From the data to the ends of the axis: room at both sides, zero included where it is asked for. */
function ends(values: readonly number[], { axis, padding }: { axis: AxisLayout; padding: number }) {
  if (axis.range !== undefined) return [axis.range[0], axis.range[1]];
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [0, 1];
  let low = finite.reduce((a, b) => Math.min(a, b)), high = finite.reduce((a, b) => Math.max(a, b));
  const zero = axis.rangemode === "tozero";
  if (zero) [low, high] = [Math.min(0, low), Math.max(0, high)];
  if (low === high) {
    const around = Math.abs(low) || 1;
    [low, high] = [low - (zero && low === 0 ? 0 : around / 2), high + around / 2];
  }
  const room = padding * (high - low);
  return [zero && low === 0 ? 0 : low - room, zero && high === 0 ? 0 : high + room];
}

function linearScale(
  values: readonly number[],
  { axis, from, to, padding }: ScaleOptions,
): Scale {
  const [low, high] = ends(values, { axis, padding }), span = high - low || 1;
  const length = Math.abs(to - from);
  const fixed = typeof axis.dtick === "number" && span / axis.dtick <= length / 14;
  const step = fixed ? axis.dtick as number : tickStep(span, Math.max(2, length / 70));
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  const suffix = axis.ticksuffix ?? "";
  return {
    at: (value) => from + (Number(value) - low) / span * (to - from),
    ticks: Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => {
      const value = (first + i) * step;
      return { value, text: tickText(value, { step, format: axis.tickformat }) + suffix };
    }),
    slot: 0,
  };
}

/** Powers of ten, and 2 and 5 between them where there are few. */
function logScale(values: readonly number[], { axis, from, to }: ScaleOptions): Scale {
  const logs = values.filter((v) => v > 0).map(Math.log10);
  const [low, high] = ends(logs, { axis: { range: axis.range }, padding: 0.06 });
  const span = high - low || 1, between = span > 3 ? [1] : span > 1.2 ? [1, 3] : [1, 2, 5];
  const ticks: Scale["ticks"] = [];
  for (let power = Math.floor(low); power <= high; power++) {
    for (const m of between) {
      const value = m * 10 ** power, log = Math.log10(value);
      if (log < low - 1e-9 || log > high + 1e-9) continue;
      ticks.push({ value, text: tickText(value, { step: value, format: axis.tickformat }) });
    }
  }
  return {
    at: (value) =>
      Number(value) > 0 ? from + (Math.log10(Number(value)) - low) / span * (to - from) : NaN,
    ticks,
    slot: 0,
  };
}

function categoryScale(values: readonly Value[], { axis, from, to }: ScaleOptions): Scale {
  const names = [...new Set(values.map(String))];
  if (axis.autorange === "reversed") [from, to] = [to, from];
  const slot = (to - from) / Math.max(1, names.length), suffix = axis.ticksuffix ?? "";
  const place = new Map(names.map((name, i) => [name, from + (i + 0.5) * slot]));
  return {
    at: (value) => place.get(String(value)) ?? NaN,
    ticks: names.map((name) => ({ value: name, text: `${name}${suffix}` })),
    slot: Math.abs(slot),
  };
}

/** Where an axis begins and ends, in pixels, and what it is like. */
export interface ScaleOptions {
  axis: AxisLayout;
  from: number;
  to: number;
  /** Room at both ends, as a share of the data's range. */
  padding: number;
}

/** The scale for all values that stand on an axis. Names, or type `category`, make an axis of names. */
export function makeScale(values: readonly Value[], options: ScaleOptions): Scale {
  const { type } = options.axis, named = values.some((v) => typeof v === "string");
  if (type === "category" || named) return categoryScale(values, options);
  return (type === "log" ? logScale : linearScale)(values as readonly number[], options);
}
