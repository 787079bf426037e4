/**
 * The numbers of an experiment from its rows: each arm's ratios with intervals over seeds and prompts, their
 * differences from the base arm, and how small a difference these prompts and seeds could have shown. As cells of a
 * table: `table.ts`.
 */
import { insideNoise, smallestDetectable } from "../eval/stats.ts";
import {
  type CountTable,
  type Estimate,
  estimateDifference,
  estimateRatio,
} from "../eval/two_level.ts";
import type { Experiment, PaperTable } from "./experiment.ts";
import type { Results, Row, Training } from "./rows.ts";

/** An arm's difference from the base arm, on the seeds that both have. */
export interface Difference extends Estimate {
  seeds: number;
  /** Its interval holds 0. */
  insideNoise: boolean;
  /** What 80 % of repetitions would find, on these prompts and on twice as many. */
  smallestDetectable: number;
  smallestOfTwice: number;
}

export interface ArmSummary {
  arm: string;
  seeds: number;
  prompts: number;
  /** Of the first seed; tokens and updates differ by less than a batch a step. */
  training?: Training;
  /** By measure. */
  values: Record<string, Estimate>;
  /** By measure; none of the base arm itself. */
  differences?: Record<string, Difference>;
  paper?: PaperTable["rows"][number];
}

const byArm = (rows: readonly Row[], arm: string) =>
  rows.filter((r) => r.arm === arm).sort((a, b) => a.seed - b.seed);

const tableOf = (rows: readonly Row[], measure: string): CountTable =>
  rows.map((r) => r.counts[measure]);

/** The arm's and the base's rows of the seeds that both have, in the same order. */
function pairSeeds(own: readonly Row[], base: readonly Row[]) {
  const seeds = own.map((r) => r.seed).filter((s) => base.some((r) => r.seed === s));
  const of = (rows: readonly Row[]) => seeds.map((s) => rows.find((r) => r.seed === s)!);
  return { own: of(own), base: of(base), seeds: seeds.length };
}

function compare(own: readonly Row[], base: readonly Row[], measure: string): Difference {
  const { own: arm, base: other, seeds } = pairSeeds(own, base);
  const tables = { arm: tableOf(arm, measure), base: tableOf(other, measure) };
  const found = estimateDifference(tables), measured = arm[0].counts[measure].length;
  return {
    ...found,
    seeds,
    insideNoise: insideNoise(found),
    smallestDetectable: smallestDetectable(found.spread, { measured }),
    smallestOfTwice: smallestDetectable(found.spread, { measured, wanted: 2 * measured }),
  };
}

/** Are two arms' rows of the same measures, on the same prompts? */
function checkPaired(rows: readonly Row[], experiment: string): void {
  const of = (row: Row) =>
    JSON.stringify(Object.entries(row.counts).map(([name, counts]) => [name, counts.length]));
  const odd = rows.find((r) => of(r) !== of(rows[0]));
  if (odd !== undefined) {
    throw new Error(
      `Cannot compare arms of ${experiment}: ${odd.arm}, seed ${odd.seed}, has [measure, prompts] ` +
        `${of(odd)}, ${rows[0].arm} has ${of(rows[0])}`,
    );
  }
}

/**
 * Summaries of the arms that have rows, in the experiment's order.
 * @throws when rows were measured on different prompts, or there are none.
 */
export function summarizeResults(experiment: Experiment, { rows }: Results): ArmSummary[] {
  if (rows.length === 0) throw new Error(`Cannot show ${experiment.name}: it has no rows yet`);
  checkPaired(rows, experiment.name);
  const base = byArm(rows, experiment.base), measures = Object.keys(rows[0].counts);
  return experiment.arms.flatMap(({ name, paper: variant }) => {
    const own = byArm(rows, name);
    if (own.length === 0) return [];
    const each = <T>(of: (measure: string) => T) =>
      Object.fromEntries(measures.map((m) => [m, of(m)]));
    const paired = name !== experiment.base && pairSeeds(own, base).seeds > 0;
    const paper = experiment.paper?.rows.find((r) => r.variant === variant);
    return [{
      arm: name,
      seeds: own.length,
      prompts: own[0].counts[measures[0]].length,
      ...(own[0].training && { training: own[0].training }),
      values: each((m) => estimateRatio(tableOf(own, m))),
      ...(paired && { differences: each((m) => compare(own, base, m)) }),
      ...(paper && { paper }),
    }];
  });
}
