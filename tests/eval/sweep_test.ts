/** Tests lib/eval/sweep.ts: every row says what simulating and pricing its one size says. */
import assert from "node:assert/strict";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { tau, tokensPerSecond } from "../../lib/eval/metrics.ts";
import { predict, simulate } from "../../lib/eval/simulate.ts";
import { sweep } from "../../lib/eval/sweep.ts";
import { COSTS, tinyPair } from "./tiny_recording.ts";

const GRID = {
  depths: [1, 2, 3, 6],
  widths: [1, 2, 5],
  budgets: [2, 3, 4, 8, 14, 64],
  minimumScores: [-Infinity, -4, -1.5],
};

Deno.test("a row is what its size simulated alone gives, tokens and milliseconds", async () => {
  using tiny = await tinyPair();
  const growths = GRID.widths.map((width) => dynamicGrowth({ depth: 6, width, budget: 64 }));
  const recording = await tiny.record(growths, 30);
  const rows = [...sweep(recording, { grid: GRID, costs: COSTS })], taus = new Set<number>();
  assert.equal(rows.length, 4 * 3 * 6 * 3);
  for (const { depth, width, budget, minimumScore, ...row } of rows) {
    const growth = dynamicGrowth({ depth, width, budget }, { minimumScore });
    const predicted = simulate(recording, growth).map((one) => predict(one, COSTS));
    const wanted = tau(predicted), what = JSON.stringify({ depth, width, budget, minimumScore });
    assert.deepEqual([row.emitted, row.forwards], [wanted.numerator, wanted.denominator], what);
    assert.equal(row.tau, wanted.value, what);
    const { withoutPrefill } = tokensPerSecond(predicted);
    assert.ok(Math.abs(row.tokensPerSecond / withoutPrefill - 1) < 1e-9, what);
    assert.equal(row.missed, 0);
    taus.add(row.tau);
  }
  assert.ok(taus.size > 20, `${taus.size} different rows show little`);
});

Deno.test("what was not recorded is counted", async () => {
  using tiny = await tinyPair();
  const recording = await tiny.record([dynamicGrowth({ depth: 2, width: 5, budget: 9 })], 6);
  const grid = { depths: [2, 4], widths: [2], budgets: [4], minimumScores: [-Infinity] };
  const [shallow, deep] = sweep(recording, { grid, costs: COSTS });
  // Two nodes on the third level, at each of three prompts' five roots.
  assert.deepEqual([shallow.missed, deep.missed], [30, 30]);
  assert.ok(deep.emitted === 15 && deep.tau === shallow.tau);
});
