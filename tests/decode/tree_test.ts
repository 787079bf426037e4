/** Growth and pruning: hand values, bookkeeping of rows and ancestors, and agreement with a plain search. */
import assert from "node:assert/strict";
import {
  checkTreeShape,
  fromAuthorsFlags,
  type Frontier,
  growTree,
  type TopK,
  type TreeShape,
} from "../../lib/decode/tree.ts";
import { pathsOf, type Tree } from "../../lib/decode/ancestry.ts";
import { random } from "../../lib/random.ts";

/** Log-probabilities that f32 holds exactly, so that sums can be compared. */
const top = (tokens: number[], logProbabilities: number[]): TopK => ({ tokens, logProbabilities });

Deno.test("a tree of width 2 and depth 3 by hand", async () => {
  const frontiers: Frontier[] = [];
  const answers = [
    // Children of token 5 (-1) and of token 6 (-2).
    top([1, 2, 3, 4], [-0.5, -4, -0.25, -1]),
    // Frontier: 1 at -1.5 below 5, 3 at -2.25 below 6.
    top([7, 8, 9, 0], [-1, -2, -0.5, -8]),
  ];
  const tree = await growTree(
    { root: 10, first: top([5, 6], [-1, -2]), shape: { depth: 3, width: 2, budget: 7 } },
    (frontier) => {
      frontiers.push(frontier);
      return answers[frontiers.length - 1];
    },
  );
  // Candidates: 5 -1, 6 -2; 1 -1.5, 2 -5, 3 -2.25, 4 -3; 7 -2.5, 8 -3.5, 9 -2.75, 0 -10.25. The best six:
  assert.deepEqual(tree, {
    tokens: Int32Array.of(10, 5, 6, 1, 3, 7, 9),
    parents: Int32Array.of(-1, 0, 0, 1, 2, 3, 4),
    scores: Float32Array.of(0, -1, -2, -1.5, -2.25, -2.5, -2.75),
  });
  assert.deepEqual(frontiers, [
    {
      level: 1,
      tokens: Int32Array.of(5, 6),
      featureRows: Int32Array.of(0, 0),
      ancestors: [Int32Array.of(), Int32Array.of()],
    },
    {
      level: 2,
      tokens: Int32Array.of(1, 3),
      featureRows: Int32Array.of(0, 1),
      ancestors: [Int32Array.of(0), Int32Array.of(1)],
    },
  ]);
});

/** A draft as a function of the drafted tokens so far: its k best, best first. */
function topAfter(prefix: readonly number[], width: number): TopK {
  const from = random(17, "draft", ...prefix), vocabulary = 3 * width + 1;
  const weights = Array.from({ length: vocabulary }, () => Math.exp(2 * from.normal()));
  const total = weights.reduce((a, b) => a + b);
  const tokens = [...weights.keys()].sort((a, b) => weights[b] - weights[a]).slice(0, width);
  return top(tokens, tokens.map((t) => Math.fround(Math.log(weights[t] / total))));
}

/** Grows with `topAfter`, reading each node's prefix from its ancestors and checking all books. */
function grow(root: number, shape: TreeShape): Promise<Tree> {
  const { width } = shape, prefixes: number[][] = [];
  let previous: number[][] = [[root]];
  return growTree({ root, first: topAfter([root], width), shape }, (frontier) => {
    const { level, tokens, ancestors, featureRows } = frontier;
    assert.equal(prefixes.length, (level - 1) * width);
    const rows = Array.from(tokens, (token, row) => {
      assert.equal(ancestors[row].length, level - 1);
      const above = [root, ...Array.from(ancestors[row], (a) => prefixes[a].at(-1)!)];
      assert.deepEqual(above, previous[featureRows[row]]);
      return [...above, token];
    });
    prefixes.push(...rows);
    previous = rows;
    const all = rows.map((prefix) => topAfter(prefix, width));
    return Promise.resolve({
      tokens: Int32Array.from(all.flatMap(({ tokens }) => Array.from(tokens))),
      logProbabilities: Float32Array.from(all.flatMap((t) => Array.from(t.logProbabilities))),
    });
  });
}

/** The same tree as path -> score, by searching level by level over strings of tokens. */
function search(root: number, { depth, width, budget }: TreeShape): Map<string, number> {
  type Candidate = { path: number[]; score: number };
  const expand = ({ path, score }: Candidate): Candidate[] => {
    const { tokens, logProbabilities } = topAfter(path, width);
    return Array.from(tokens, (token, i) => ({
      path: [...path, token],
      score: score + logProbabilities[i],
    }));
  };
  let level = expand({ path: [root], score: 0 });
  const all = level.slice();
  for (let i = 1; i < depth; i++) {
    const frontier = i === 1 ? level : level.toSorted((a, b) => b.score - a.score).slice(0, width);
    level = frontier.flatMap(expand);
    all.push(...level);
  }
  const kept = all.toSorted((a, b) => b.score - a.score).slice(0, budget - 1);
  return new Map(kept.map(({ path, score }) => [path.join(" "), Math.fround(score)]));
}

