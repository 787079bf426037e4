/** Tests lib/eval/tau.ts: prompts from training examples, what decoding them records, and the number made of it. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { generate } from "../../lib/decode/generate.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { record } from "../../lib/eval/run.ts";
import { decodePrompts, estimateTau, promptsOf } from "../../lib/eval/tau.ts";
import { random } from "../../lib/random.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { generation } from "./recordings.ts";

const TREE = { depth: 3, width: 3, budget: 8 };

function prompt(length: number): Int32Array {
  const from = random(2, "prompt", length);
  return Int32Array.from({ length }, () => from.integer(TINY.vocabulary));
}

Deno.test("a prompt ends with the first trained row", () => {
  const masks = [[0, 0, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 1, 0, 1, 0]];
  const readText = (i: number) => ({
    id: `t${i}`,
    ids: Int32Array.of(10, 11, 12, 13, 14),
    mask: Uint8Array.from(masks[i]),
  });
  const examples = { count: masks.length, readText };
  const prompts = (count: number) => promptsOf(examples, { count }).map((ids) => [...ids]);
  const all = [[10, 11, 12], [10], [10, 11, 12, 13], [10, 11]];
  assert.deepEqual(prompts(4), all);
  assert.deepEqual(prompts(2), all.slice(0, 2));
  assert.deepEqual(prompts(0), []);
  assert.deepEqual(prompts(9), all, "there are only four");
});

for (const fusion of ["tgf", "taps"] as const) {
  Deno.test(`decoded prompts are the target's own greedy texts, fusion ${fusion}`, async () => {
    using backend = await openOnnxBackend();
    const target = tinyTarget(backend, { vocabulary: 6 }), prompts = [5, 12, 30].map(prompt);
    for (const ids of prompts) for (let i = 0; i < ids.length; i++) ids[i] %= 6;
    const own = { head: "single", taps: [0, 1], draftVocabulary: 5 } as const;
    const changes = { fusion, ...(fusion === "taps" && own) };
    const draft = tinyDraft(tinyDraftConfig(target.config, changes));
    const options = { target, backend, prompts, tree: TREE, maxTokens: 20 };
    const found = await Array.fromAsync(decodePrompts(draft, options));
    using decoder = new TargetDecoder(target, { backend });
    for (const [i, ids] of prompts.entries()) {
      const wanted = await record(generate(decoder, ids, { maxTokens: 20 }));
      assert.deepEqual(found[i].tokens, wanted.tokens);
      assert.equal(found[i].rounds.reduce((sum, r) => sum + r.emitted, 1), 20);
    }
    const { value, low, high, emitted, forwards, counts } = estimateTau(found);
    assert.deepEqual(counts, found.map((g) => [19, g.rounds.length]));
    assert.equal(emitted, 3 * 19);
    assert.equal(forwards, found.flatMap((g) => g.rounds).length);
    assert.ok(value === emitted / forwards && value > 1 && low <= value && value <= high);
    // A draft that may propose nothing but the likeliest path is accepted less often than a whole tree.
    const narrow = { ...options, tree: { depth: 1, width: 1, budget: 2 } };
    const less = estimateTau(await Array.fromAsync(decodePrompts(draft, narrow)));
    assert.ok(less.value <= 2 && less.value < value, `${less.value}, with a tree ${value}`);
    const strict = { ...options, minimumScore: 0 };
    // No path is that likely: the best node alone is drafted.
    const rounds = (await Array.fromAsync(decodePrompts(draft, strict))).flatMap((g) => g.rounds);
    assert.ok(rounds.every((r) => r.drafted === 1), "the minimum score is passed on");
  });
}

Deno.test("an abort ends the prompt in work and begins no other", async () => {
  using backend = await openOnnxBackend();
  const target = tinyTarget(backend), draft = tinyDraft(), abort = new AbortController();
  const prompts = [4, 5, 6].map(prompt), { signal } = abort;
  let decoded = 0;
  for await (const _ of decodePrompts(draft, { target, backend, prompts, tree: TREE, signal })) {
    decoded++;
    abort.abort();
  }
  assert.equal(decoded, 1);
});

Deno.test("tau is pooled over all rounds, not a mean of means", () => {
  const times = { prefillMs: 1, roundMs: 1 };
  const long = generation(Array.from({ length: 9 }, () => [2, 1, 1] as const), times);
  const short = generation([[6, 5, 5]], times);
  const { value, low, high, emitted, forwards } = estimateTau([long, short]);
  assert.deepEqual([emitted, forwards, value], [24, 10, 2.4]);
  assert.deepEqual([low, high], [2, 6], "an interval of two prompts is that of either alone");
  const same = estimateTau([long, long, long]);
  assert.deepEqual([same.low, same.value, same.high], [2, 2, 2]);
});

Deno.test("there is no tau without a round", () => {
  const empty = generation([], { prefillMs: 1, roundMs: 1 });
  for (const [given, found] of [[[], 0], [[empty, empty], 2]] as const) {
    assert.throws(
      () => estimateTau(given),
      new RegExp(`Cannot estimate tau from ${found} generations without a target forward`),
    );
  }
});
