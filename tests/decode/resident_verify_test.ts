/** Acceptance as nodes of a Program: the path that the host's greedy verification takes, and the tokens after it. */
import assert from "node:assert/strict";
import { ancestorMask, depthsOf } from "../../lib/decode/ancestry.ts";
import { acceptNodes, chooseTokens, rootAlone } from "../../lib/decode/resident_verify.ts";
import { argmax } from "../../lib/decode/sample.ts";
import { verifyGreedy } from "../../lib/decode/verify.ts";
import * as ops from "../../lib/graph/ops.ts";
import { random } from "../../lib/random.ts";
import { evaluator, valueOf, values } from "../graph/evaluate.ts";

const N = 14, LONGEST = 6;

/** A tree no deeper than a path may be, siblings with different tokens, and a choice at every node. */
function tree(seed: number) {
  const from = random(seed, "tree"), parents = [-1], depths = [0], tokens = [from.integer(9)];
  while (tokens.length < N) {
    const parent = from.integer(tokens.length), token = from.integer(9);
    const taken = parents.some((p, i) => p === parent && tokens[i] === token);
    if (depths[parent] === LONGEST - 1 || taken) continue;
    parents.push(parent);
    depths.push(depths[parent] + 1);
    tokens.push(token);
  }
  // Mostly the token of some child, so that paths are long.
  const choices = parents.map((_, node) => {
    const children = parents.flatMap((p, i) => p === node ? [tokens[i]] : []);
    return children.length > 0 && from.uniform() < 0.9
      ? children[from.integer(children.length)]
      : from.integer(9);
  });
  return {
    tokens: Int32Array.from(tokens),
    parents: Int32Array.from(parents),
    choices: Int32Array.from(choices),
  };
}

Deno.test("the accepted path and its tokens are the host's", async () => {
  const inputs = Object.fromEntries(
    ["tokens", "parents", "depths", "choices"].map((n) => [n, ops.input(n, [N], "i32")]),
  );
  const { tokens, parents, depths, choices } = inputs;
  const ancestors = ops.input("ancestors", [N, N]);
  const accepted = acceptNodes({ tokens, parents, depths, ancestors }, {
    choices,
    longest: LONGEST,
  });
  const run = await evaluator({ ...accepted }), lengths = new Set<number>();
  for (let seed = 0; seed < 60; seed++) {
    const one = tree(seed), scores = new Float32Array(N);
    const { path, next } = verifyGreedy({ ...one, scores }, (node) => one.choices[node]);
    const found = await run({
      tokens: one.tokens,
      choices: one.choices,
      parents: one.parents.map((p) => Math.max(p, 0)),
      depths: depthsOf(one.parents),
      ancestors: Float64Array.from(ancestorMask(one.parents)),
    });
    const [count] = found.count;
    assert.equal(count, path.length + 1);
    assert.deepEqual([...found.nodes].slice(0, count), [0, ...path]);
    const emitted = [...path.map((node) => one.tokens[node]), next];
    assert.deepEqual([...found.tokens].slice(0, count), emitted);
    // Beyond: places themselves, so that rows may move where they lie.
    assert.deepEqual([...found.nodes].slice(count), [0, 1, 2, 3, 4, 5].slice(count));
    lengths.add(path.length);
  }
  assert.ok(lengths.size > 3, "paths of several lengths");
});

Deno.test("a choice is the best token, or the one that a number between 0 and 1 falls on", async () => {
  const logits = ops.input("logits", [3, 7]), uniforms = ops.input("uniforms", [3]);
  const data = values([3, 7], "logits");
  const greedy = chooseTokens(logits, {
    sampling: { temperature: 0, topK: 0, topP: 1 },
    uniforms,
  });
  const best = [0, 1, 2].map((row) => argmax(data, row * 7, 7));
  assert.deepEqual(await valueOf(greedy, { logits: data }), best);
  const warm = chooseTokens(logits, { sampling: { temperature: 1, topK: 1, topP: 1 }, uniforms });
  assert.deepEqual(
    await valueOf(warm, { logits: data, uniforms: Float64Array.of(0, 0.5, 0.999) }),
    best,
    "with top-k 1 only the best is left",
  );
});

Deno.test("plain decoding is a tree of its root", async () => {
  const alone = rootAlone(ops.input("root", [1], "i32"));
  const accepted = acceptNodes(alone, { choices: ops.input("choices", [1], "i32"), longest: 1 });
  const run = await evaluator({ ...accepted });
  const found = await run({ choices: Int32Array.of(7) });
  assert.deepEqual([[...found.nodes], [...found.tokens], [...found.count]], [[0], [7], [1]]);
});
