/** Summaries: values, paired differences, and which of them are inside the noise, from rows whose truth is known. */
import assert from "node:assert/strict";
import { summarizeResults } from "../../lib/experiment/summary.ts";
import { EXPERIMENT, rowsOf } from "./tiny_experiment.ts";

const LEVEL = [[10, 20, 30], [11, 19, 30]];
const up = (by: number) => LEVEL.map((seed) => seed.map((x) => x + by));

Deno.test("an arm that is always ahead is outside the noise, whatever prompts differ in", () => {
  const [base, other] = summarizeResults(EXPERIMENT, rowsOf({ base: LEVEL, "no mask": up(0.5) }));
  assert.equal(base.values.tau.value, 20);
  assert.equal(base.differences, undefined);
  const { value, low, high, insideNoise, smallestDetectable, seeds } = other.differences!.tau;
  for (const x of [value, low, high]) assert.ok(Math.abs(x - 0.5) < 1e-9);
  assert.deepEqual([insideNoise, seeds], [false, 2]);
  assert.ok(smallestDetectable < 1e-9);
  assert.ok(base.values.tau.high - base.values.tau.low > 5, "prompts differ by 20");
});

Deno.test("an arm that is ahead on some prompts and behind on others is inside", () => {
  const mixed = [[12, 18, 31], [12, 20, 28]];
  const [, other] = summarizeResults(EXPERIMENT, rowsOf({ base: LEVEL, "no mask": mixed }));
  const { insideNoise, smallestDetectable, smallestOfTwice, spread } = other.differences!.tau;
  assert.ok(insideNoise);
  assert.ok(smallestDetectable > smallestOfTwice && smallestOfTwice > 0);
  const exact = (1.959964 + 0.841621) * Math.hypot(spread.prompts, spread.seeds);
  assert.ok(Math.abs(smallestDetectable - exact) < 1e-9);
});

Deno.test("arms are compared on the seeds that both have", () => {
  const results = rowsOf({ base: LEVEL, "no mask": up(1) });
  const without = {
    ...results,
    rows: results.rows.filter((r) => r.arm !== "base" || r.seed !== 0),
  };
  const [base, other] = summarizeResults(EXPERIMENT, without);
  assert.deepEqual([base.seeds, other.seeds, other.differences!.tau.seeds], [1, 2, 1]);
  assert.ok(Math.abs(other.differences!.tau.value - 1) < 1e-9);
  const only = { ...results, rows: results.rows.filter((r) => r.arm !== "base") };
  assert.equal(summarizeResults(EXPERIMENT, only)[0].differences, undefined);
});

Deno.test("arms come in the experiment's order with the paper's row; those without rows are left out", () => {
  const found = summarizeResults(EXPERIMENT, rowsOf({ "one step": LEVEL, base: LEVEL }));
  assert.deepEqual(found.map((a) => [a.arm, a.paper?.tau]), [["base", 5.33], ["one step", 5.18]]);
});

Deno.test("rows of other prompts or measures, and no rows, are refused", () => {
  const uneven = rowsOf({ base: LEVEL, "no mask": [[1, 2]] });
  assert.throws(() => summarizeResults(EXPERIMENT, uneven), /no mask, seed 0, has .*\["tau",2\]/);
  assert.throws(() => summarizeResults(EXPERIMENT, rowsOf({})), /tiny: it has no rows yet/);
});
