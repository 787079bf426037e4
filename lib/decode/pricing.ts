/**
 * What a round costs on this machine, and what a millisecond is worth: the rate at which tokens come. A row or a
 * pass pays for itself when the tokens expected of it are worth more than its time (at the best rate the two are
 * equal: Dinkelbach 1967, as in renewal-reward problems). Costs are measured beforehand (`lib/bench/costs.ts`), so
 * decisions, and with them sampled texts, are the same in every run with the same costs.
 */

/** Milliseconds by number of rows: compiled sizes, rising; a run of n rows costs what the next size does. */
export type CostCurve = readonly (readonly [rows: number, ms: number])[];

/** Costs of the parts of a round. */
export interface Costs {
  /** The draft reads n accepted rows. */
  read: CostCurve;
  /** The draft expands n nodes. */
  expand: CostCurve;
  /** The target verifies n nodes. */
  verify: CostCurve;
  /** Choosing tokens and keeping books. */
  host: number;
}

/** Milliseconds of n rows; beyond the largest size in proportion. */
export function costOf(curve: CostCurve, n: number): number {
  for (const [rows, ms] of curve) if (rows >= n) return ms;
  const [rows, ms] = curve[curve.length - 1];
  return ms * n / rows;
}

/** Makes measured times fit to decide by: no size costs more than a larger one. */
export function smoothCurve(measured: CostCurve): CostCurve {
  let least = Infinity;
  return measured.toReversed().map(([rows, ms]) => {
    least = Math.min(least, ms);
    return [rows, least] as const;
  }).reverse();
}

/** @throws naming the curve that is empty, unordered or not of positive numbers. */
export function checkCosts(costs: Costs): void {
  for (const name of ["read", "expand", "verify"] as const) {
    const curve = costs[name];
    const wrong = curve.findIndex(([rows, ms], i) =>
      !(Number.isInteger(rows) && rows > (i === 0 ? 0 : curve[i - 1][0]) && ms > 0 && ms < Infinity)
    );
    if (curve.length === 0 || wrong >= 0) {
      throw new Error(
        `Cannot size trees by costs of ${name}: found [${curve[wrong] ?? ""}], ` +
          `wanted rising numbers of rows, each with milliseconds above 0`,
      );
    }
  }
  if (!(costs.host >= 0 && costs.host < Infinity)) {
    throw new Error(`Cannot size trees by a host time of ${costs.host} ms`);
  }
}

/** Plain tokens that the first estimate of the rate counts for. */
const PRIOR_ROUNDS = 4;
/** What a round still counts for after one more: old text says less about what comes. */
const MEMORY = 0.995;

/** The price of time: tokens a millisecond, of the rounds so far by their costs; at first that of plain decoding. */
export class Price {
  readonly costs: Costs;
  #tokens = PRIOR_ROUNDS;
  #ms: number;

  /** @throws when costs are not usable (see {@link checkCosts}). */
  constructor(costs: Costs) {
    checkCosts(costs);
    this.costs = costs;
    this.#ms = PRIOR_ROUNDS * costOf(costs.verify, 1);
  }

  /** Tokens a millisecond. */
  get rate(): number {
    return this.#tokens / this.#ms;
  }

  /** Counts a round: rows of each expansion, nodes verified, tokens emitted. */
  observe(
    { expanded, nodes, tokens }: { expanded: readonly number[]; nodes: number; tokens: number },
  ) {
    const { read, expand, verify, host } = this.costs;
    const drafting = expanded.reduce((ms, rows) => ms + costOf(expand, rows), costOf(read, tokens));
    this.#tokens = MEMORY * this.#tokens + tokens;
    this.#ms = MEMORY * this.#ms + drafting + costOf(verify, nodes) + host;
  }
}
