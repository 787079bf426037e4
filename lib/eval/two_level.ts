/**
 * Intervals of ratios of sums that were measured on the same prompts with several seeds: tau = tokens emitted /
 * target forwards. Two levels are drawn, seeds and prompts; a drawn prompt serves all seeds and both arms, a drawn
 * seed both arms, so differences are paired. One level alone: `stats.ts`.
 */
import { random } from "../random.ts";
import { type Interval, percentiles, type Spread, Z975 } from "./stats.ts";

/** What one prompt adds to a ratio: tokens emitted and target forwards, for one. */
export type Counts = readonly [numerator: number, denominator: number];

/** One arm: by seed, then by prompt. Prompts stand in the same order under each seed. */
export type CountTable = readonly (readonly Counts[])[];

/** A number with its 95 % interval, and where its uncertainty comes from. */
export interface Estimate extends Interval {
  value: number;
  spread: Spread;
}

export interface DrawOptions {
  draws?: number;
  seed?: number;
}

const ratio = ([n, d]: Counts) => d === 0 ? NaN : n / d;

function total(counts: Iterable<Counts>): Counts {
  let numerator = 0, denominator = 0;
  for (const [n, d] of counts) {
    numerator += n;
    denominator += d;
  }
  return [numerator, denominator];
}

/** t distribution's 97.5 % quantiles for 1 to 9 degrees of freedom. */
const STUDENT = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622];

/** The same for any number of them: the table, then the expansion in 1/n. */
function student975(n: number): number {
  const z = Z975;
  return STUDENT[n - 1] ??
    z + (z ** 3 + z) / (4 * n) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * n * n);
}

/**
 * By how much deviations between drawn seeds are stretched. A bootstrap of n values is too narrow by
 * sqrt((n - 1) / n), and knows nothing of how badly three values tell their spread; Student's t does. 2.69 for
 * three seeds, 1.21 for ten. One seed says nothing about others: 0, the interval covers prompts alone.
 */
export function seedStretch(n: number): number {
  return n < 2 ? 0 : Math.sqrt(n / (n - 1)) * student975(n - 1) / Z975;
}

function checkTables(tables: readonly CountTable[]): { seeds: number; prompts: number } {
  const seeds = tables[0].length, prompts = tables[0][0]?.length ?? 0;
  if (prompts === 0) throw new Error("Cannot make an interval from no seeds or no prompts");
  for (const row of tables.flat()) {
    if (row.length !== prompts) {
      throw new Error(`Cannot pair ${row.length} prompts with ${prompts}: wanted the same ones`);
    }
  }
  const other = tables.find((t) => t.length !== seeds);
  if (other) throw new Error(`Cannot pair ${other.length} seeds with ${seeds}: wanted the same`);
  return { seeds, prompts };
}

function deviation(values: readonly number[]): number {
  const all = values.filter(Number.isFinite), n = all.length;
  const mean = all.reduce((a, b) => a + b, 0) / n;
  return Math.sqrt(all.reduce((s, x) => s + (x - mean) ** 2, 0) / n);
}

/** The ratio of the chosen items of each arm, whose numerators and denominators alternate in `sums`. */
function ratios(sums: readonly Float64Array[], chosen: ArrayLike<number>): number[] {
  return sums.map((own) => {
    let numerator = 0, denominator = 0;
    for (let i = 0; i < chosen.length; i++) {
      numerator += own[2 * chosen[i]];
      denominator += own[2 * chosen[i] + 1];
    }
    return ratio([numerator, denominator]);
  });
}

/** Draws prompts with the seeds as they are, and seeds with the prompts as they are; deviations add. */
function estimate(
  tables: readonly CountTable[],
  statistic: (ratios: readonly number[]) => number,
  { draws = 10_000, seed = 0 }: DrawOptions,
): Estimate {
  const { seeds, prompts } = checkTables(tables), from = random(seed, "two levels");
  const value = statistic(tables.map((t) => ratio(total(t.flat()))));
  const deviations = (sums: readonly (readonly Counts[])[], n: number) => {
    const flat = sums.map((own) => Float64Array.from(own.flat())), chosen = new Uint32Array(n);
    return Array.from({ length: draws }, () => {
      for (let i = 0; i < n; i++) chosen[i] = from.integer(n);
      return statistic(ratios(flat, chosen)) - value;
    });
  };
  const byPrompt = tables.map((t) =>
    Array.from({ length: prompts }, (_, p) => total(t.map((row) => row[p])))
  );
  const ofPrompts = deviations(byPrompt, prompts), stretch = seedStretch(seeds);
  const ofSeeds = seeds < 2
    ? new Array<number>(draws).fill(0)
    : deviations(tables.map((t) => t.map(total)), seeds).map((x) => stretch * x);
  return {
    value,
    ...percentiles(ofPrompts.map((x, i) => value + x + ofSeeds[i])),
    spread: { prompts: deviation(ofPrompts), seeds: deviation(ofSeeds) },
  };
}

/**
 * A ratio of sums over all seeds and prompts, with its interval; of one seed the interval covers prompts alone.
 * NaN where every denominator is 0.
 * @throws when there is nothing to draw from, or seeds have different numbers of prompts.
 */
export function estimateRatio(arm: CountTable, options: DrawOptions = {}): Estimate {
  return estimate([arm], ([own]) => own, options);
}

/**
 * An arm's ratio minus the base's, both on the same seeds and prompts.
 * @throws as {@link estimateRatio}, and when the two were measured on different numbers of seeds or prompts.
 */
export function estimateDifference(
  { arm, base }: { arm: CountTable; base: CountTable },
  options: DrawOptions = {},
): Estimate {
  return estimate([arm, base], ([own, other]) => own - other, options);
}
