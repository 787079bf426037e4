/**
 * The self-sizing tree of sampled children: it follows costs as the other one does, and decides before it sees.
 * That nothing of it changes the distribution of texts is enumerated in `lossless_sized_test.ts`.
 */
import assert from "node:assert/strict";
import { childrenOf } from "../../lib/decode/ancestry.ts";
import { sampledAutoGrowth } from "../../lib/decode/sampled_tree_size.ts";
import { growTree } from "../../lib/decode/tree.ts";
import { costsOf, play, type World } from "./sized_world.ts";

const WORLD: World = { seed: 12, trust: (p) => Math.min(0.99, 0.25 + 0.75 * p) };
const FEW = costsOf({ slope: 0.07, pass: 0.12 }), MANY = costsOf({ slope: 0.01, pass: 0.05 });

Deno.test("cheaper rows and passes make larger trees", () => {
  const [few, many] = [FEW, MANY].map((costs) =>
    play(sampledAutoGrowth(costs), { world: WORLD, costs, rounds: 300 })
  );
  assert.ok(few.nodes < many.nodes && few.tau < many.tau, JSON.stringify([few, many]));
});

Deno.test("it is faster than one drawn child, and than plain decoding", () => {
  const rounds = 300, own = play(sampledAutoGrowth(FEW), { world: WORLD, costs: FEW, rounds });
  const limits = { branching: 1, rows: 1, depth: 1 };
  const one = play(sampledAutoGrowth(FEW, limits), { world: WORLD, costs: FEW, rounds });
  assert.ok(own.rate > 1.1 * one.rate && one.rate > 1, `${own.rate}, ${one.rate}`);
});

Deno.test("all that was drawn is kept, within the limits", () => {
  const limits = { branching: 3, rows: 4, depth: 5, budget: 9 };
  for (const costs of [FEW, MANY]) {
    play(sampledAutoGrowth(costs, limits), {
      world: WORLD,
      costs,
      rounds: 200,
      see({ tree, expanded, kept }) {
        assert.deepEqual(kept, [...kept.keys()]);
        assert.ok(tree.tokens.length <= limits.budget);
        assert.ok(expanded.length <= limits.depth - 1 && expanded.every((n) => n <= limits.rows));
        for (const children of childrenOf(tree.parents)) {
          assert.ok(children.length <= limits.branching);
        }
      },
    });
  }
});

Deno.test("how many children a node gets does not depend on what they are", () => {
  // The same levels above, other children: counts of the level being drawn are asked for before.
  const countsWith = (probability: number) => {
    const growth = sampledAutoGrowth(MANY), steps = growTree({ root: 0, growth });
    const first = steps.next().value;
    assert.ok("counts" in first);
    const logProbabilities = new Float64Array(growth.branching).fill(Math.log(0.6));
    const second = steps.next({ tokens: [1, 2, 3, 4], logProbabilities }).value;
    assert.ok("counts" in second);
    const asked = [...first.counts, ...second.counts], n = second.tokens.length;
    const { tree } = (() => {
      let state = steps.next({
        tokens: new Int32Array(n * growth.branching).fill(5),
        logProbabilities: new Float64Array(n * growth.branching).fill(Math.log(probability)),
      });
      while (!state.done) {
        state = steps.next({
          tokens: new Int32Array(state.value.tokens.length * growth.branching),
          logProbabilities: new Float64Array(state.value.tokens.length * growth.branching)
            .fill(-0.1),
        });
      }
      return state.value;
    })();
    const children = childrenOf(tree.parents);
    return { asked, given: [children[0].length, ...children[0].map((c) => children[c].length)] };
  };
  const sure = countsWith(0.99), unsure = countsWith(1e-4);
  assert.deepEqual(sure, unsure);
  assert.deepEqual(sure.asked, sure.given.filter((n) => n > 0));
});
