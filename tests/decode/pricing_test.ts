/** Costs by rows, and the price of a millisecond that follows from what rounds brought. */
import assert from "node:assert/strict";
import { checkCosts, costOf, type Costs, Price, smoothCurve } from "../../lib/decode/pricing.ts";

const COSTS: Costs = {
  read: [[1, 1], [4, 2]],
  expand: [[1, 0.5], [2, 0.75]],
  verify: [[1, 5], [4, 6], [8, 8]],
  host: 0.25,
};

Deno.test("rows cost what the next compiled size does, and beyond the largest in proportion", () => {
  assert.deepEqual([1, 2, 4, 5, 8, 16].map((n) => costOf(COSTS.verify, n)), [5, 6, 6, 8, 8, 16]);
});

Deno.test("a smoothed curve never falls", () => {
  assert.deepEqual(smoothCurve([[1, 5], [2, 9], [4, 6], [8, 8]]), [[1, 5], [2, 6], [4, 6], [8, 8]]);
});

Deno.test("the price begins at plain decoding and goes to tokens over milliseconds", () => {
  const price = new Price(COSTS);
  assert.equal(price.rate, 1 / 5);
  // Reading 3 costs 2, expansions 0.5 and 0.75, verifying 6 costs 8, the host 0.25.
  for (let i = 0; i < 2000; i++) price.observe({ expanded: [1, 2], nodes: 6, tokens: 3 });
  assert.ok(Math.abs(price.rate - 3 / 11.5) < 1e-3, `${price.rate}`);
});

Deno.test("costs that cannot be decided by are refused with the place", () => {
  const wrong: [Partial<Costs>, RegExp][] = [
    [{ verify: [] }, /costs of verify: found \[\]/],
    [{ read: [[1, 1], [1, 2]] }, /costs of read: found \[1,2\]/],
    [{ expand: [[1, 0]] }, /costs of expand: found \[1,0\]/],
    [{ expand: [[1.5, 1]] }, /costs of expand: found \[1.5,1\]/],
    [{ host: NaN }, /host time of NaN/],
  ];
  for (const [change, message] of wrong) {
    assert.throws(() => checkCosts({ ...COSTS, ...change }), message);
    assert.throws(() => new Price({ ...COSTS, ...change }), message);
  }
  checkCosts(COSTS);
});
