/**
 * Intervals: the bootstrap over prompts, whether a difference is inside its noise, and the smallest difference that
 * a number of prompts can show. Prompts are drawn as wholes, with everything measured on them, so statistics that
 * compare two methods are paired. Deterministic for a seed. Prompts and seeds at once: `two_level.ts`.
 */
import { random } from "../random.ts";

/** A 95 % percentile interval. */
export interface Interval {
  low: number;
  high: number;
}

/** The normal distribution's quantiles at 97.5 % and 80 %. */
export const Z975 = 1.959964, Z80 = 0.841621;

/** The 2.5 % and 97.5 % quantiles of what was drawn; values that are no numbers are left out, NaN of nothing. */
export function percentiles(drawn: ArrayLike<number>): Interval {
  const values = Float64Array.from(drawn).filter(Number.isFinite).sort();
  const at = (share: number) =>
    values.length === 0
      ? NaN
      : values[Math.min(values.length - 1, Math.floor(share * values.length))];
  return { low: at(0.025), high: at(0.975) };
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
  return percentiles(Array.from(
    { length: draws },
    () => statistic(Array.from(items, () => items[from.integer(items.length)])),
  ));
}

/** Does the interval of a difference hold 0 (or is it none)? Such a difference is set in grey. */
export function insideNoise({ low, high }: Interval): boolean {
  return !(low > 0 || high < 0);
}

/** Standard deviation of an estimate: the part that more prompts make smaller, and the part that they do not. */
export interface Spread {
  prompts: number;
  seeds: number;
}

/**
 * The true difference that a test at 5 % finds in 80 % of all repetitions with `wanted` prompts, from the spread
 * measured with `measured` of them: (1.96 + 0.84) standard deviations.
 * @throws when a number of prompts is not at least 1.
 */
export function smallestDetectable(
  { prompts, seeds }: Spread,
  { measured, wanted = measured }: { measured: number; wanted?: number },
): number {
  if (!(measured >= 1 && wanted >= 1)) {
    throw new Error(
      `Cannot tell what ${wanted} prompts can show from ${measured}: wanted 1 or more`,
    );
  }
  return (Z975 + Z80) * Math.sqrt(prompts ** 2 * measured / wanted + seeds ** 2);
}
