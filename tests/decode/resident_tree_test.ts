/** Trees grown as nodes of a Program are those that the host's books give: tokens, parents, ancestors, depths. */
import assert from "node:assert/strict";
import { ancestorMask, depthsOf } from "../../lib/decode/ancestry.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { nodesOf, residentTree, treeBias } from "../../lib/decode/resident_tree.ts";
import { type Frontier, type Grown, growTree, type TreeShape } from "../../lib/decode/tree.ts";
import type { Node } from "../../lib/graph/node.ts";
import * as ops from "../../lib/graph/ops.ts";
import { random } from "../../lib/random.ts";
import { evaluator, valueOf } from "../graph/evaluate.ts";

const V = 12;

/** A draft that knows the last token only: its k best next tokens and their log-probabilities, rising ties too. */
function drafts(k: number, seed: number) {
  const tokens = new Int32Array(V * k), logProbabilities = new Float32Array(V * k);
  for (let v = 0; v < V; v++) {
    const from = random(seed, "draft", v);
    const order = Array.from({ length: V }, (_, i) => i).sort(() => from.uniform() - 0.5);
    // Quarters, so that sums tie.
    const scores = Array.from({ length: k }, () => -0.25 * from.integer(9)).sort((a, b) => b - a);
    tokens.set(order.slice(0, k), v * k);
    logProbabilities.set(scores, v * k);
  }
  return { tokens, logProbabilities };
}

function onHost(shape: TreeShape, { root, seed }: { root: number; seed: number }): Grown {
  const { width: k } = shape, table = drafts(k, seed);
  const steps = growTree({ root, growth: dynamicGrowth(shape) });
  for (let state = steps.next();;) {
    if (state.done) return state.value;
    const { tokens } = state.value as Frontier;
    const row = <T>(all: ArrayLike<T>) =>
      [...tokens].flatMap((t) => Array.from(all).slice(t * k, (t + 1) * k));
    state = steps.next({
      tokens: row(table.tokens),
      logProbabilities: row(table.logProbabilities),
    });
  }
}

const SHAPES: TreeShape[] = [
  { depth: 1, width: 3, budget: 3 },
  { depth: 3, width: 2, budget: 7 },
  { depth: 4, width: 3, budget: 16 },
  { depth: 5, width: 1, budget: 9 },
  { depth: 3, width: 4, budget: 60 },
];

Deno.test("a tree is the host's, node by node, also where scores tie", async () => {
  for (const shape of SHAPES) {
    const { width: k } = shape;
    const root = ops.input("root", [1], "i32"), seen: { level: number; sees: Node }[] = [];
    const tokens = ops.input("tokens", [V, k], "i32"), scores = ops.input("scores", [V, k]);
    const answer = (rows: Node) => ({
      tokens: ops.gather(tokens, rows),
      logProbabilities: ops.gather(scores, rows),
      regress: ops.fill(0, [rows.shape[0], 1]),
    });
    const tree = residentTree({
      root,
      shape,
      drafted: answer(root),
      expand: (rows) => {
        seen.push(rows);
        return answer(rows.tokens);
      },
    });
    assert.deepEqual(
      seen.map(({ level, sees }) => [level, ...sees.shape]),
      Array.from(
        { length: shape.depth - 1 },
        (_, i) => [i + 1, k, (i + 1) * k],
      ),
    );
    const run = await evaluator({ ...tree });
    for (let seed = 0; seed < 8; seed++) {
      const table = drafts(k, seed), { tree: wanted } = onHost(shape, { root: seed, seed });
      const scores = Float64Array.from(table.logProbabilities);
      const found = await run({ root: Int32Array.of(seed), tokens: table.tokens, scores });
      assert.equal(wanted.tokens.length, nodesOf(shape));
      assert.deepEqual([...found.tokens], [...wanted.tokens]);
      assert.deepEqual([...found.parents], [0, ...wanted.parents.slice(1)]);
      assert.deepEqual([...found.depths], [...depthsOf(wanted.parents)]);
      assert.deepEqual([...found.ancestors], [...ancestorMask(wanted.parents)]);
    }
  }
});

Deno.test("a mask reaches the scores from the tree's first row on; everything before is seen", async () => {
  const sees = ops.constant(Float32Array.of(1, 0, 1, 1), [2, 2]);
  const bias = treeBias(sees, { prefix: ops.input("prefix", [1], "i32"), capacity: 5 });
  assert.deepEqual(bias.shape, [1, 1, 2, 5]);
  const found = (await valueOf(bias, { prefix: Int32Array.of(2) })).map((x) => x === 0);
  assert.deepEqual(found.slice(0, 4), [true, true, true, false]);
  assert.deepEqual(found.slice(5, 9), [true, true, true, true]);
});
