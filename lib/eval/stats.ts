/**
 * Intervals: the bootstrap over prompts. Prompts are drawn as wholes, with everything measured on them, so
 * statistics that compare two methods are paired. Deterministic for a seed.
 */
import { random } from "../random.ts";

/** A 95 % percentile interval. */
export interface Interval {
  low: number;
  high: number;
}

/**
 * Interval of a statistic of prompts. Ratios of sums must be computed by `statistic` from the drawn items.
 * Draws without a value (a ratio of nothing) are left out; NaN where no draw has one.
 * @throws when there are no items.
 */
export function bootstrap<T>(
  items: readonly T[],
  statistic: (drawn: readonly T[]) => number,
  { draws = 2000, seed = 0 }: { draws?: number; seed?: number } = {},
): Interval {
  if (items.length === 0) throw new Error("Cannot make an interval from no prompts");
  const from = random(seed, "bootstrap");
  const values = Float64Array.from(
    { length: draws },
    () => statistic(Array.from(items, () => items[from.integer(items.length)])),
  ).filter(Number.isFinite).sort();
  const at = (share: number) =>
    values.length === 0
      ? NaN
      : values[Math.min(values.length - 1, Math.floor(share * values.length))];
  return { low: at(0.025), high: at(0.975) };
}
