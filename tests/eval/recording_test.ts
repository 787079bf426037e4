/**
 * Tests lib/eval/recording.ts: the text is the target's, goes on after the end, and trees hold what the draft says at
 * each of its tokens. That simulations agree with decoding is in `simulate_test.ts`.
 */
import assert from "node:assert/strict";
import { DraftDecoder } from "../../lib/decode/draft.ts";
import { generate } from "../../lib/decode/generate.ts";
import { chainGrowth, dynamicGrowth } from "../../lib/decode/growth.ts";
import { recordDrafts, toRows } from "../../lib/eval/recording.ts";
import { record } from "../../lib/eval/run.ts";
import { tinyPair } from "./tiny_recording.ts";

Deno.test("candidates become rows of k children, missing ones impossible", () => {
  const tree = toRows({
    tokens: [4, 5, 6, 7, 8],
    logProbabilities: [-1, -2, -3, -4, -5],
    scores: [],
    parents: [-1, -1, 1, 0, 0],
    ranks: [0, 1, 0, 0, 2],
    depths: [],
  }, { branching: 3 });
  assert.deepEqual([...tree.expanded], [-1, 1, 0]);
  assert.deepEqual([...tree.tokens], [4, 5, 0, 6, 0, 0, 7, 0, 8]);
  const none = -Infinity;
  assert.deepEqual([...tree.logProbabilities], [-1, -2, none, -3, none, none, -4, none, -5]);
  const deeper = toRows({
    tokens: [1, 2, 3],
    logProbabilities: [-1, -1, -1],
    scores: [],
    parents: [-1, 0, 1],
    ranks: [1, 0, 0],
    depths: [],
  }, { branching: 2 });
  assert.deepEqual([...deeper.expanded], [-1, 1, 2], "children are numbered by row and rank");
});

Deno.test("the text is the target's own, and goes on after its end", async () => {
  using tiny = await tinyPair();
  const depth = 4, { prompts } = await tiny.record([chainGrowth(depth)], 9);
  assert.deepEqual(prompts.map((p) => p.id), ["p3", "p17", "p66"]);
  for (const [i, { text, emitted, trees, promptTokens }] of prompts.entries()) {
    const { ids } = tiny.prompts[i];
    const plain = await record(generate(tiny.target, ids, { maxTokens: 9 + depth }));
    assert.deepEqual([...text], plain.tokens);
    assert.deepEqual([emitted, trees.length, promptTokens], [9, 8, ids.length]);
  }
});

Deno.test("an end token ends it, and nothing is drafted of a single token", async () => {
  using free = await tinyPair();
  const [{ text }] = (await free.record([chainGrowth(2)], 12)).prompts;
  using tiny = await tinyPair({ eos: [text[0]] });
  const [{ emitted, trees, text: again }] = (await tiny.record([chainGrowth(2)], 12)).prompts;
  assert.deepEqual([emitted, trees.length, [...again]], [1, 0, [...text.slice(0, 3)]]);
});

Deno.test("at each token stands what the draft says there, with the target's features before it", async () => {
  using tiny = await tinyPair();
  const { backend, target, draft, prompts: [, { ids: prompt }] } = tiny;
  const recording = await tiny.record([dynamicGrowth({ depth: 1, width: 3, budget: 4 })], 8);
  const { text, trees } = recording.prompts[1];
  const options = { backend, target: target.target, branching: 3, treeRows: 0, bits: 32 as const };
  using decoder = new DraftDecoder(draft, options);
  for (const [at, tree] of trees.entries()) {
    using cache = target.newCache();
    using draftCache = decoder.newCache();
    const all = Int32Array.of(...prompt, ...text.slice(0, at + 1));
    const { features } = await target.prefill(all.slice(0, -1), cache);
    const [said] = await decoder.read([{ ids: all.slice(1), features, cache: draftCache }]);
    assert.deepEqual([...tree.expanded], [-1]);
    assert.deepEqual([...tree.tokens], [...said.tokens!]);
    tree.logProbabilities.forEach((p, i) =>
      assert.ok(Math.abs(p - said.logProbabilities![i]) < 1e-4, `token ${at}: ${p}`)
    );
  }
});

Deno.test("an abort drops the prompt in work", async () => {
  using tiny = await tinyPair();
  const { draft, backend } = tiny, abort = new AbortController(), ids: string[] = [];
  const options = { draft, backend, growths: [chainGrowth(2)], maxTokens: 8, signal: abort.signal };
  for await (const { id } of recordDrafts(tiny.target, tiny.prompts, options)) {
    ids.push(id);
    abort.abort();
  }
  assert.deepEqual(ids, ["p3"]);
});
