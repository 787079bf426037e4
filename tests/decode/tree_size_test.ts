/**
 * The tree that sizes itself, in a made-up world with given costs: it follows costs and what it sees accepted, and
 * no tree of fixed size is faster by more than the 5 % that are promised.
 */
import assert from "node:assert/strict";
import { childrenOf } from "../../lib/decode/ancestry.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { autoGrowth } from "../../lib/decode/tree_size.ts";
import { costsOf, play, type World } from "./sized_world.ts";

const WORLD: World = { seed: 11, trust: (p) => Math.min(0.99, 0.25 + 0.75 * p) };
/** A processor with few cores, one with many, an accelerator whose verifications cost nearly the same. */
const MACHINES = {
  "few cores": costsOf({ slope: 0.07, pass: 0.12 }),
  "many cores": costsOf({ slope: 0.02, pass: 0.1 }),
  accelerator: costsOf({ slope: 0.002, pass: 0.08 }),
  "slow draft": costsOf({ slope: 0.05, pass: 0.4 }),
};

for (const [name, costs] of Object.entries(MACHINES)) {
  Deno.test(`no fixed tree is more than 5 % faster: ${name}`, () => {
    const rounds = 250, auto = play(autoGrowth(costs), { world: WORLD, costs, rounds });
    let best = { rate: 0, shape: "" };
    for (const depth of [1, 2, 4, 6, 10]) {
      for (const width of [1, 2, 4]) {
        for (const budget of [2, 4, 8, 16, 32, 64]) {
          const growth = dynamicGrowth({ depth, width, budget });
          const { rate } = play(growth, { world: WORLD, costs, rounds });
          if (rate > best.rate) best = { rate, shape: `${budget}/${depth}/${width}` };
        }
      }
    }
    assert.ok(
      auto.rate > 0.95 * best.rate,
      `auto ${auto.rate.toFixed(3)}, ${best.shape} ${best.rate.toFixed(3)} tokens a millisecond`,
    );
  });
}

Deno.test("cheaper rows make larger trees", () => {
  const nodes = Object.values(MACHINES).slice(0, 3)
    .map((costs) => play(autoGrowth(costs), { world: WORLD, costs, rounds: 300 }).nodes);
  assert.ok(nodes[0] < nodes[1] && nodes[1] < nodes[2], `${nodes}`);
});

Deno.test("a draft that is always right is followed to the last level, one never right is not asked for more", () => {
  const costs = MACHINES["few cores"], rounds = 400;
  const right = play(autoGrowth(costs), { world: { seed: 1, trust: () => 1 }, costs, rounds });
  assert.ok(right.levels > 9 && right.tau > 10, JSON.stringify(right));
  const late: number[] = [];
  // The target never takes one of the draft's children.
  const wrong = { seed: 1, trust: () => -1e9 };
  play(autoGrowth(costs), {
    world: wrong,
    costs,
    rounds,
    see: ({ expanded }) => late.push(expanded.length),
  });
  assert.equal(late.slice(-50).reduce((a, b) => a + b), 0, "levels were still drafted at the end");
});

Deno.test("with every node its parent and its earlier siblings are kept, within the limits", () => {
  const limits = { branching: 3, rows: 4, depth: 5, budget: 12 };
  let trees = 0;
  for (const costs of Object.values(MACHINES)) {
    play(autoGrowth(costs, limits), {
      world: WORLD,
      costs,
      rounds: 200,
      see({ tree, expanded }) {
        trees++;
        assert.ok(tree.tokens.length <= limits.budget);
        assert.ok(expanded.length <= limits.depth - 1);
        assert.ok(expanded.every((n) => n <= limits.rows));
        // Tokens of this world are ranks.
        for (const children of childrenOf(tree.parents)) {
          assert.deepEqual(children.map((c) => tree.tokens[c]), [...children.keys()]);
        }
      },
    });
  }
  assert.equal(trees, 800);
});

Deno.test("the same rounds give the same trees", () => {
  const costs = MACHINES["few cores"];
  const trees = () => {
    const seen: string[] = [];
    play(autoGrowth(costs), {
      world: WORLD,
      costs,
      rounds: 100,
      see: ({ tree }) => seen.push(`${tree.parents} ${tree.tokens}`),
    });
    return seen;
  };
  assert.deepEqual(trees(), trees());
});
