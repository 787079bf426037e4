/**
 * What the values of a tensor tell about its training: nothing learnt (zeros, a constant, norms of 1, a fresh random
 * matrix) or damage (NaN, infinity). One pass over the values, one tensor at a time. Used by `checkup_values.ts`.
 */

/** Sums over a tensor's values, in float64; rows are those of its last axis. */
export interface ValueSums {
  count: number;
  /** Values that are no finite number. */
  wrong: number;
  least: number;
  most: number;
  mean: number;
  /** Standard deviation; 0 for a constant. */
  deviation: number;
  /** Fourth moment by the square of the second: 3 for normal values, 1.8 for uniform ones. */
  kurtosis: number;
  /** How far rows, and columns, differ in size more than independent values would: standard deviations. */
  rows: number;
  columns: number;
}

/** Largest deviation from what chance gives, in standard deviations. */
const FAR = 4;

/** Fewest values from which a fresh matrix can be told. */
const ENOUGH = 4096;

/** Sums of squares by chi square: how many standard deviations are these off, if all values are independent? */
function dispersion(squares: Float64Array, { each, variance, kurtosis }: {
  each: number;
  variance: number;
  kurtosis: number;
}): number {
  const n = squares.length;
  if (n < 2 || variance === 0) return 0;
  const expected = each * variance, spread = each * (kurtosis - 1) * variance * variance;
  let sum = 0;
  for (const s of squares) sum += (s - expected) ** 2;
  // The mean size is estimated from the same values: n - 1 are free.
  return (sum / spread - (n - 1)) / Math.sqrt(2 * (n - 1));
}

/** Sums over values of rows of `width`. */
export function sumValues(values: Float32Array, width: number): ValueSums {
  const count = values.length, n = Math.max(1, Math.floor(count / Math.max(1, width)));
  const rows = new Float64Array(n), columns = new Float64Array(Math.max(1, width));
  let s1 = 0, s2 = 0, s4 = 0, wrong = 0, least = Infinity, most = -Infinity;
  for (let r = 0, i = 0; r < n && i < count; r++) {
    let row = 0;
    for (let c = 0; c < width; c++, i++) {
      const x = values[i], q = x * x;
      if (!(q < Infinity)) {
        wrong++;
        continue;
      }
      if (x < least) least = x;
      if (x > most) most = x;
      s1 += x;
      row += q;
      s4 += q * q;
      columns[c] += q;
    }
    s2 += row;
    rows[r] = row;
  }
  const good = Math.max(1, count - wrong), mean = s1 / good, variance = s2 / good;
  const kurtosis = variance === 0 ? 0 : s4 / good / (variance * variance);
  const known = { variance, kurtosis };
  return {
    ...{ count, wrong, least, most, mean },
    deviation: least === most ? 0 : Math.sqrt(Math.max(0, variance - mean * mean)),
    kurtosis,
    rows: dispersion(rows, { each: width, ...known }),
    columns: dispersion(columns, { each: n, ...known }),
  };
}

/** What looks odd about values: damage, or that nothing was learnt. */
export interface Oddity {
  level: "fault" | "doubt";
  what: string;
}

const few = (x: number) => Number(x.toPrecision(3)).toString();

/**
 * A fresh initialisation, if the values are as independent draws of a known size: mean 0, rows and columns that differ
 * in size no more than by chance, the kurtosis of a normal (3) or a uniform (1.8) distribution, and the deviation of an
 * initialisation in use, each within four standard deviations. All are needed: the values of the shipped draft's
 * trained v_proj pass every test but the last.
 */
function freshness(
  { count, mean, deviation, kurtosis, rows, columns }: ValueSums,
  { width, initializerRange }: { width: number; initializerRange?: number },
): string | undefined {
  if (count < ENOUGH || deviation === 0) return undefined;
  const near = (x: number, wanted: number, error: number) => Math.abs(x - wanted) <= FAR * error;
  if (!near(mean, 0, deviation / Math.sqrt(count))) return undefined;
  if (Math.abs(rows) > FAR || Math.abs(columns) > FAR) return undefined;
  // Errors of the fourth moment by the square of the second: 24/n for normal values, 192/175/n for uniform ones.
  const normal = near(kurtosis, 3, Math.sqrt(24 / count));
  if (!normal && !near(kurtosis, 1.8, Math.sqrt(192 / 175 / count))) return undefined;
  const scales: [number | undefined, string][] = normal
    ? [[initializerRange, "initializer_range"], [width ** -0.5, "1/sqrt(inner size)"], [
      0.02,
      "the usual one",
    ]]
    : [[(3 * width) ** -0.5, "PyTorch's default"]];
  const error = Math.sqrt((kurtosis - 1) / (4 * count));
  const known = scales.find(([s]) => s !== undefined && near(deviation, s, error * s));
  if (known === undefined) return undefined;
  const values = `independent ${normal ? "normal" : "uniform"} values`;
  return `as a fresh initialisation: ${values} of deviation ${few(deviation)} (${known[1]}), ` +
    `kurtosis ${few(kurtosis)}`;
}

/** What is odd about a tensor of floats, or nothing. Vectors are norms or biases by their name. */
export function oddityOf(
  name: string,
  sums: ValueSums,
  { shape, initializerRange }: { shape: readonly number[]; initializerRange?: number },
): Oddity | undefined {
  const { count, wrong, least, most } = sums;
  if (count === 0) return { level: "fault", what: "it has no values" };
  if (wrong > 0) return { level: "fault", what: `${wrong} of ${count} values are NaN or infinite` };
  const matrix = shape.length > 1;
  if (least === most) {
    if (most === 0 && name.endsWith("bias")) return { level: "doubt", what: "all values are 0" };
    if (most === 1 && !matrix) {
      return { level: "doubt", what: "all values are exactly 1, as a norm begins" };
    }
    return { level: "doubt", what: `all values are ${few(most)}` };
  }
  if (!matrix) return undefined;
  const what = freshness(sums, { width: shape.at(-1)!, initializerRange });
  return what === undefined ? undefined : { level: "doubt", what };
}
