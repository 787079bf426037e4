/** Verification by hand values: the greedy walk, every decision of the sampled walk, chance from numbers. */
import assert from "node:assert/strict";
import type { Tree } from "../../lib/decode/ancestry.ts";
import { type Chance, chanceFrom, verifyGreedy, verifySampled } from "../../lib/decode/verify.ts";
import { random } from "../../lib/random.ts";

// Root with children 1 (token 2) and 2 (token 0); node 1 has child 3 (token 1), node 2 child 4 (token 3).
const TREE: Tree = {
  tokens: Int32Array.of(9, 2, 0, 1, 3),
  parents: Int32Array.of(-1, 0, 0, 1, 2),
  scores: Float32Array.of(0, -1, -2, -2, -3),
};

Deno.test("greedy follows the target's choices", () => {
  const verdict = (...choices: number[]) => verifyGreedy(TREE, (node) => choices[node]);
  assert.deepEqual(verdict(5, 1, 1, 1, 1), { path: [], next: 5 });
  assert.deepEqual(verdict(2, 5, 1, 1, 1), { path: [1], next: 5 });
  assert.deepEqual(verdict(2, 1, 1, 7, 1), { path: [1, 3], next: 7 });
  assert.deepEqual(verdict(0, 1, 3, 1, 6), { path: [2, 4], next: 6 });
  // The right token under the wrong parent is not accepted.
  assert.deepEqual(verdict(0, 1, 1, 1, 1), { path: [2], next: 1 });
});

/** Answers as told, and writes down what it was asked. */
function told(answers: (boolean | number)[]): { chance: Chance; asked: number[][] } {
  const asked: number[][] = [], waiting = answers.slice();
  return {
    asked,
    chance: {
      accept: (p) => (asked.push([p]), waiting.shift() as boolean),
      draw: (
        p,
      ) => (asked.push(Array.from(p, (x) => x / p.reduce((a, b) => a + b))),
        waiting.shift() as number),
    },
  };
}

function sampled(rows: number[][], answers: (boolean | number)[]) {
  const { chance, asked } = told(answers), reached: number[] = [];
  const distribution = (node: number) => (reached.push(node), Float64Array.from(rows[node]));
  const verdict = verifySampled(TREE, distribution, { chance });
  const rounded = asked.map((p) => p.map((x) => Math.round(x * 1e12) / 1e12));
  return { ...verdict, asked: rounded, reached };
}

const ROWS = [
  [0.25, 0.25, 0.5, 0],
  [0, 0.5, 0.5, 0],
  [0.5, 0, 0, 0.5],
  [0.125, 0.125, 0.25, 0.5],
  [1, 0, 0, 0],
];

Deno.test("sampling tries children in order, rejects with renormalising, draws from what remains", () => {
  // Accepted twice; at the leaf the extra token comes from the leaf's own distribution.
  assert.deepEqual(sampled(ROWS, [true, true, 3]), {
    path: [1, 3],
    next: 3,
    asked: [[0.5], [0.5], ROWS[3]],
    reached: [0, 1, 3],
  });
  // Both children of the root rejected: 0.5, then 0.25 of 0.5; token 1 is all that remains.
  assert.deepEqual(sampled(ROWS, [false, false, 1]), {
    path: [],
    next: 1,
    asked: [[0.5], [0.5], [0, 1, 0, 0]],
    reached: [0],
  });
  // The second child accepted, its own child rejected.
  assert.deepEqual(sampled(ROWS, [false, true, false, 0]), {
    path: [2],
    next: 0,
    asked: [[0.5], [0.5], [0.5], [1, 0, 0, 0]],
    reached: [0, 2],
  });
});

Deno.test("impossible children are passed over, the last possible one gets exactly 1", () => {
  const without = ROWS.with(0, [0.1, 0.9, 0, 0]);
  assert.deepEqual(sampled(without, [false, 1]).asked, [[0.1], [0, 1, 0, 0]]);
  // 0.1 is not exact: after token 2 is rejected, token 0 must still be certain.
  const { asked, path } = sampled(ROWS.with(0, [0.1, 0, 0.9, 0]), [false, true, true, 0]);
  assert.deepEqual(asked.slice(0, 2), [[0.9], [1]]);
  assert.deepEqual(path, [2, 4]);
});

Deno.test("a rare rejection keeps the digits of what remains", () => {
  const rest = 2 ** -60, rows = ROWS.with(0, [rest, 3 * rest, 1, 0]);
  const { asked } = sampled(rows, [false, false, 1]);
  assert.deepEqual(asked, [[1], [0.25], [0, 1, 0, 0]]);
});

Deno.test("siblings with the same token are decided once", () => {
  const tree = { ...TREE, parents: Int32Array.of(-1, 0, 0), tokens: Int32Array.of(9, 2, 2) };
  const { chance, asked } = told([false, 0]);
  const verdict = verifySampled(tree, () => Float64Array.of(0.5, 0, 0.5), { chance });
  assert.deepEqual(verdict, { path: [], next: 0 });
  assert.deepEqual(asked, [[0.5], [1, 0, 0]]);
});

Deno.test("chance from random numbers has the frequencies asked for", () => {
  const chance = chanceFrom(random(11, "chance")), n = 20_000, counts = [0, 0, 0];
  let accepted = 0;
  for (let i = 0; i < n; i++) {
    assert.equal(chance.accept(0), false);
    assert.equal(chance.accept(1), true);
    accepted += Number(chance.accept(0.3));
    counts[chance.draw(Float64Array.of(1, 0, 3))]++;
  }
  assert.ok(Math.abs(accepted / n - 0.3) < 5 * Math.sqrt(0.21 / n));
  assert.ok(Math.abs(counts[2] / n - 0.75) < 5 * Math.sqrt(0.1875 / n));
  assert.equal(counts[1], 0);
});
