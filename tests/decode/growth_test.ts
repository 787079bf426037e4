/** Rules of fixed size: minimum score, chains, static lists of paths, the authors' flags, refusals. */
import assert from "node:assert/strict";
import {
  bestOf,
  chainGrowth,
  checkTreeShape,
  dynamicGrowth,
  fromAuthorsFlags,
  staticGrowth,
} from "../../lib/decode/growth.ts";
import { STATIC_TREES } from "../../lib/decode/static_trees.ts";
import { type Frontier, type Growth, growTree } from "../../lib/decode/tree.ts";

/** Grows with the same log-probabilities of k children everywhere; tokens are ranks. */
function grow(growth: Growth, logProbabilities: readonly number[]) {
  const steps = growTree({ root: 99, growth }), frontiers: Frontier[] = [];
  let state = steps.next();
  while (!state.done) {
    frontiers.push(state.value);
    const rows = state.value.tokens.length, k = growth.branching;
    state = steps.next({
      tokens: Array.from({ length: rows * k }, (_, i) => i % k),
      logProbabilities: Array.from({ length: rows * k }, (_, i) => logProbabilities[i % k]),
    });
  }
  return { ...state.value, frontiers };
}

Deno.test("below the minimum score nothing is expanded nor kept, but for the best candidate", () => {
  const run = (minimumScore: number | undefined) => {
    const growth = dynamicGrowth({ depth: 5, width: 2, budget: 30 }, { minimumScore });
    const { tree, expanded } = grow(growth, [-1, -2]);
    return [expanded.length, tree.tokens.length];
  };
  // Best scores of the frontiers: -1, -2, -3, -4.
  assert.deepEqual(run(undefined), [4, 1 + 2 + 4 * 4]);
  // Kept at -2: both of level 1 (-1, -2), and of level 2 the first child of the first (-2).
  assert.deepEqual(run(-2), [2, 1 + 2 + 1]);
  assert.deepEqual(run(-0.5), [0, 2]);
});

Deno.test("the best candidates come first, the earlier of equals before the later", () => {
  const scores = [-3, -1, -2, -1, -5], rest = [] as number[];
  const candidates = {
    scores,
    tokens: rest,
    logProbabilities: rest,
    parents: rest,
    ranks: rest,
    depths: rest,
  };
  assert.deepEqual(bestOf(candidates, { count: 3 }), [1, 3, 2]);
  assert.deepEqual(bestOf(candidates, { from: 2, count: 9 }), [3, 2, 4]);
});

Deno.test("a chain is one path, as long as it was drafted", () => {
  const { tree } = grow(chainGrowth(4), [-1]);
  assert.deepEqual(Array.from(tree.parents), [-1, 0, 1, 2, 3]);
  // At -3 the path is below -2.5: its node is kept, as it was drafted, and not expanded.
  assert.equal(grow(chainGrowth(4, { minimumScore: -2.5 }), [-1]).tree.tokens.length, 4);
  assert.throws(() => chainGrowth(0), /depth 0: wanted a whole number from 1/);
});

Deno.test("a static tree verifies the listed paths, whatever the scores", () => {
  const listed = [[1, 0], [0], [1], [0, 0], [0, 1], [0, 1, 0]], growth = staticGrowth(listed);
  for (const scores of [[-1, -2], [-0.1, -9]]) {
    const { tree, frontiers } = grow(growth, scores), { parents, tokens } = tree;
    const paths: string[] = [""];
    for (let i = 1; i < tokens.length; i++) paths[i] = `${paths[parents[i]]} ${tokens[i]}`.trim();
    assert.deepEqual(paths.slice(1).sort(), listed.map((p) => p.join(" ")).sort());
    assert.deepEqual(frontiers.map(({ tokens }) => tokens.length), [1, 2, 1]);
  }
  const { branching, rows, depth, budget } = growth;
  assert.deepEqual({ branching, rows, depth, budget }, {
    branching: 2,
    rows: 2,
    depth: 3,
    budget: 7,
  });
});

Deno.test("a static tree whose paths hang in the air is refused with the path", () => {
  assert.throws(() => staticGrowth([]), /no paths/);
  assert.throws(() => staticGrowth([[0], [1, 0]]), /has path \[1,0\] but not \[1\]/);
  assert.throws(() => staticGrowth([[0], [2]]), /has path \[2\] but not \[1\]/);
  assert.throws(() => staticGrowth([[0], []]), /path \[\]: wanted ranks from 0/);
  assert.throws(() => staticGrowth([[-1]]), /path \[-1\]: wanted ranks from 0/);
  assert.throws(() => staticGrowth([[0.5]]), /path \[0.5\]/);
});

Deno.test("published trees have their published sizes", () => {
  const sizes = Object.entries(STATIC_TREES).map(([name, paths]) => {
    const { budget, depth } = staticGrowth(paths);
    assert.equal(new Set(paths.map(String)).size, paths.length, `${name} lists a path twice`);
    return [name, budget - 1, depth];
  });
  assert.deepEqual(sizes, [["eagle1", 25, 5], ["medusa", 63, 4]]);
});

Deno.test("shapes out of range are refused; the authors' flags are translated", () => {
  const good = { depth: 6, width: 10, budget: 60 };
  checkTreeShape(good);
  const refused = (change: Partial<typeof good>, message: RegExp) => {
    assert.throws(() => checkTreeShape({ ...good, ...change }), message);
    assert.throws(() => dynamicGrowth({ ...good, ...change }), message);
  };
  refused({ depth: 0 }, /depth 0: wanted a whole number from 1/);
  refused({ width: 1.5 }, /width 1\.5/);
  refused({ budget: 1 }, /budget 1: wanted .* from 2/);
  assert.deepEqual(fromAuthorsFlags({ depth: 5, topK: 10, totalTokens: 60 }), good);
});
