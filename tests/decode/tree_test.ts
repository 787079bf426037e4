/** Growing trees: hand values, bookkeeping of rows and ancestors, and agreement with a plain search. */
import assert from "node:assert/strict";
import { dynamicGrowth, type TreeShape } from "../../lib/decode/growth.ts";
import { type Frontier, type Growth, growTree, type TopK } from "../../lib/decode/tree.ts";
import { pathsOf, type Tree } from "../../lib/decode/ancestry.ts";
import { random } from "../../lib/random.ts";

/** Grows a tree whose frontiers, the root first, are answered by a function. */
function treeOf(root: number, growth: Growth, answer: (frontier: Frontier) => TopK) {
  const steps = growTree({ root, growth });
  let state = steps.next();
  while (!state.done) state = steps.next(answer(state.value));
  return state.value;
}

/** Log-probabilities that f32 holds exactly, so that sums can be compared. */
const top = (tokens: number[], logProbabilities: number[]): TopK => ({ tokens, logProbabilities });

Deno.test("a tree of width 2 and depth 3 by hand", () => {
  const frontiers: Frontier[] = [];
  const answers = [
    top([5, 6], [-1, -2]),
    // Children of token 5 (-1) and of token 6 (-2).
    top([1, 2, 3, 4], [-0.5, -4, -0.25, -1]),
    // Frontier: 1 at -1.5 below 5, 3 at -2.25 below 6.
    top([7, 8, 9, 0], [-1, -2, -0.5, -8]),
  ];
  const { tree, kept, expanded } = treeOf(
    10,
    dynamicGrowth({ depth: 3, width: 2, budget: 7 }),
    (frontier) => answers[frontiers.push(frontier) - 1],
  );
  // Candidates: 5 -1, 6 -2; 1 -1.5, 2 -5, 3 -2.25, 4 -3; 7 -2.5, 8 -3.5, 9 -2.75, 0 -10.25. The best six:
  assert.deepEqual(tree, {
    tokens: Int32Array.of(10, 5, 6, 1, 3, 7, 9),
    parents: Int32Array.of(-1, 0, 0, 1, 2, 3, 4),
    scores: Float32Array.of(0, -1, -2, -1.5, -2.25, -2.5, -2.75),
  });
  assert.deepEqual(kept, [0, 1, 2, 4, 6, 8]);
  assert.deepEqual(expanded, [2, 2]);
  const none = new Int32Array(0);
  assert.deepEqual(frontiers, [
    {
      level: 0,
      candidates: [-1],
      tokens: Int32Array.of(10),
      counts: [2],
      featureRows: Int32Array.of(0),
      ancestors: [none],
    },
    {
      level: 1,
      candidates: [0, 1],
      tokens: Int32Array.of(5, 6),
      counts: [2, 2],
      featureRows: Int32Array.of(0, 0),
      ancestors: [none, none],
    },
    {
      level: 2,
      candidates: [2, 4],
      tokens: Int32Array.of(1, 3),
      counts: [2, 2],
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
function grow(root: number, shape: TreeShape): Tree {
  const { width } = shape, prefixes: number[][] = [];
  let previous: number[][] = [[root]];
  return treeOf(root, dynamicGrowth(shape), (frontier) => {
    const { level, tokens, ancestors, featureRows } = frontier;
    if (level === 0) return topAfter([root], width);
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
    return {
      tokens: Int32Array.from(all.flatMap(({ tokens }) => Array.from(tokens))),
      logProbabilities: Float32Array.from(all.flatMap((t) => Array.from(t.logProbabilities))),
    };
  }).tree;
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
  Deno.test(`growth agrees with a plain search: depth ${depth}, width ${width}, budget ${budget}`, () => {
    for (let root = 0; root < 4; root++) {
      const shape = { depth, width, budget }, tree = grow(root, shape);
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

Deno.test("a budget beyond the candidates keeps them all", () => {
  const tree = grow(1, { depth: 3, width: 2, budget: 50 });
  assert.equal(tree.tokens.length, 1 + 2 + 2 * 4);
});

Deno.test("a child never outranks its parent, even with a rounded log-probability above 0", () => {
  const { tree } = treeOf(
    0,
    dynamicGrowth({ depth: 3, width: 2, budget: 3 }),
    ({ level }) => level === 0 ? top([1, 2], [-1, -1]) : top([5, 6, 7, 8], [1e-7, -9, 1e-7, -9]),
  );
  assert.deepEqual(Array.from(tree.tokens), [0, 1, 2]);
  assert.deepEqual(Array.from(tree.parents), [-1, 0, 0]);
});

Deno.test("places without a child are no candidates, and counts of children are kept to", () => {
  const growth: Growth = {
    ...dynamicGrowth({ depth: 2, width: 3, budget: 12 }),
    count: (_, parent) => parent < 0 ? 3 : parent + 1,
  };
  const asked: number[][] = [];
  const { tree } = treeOf(9, growth, ({ level, counts }) => {
    asked.push(counts);
    return level === 0
      ? top([1, 2, 3], [-1, -2, -Infinity])
      : top([4, 5, 6, 7, 8, 9], [-1, -1, -1, -1, -1, -1]);
  });
  assert.deepEqual(asked, [[3], [1, 2]]);
  assert.deepEqual(Array.from(tree.tokens), [9, 1, 2, 4, 7, 8]);
  assert.deepEqual(Array.from(tree.parents), [-1, 0, 0, 1, 2, 2]);
});

Deno.test("too few candidates and log-probabilities that are no numbers are refused", () => {
  const growth = dynamicGrowth({ depth: 2, width: 2, budget: 4 }), first = top([1, 2], [-1, -2]);
  assert.throws(
    () => treeOf(0, growth, ({ level }) => level === 0 ? first : top([1, 2, 3], [-1, -2, -3])),
    /log-probability 3 is undefined of 3, wanted 2 numbers a row/,
  );
  assert.throws(() => treeOf(0, growth, () => top([1, 2], [-1, NaN])), /log-probability 1 is NaN/);
});