for (const [depth, width, budget] of [[1, 3, 3], [6, 10, 60], [4, 4, 16], [8, 2, 8], [3, 1, 4]]) {
  Deno.test(`growth agrees with a plain search: depth ${depth}, width ${width}, budget ${budget}`, async () => {
    for (let root = 0; root < 4; root++) {
      const shape = { depth, width, budget }, tree = await grow(root, shape);
      const { tokens, parents, scores } = tree;
      assert.equal(tokens.length, budget);
      assert.deepEqual([tokens[0], parents[0], scores[0]], [root, -1, 0]);
      const paths = Array.from(parents, () => [root]), found = new Map<string, number>();
      for (let i = 1; i < budget; i++) {
        assert.ok(parents[i] >= 0 && parents[i] < i && scores[i] <= scores[parents[i]]);
        // In order of drafting, so by depth.
        assert.ok(i === 1 || paths[i - 1].length <= paths[parents[i]].length + 1);
        paths[i] = [...paths[parents[i]], tokens[i]];
        found.set(paths[i].join(" "), scores[i]);
      }
      assert.deepEqual([...found].sort(), [...search(root, shape)].sort());
      assert.ok(pathsOf(parents)[0].length <= depth + 1);
    }
  });
}

Deno.test("a budget beyond the candidates keeps them all", async () => {
  const tree = await grow(1, { depth: 3, width: 2, budget: 50 });
  assert.equal(tree.tokens.length, 1 + 2 + 2 * 4);
});

Deno.test("below the minimum score nothing is expanded nor kept, but for the best candidate", async () => {
  const run = async (minimumScore: number | undefined) => {
    let calls = 0;
    const tree = await growTree(
      { root: 0, first: top([1, 2], [-1, -2]), shape: { depth: 5, width: 2, budget: 30 } },
      () => (calls++, top([1, 2, 3, 4], [-1, -2, -1, -2])),
      { minimumScore },
    );
    return [calls, tree.tokens.length];
  };
  // Best scores of the frontiers: -1, -2, -3, -4.
  assert.deepEqual(await run(undefined), [4, 1 + 2 + 4 * 4]);
  // Kept at -2: both of level 1 (-1, -2), and of level 2 the first child of the first (-2).
  assert.deepEqual(await run(-2), [2, 1 + 2 + 1]);
  assert.deepEqual(await run(-0.5), [0, 2]);
});

Deno.test("a child never outranks its parent, even with a rounded log-probability above 0", async () => {
  const tree = await growTree(
    { root: 0, first: top([1, 2], [-1, -1]), shape: { depth: 3, width: 2, budget: 3 } },
    () => top([5, 6, 7, 8], [1e-7, -9, 1e-7, -9]),
  );
  assert.deepEqual(Array.from(tree.tokens), [0, 1, 2]);
  assert.deepEqual(Array.from(tree.parents), [-1, 0, 0]);
});

Deno.test("too few candidates and log-probabilities that are no numbers are refused", async () => {
  const shape = { depth: 2, width: 2, budget: 4 }, first = top([1, 2], [-1, -2]);
  await assert.rejects(
    growTree({ root: 0, first, shape }, () => top([1, 2, 3], [-1, -2, -3])),
    /log-probability 3 is undefined of 3, wanted 2 numbers a row/,
  );
  await assert.rejects(
    growTree({ root: 0, first: top([1, 2], [-1, NaN]), shape }, () => first),
    /log-probability 1 is NaN/,
  );
});

Deno.test("shapes out of range are refused; the authors' flags are translated", () => {
  const good = { depth: 6, width: 10, budget: 60 };
  checkTreeShape(good);
  assert.throws(
    () => checkTreeShape({ ...good, depth: 0 }),
    /depth 0: wanted a whole number from 1/,
  );
  assert.throws(() => checkTreeShape({ ...good, width: 1.5 }), /width 1\.5/);
  assert.throws(() => checkTreeShape({ ...good, budget: 1 }), /budget 1: wanted .* from 2/);
  assert.deepEqual(fromAuthorsFlags({ depth: 5, topK: 10, totalTokens: 60 }), good);
});
