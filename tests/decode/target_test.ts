/** The target while decoding: compiled sizes, prompts longer than a chunk, trees between chains. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { ROW_SIZES, rowSizeFor, TargetDecoder } from "../../lib/decode/target.ts";
import { targetProgram } from "../../lib/model/llama.ts";
import { random } from "../../lib/random.ts";
import { naiveTarget, normed } from "../model/naive.ts";
import { TINY, tinyTarget, tinyWeights } from "../model/tiny.ts";
import { assertClose } from "../tolerance.ts";

const CONFIG = { ...TINY, positions: 160 };

function expected(ids: ArrayLike<number>) {
  const weights = tinyWeights(CONFIG);
  return naiveTarget(CONFIG, (name) => weights[name], Array.from(ids));
}

function someIds(length: number): Int32Array {
  const from = random(6, "ids");
  return Int32Array.from({ length }, () => from.integer(CONFIG.vocabulary));
}

Deno.test("a run takes the next compiled size up", () => {
  assert.deepEqual([1, 5, 6, 33, 64].map(rowSizeFor), [1, 6, 6, 40, 64]);
  assert.throws(() => rowSizeFor(65), /Cannot run 65 rows at once: wanted at most 64/);
  assert.deepEqual(ROW_SIZES, [...ROW_SIZES].sort((a, b) => a - b));
});

for (const length of [1, 5, 64, 65, 130]) {
  Deno.test(`a prompt of ${length} tokens, read in chunks`, async () => {
    using backend = await openOnnxBackend({ threads: 1 });
    using target = new TargetDecoder(tinyTarget(backend, CONFIG), { backend });
    using cache = target.newCache();
    const ids = someIds(length), wanted = expected(ids);
    const { logits, features } = await target.prefill(ids, cache);
    assert.equal(cache.length, length);
    assertClose(logits, wanted.logits.at(-1)!, { what: "logits", shape: [24], a: 5e-5 });
    assertClose(features, wanted.features.flat(), {
      what: "features",
      shape: [length, CONFIG.width],
      a: 5e-5,
    });
  });
}

Deno.test("taps give what enters a layer, chains and chunks alike", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const loaded = tinyTarget(backend, CONFIG), ids = someIds(70), d = CONFIG.width;
  using target = new TargetDecoder(loaded, { backend, taps: [1, 0] });
  using cache = target.newCache();
  const { tapped, logits } = await target.prefill(ids, cache);
  assert.equal(tapped.length, ids.length * 2 * d);
  assertClose(logits, expected(ids).logits.at(-1)!, { what: "logits", shape: [24], a: 5e-5 });
  // Layer 0 is entered by the embedding; what enters layer 1 leaves a target of one layer.
  const embedding = loaded.weights["model.embed_tokens.weight"].host!;
  ids.forEach((id, t) => {
    const found = tapped.subarray((2 * t + 1) * d, (2 * t + 2) * d);
    assert.deepEqual([...found], [...embedding.subarray(id * d, (id + 1) * d)]);
  });
  const short = { ...loaded, config: { ...loaded.config, layers: 1 } };
  using one = new TargetDecoder(short, { backend });
  using other = one.newCache();
  const { features } = await one.prefill(ids, other);
  const norm = loaded.weights["model.norm.weight"].host!;
  for (const t of [0, 63, 64, 69]) {
    const row = normed(tapped.subarray(2 * t * d, (2 * t + 1) * d), norm, CONFIG.epsilon);
    assertClose(features.subarray(t * d, (t + 1) * d), row, { what: "row", shape: [d], a: 5e-5 });
  }
  assert.throws(() => targetProgram(loaded.config, { rows: 1, capacity: 8, taps: [2] }), {
    message: "Cannot tap layer 2: the target has layers 0 to 1",
  });
});

Deno.test("accepted rows of a tree stand for their tokens from then on", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  using target = new TargetDecoder(tinyTarget(backend, CONFIG), { backend });
  using cache = target.newCache();
  const prompt = someIds(11);
  await target.prefill(prompt, cache);
  // Node 4 is a child of 2, which is a child of the root.
  const tree = {
    tokens: Int32Array.of(3, 8, 1, 8, 20, 5, 7),
    parents: Int32Array.of(-1, 0, 0, 1, 2, 2, 4),
    scores: new Float32Array(7),
  };
  const { logits } = await target.forwardTree(tree, cache);
  assert.equal(cache.length, 11, "a tree's rows are not kept before they are accepted");
  const v = CONFIG.vocabulary, path = [0, 2, 4, 6];
  const text = [...prompt, 3, 1, 20, 7], wanted = expected(text).logits.slice(-4).flat();
  const found = path.flatMap((node) => Array.from(logits.subarray(node * v, (node + 1) * v)));
  assertClose(found, wanted, { what: "logits along the path", shape: [4, v], a: 5e-5 });

  cache.keep([0, 2, 4]);
  assert.equal(cache.length, 14);
  const next = await target.forwardChain([9, 2], cache);
  const after = expected([...prompt, 3, 1, 20, 9, 2]).logits.slice(-2).flat();
  assertClose(next.logits, after, { what: "logits after the tree", shape: [2, v], a: 5e-5 });
  // A plain row after a tree: the tree's bias must be gone.
  const again = await target.forwardChain([4], cache);
  assertClose(again.logits, expected([...prompt, 3, 1, 20, 9, 2, 4]).logits.at(-1)!, {
    what: "logits after that",
    shape: [v],
    a: 5e-5,
  });
});

Deno.test("the last position can be reached with the largest tree", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  using target = new TargetDecoder(tinyTarget(backend, CONFIG), { backend });
  using cache = target.newCache();
  const ids = someIds(CONFIG.positions);
  await target.prefill(ids.subarray(0, -1), cache);
  const tree = {
    tokens: Int32Array.from({ length: 64 }, () => ids[CONFIG.positions - 1]),
    parents: Int32Array.from({ length: 64 }, (_, i) => i === 0 ? -1 : 0),
    scores: new Float32Array(64),
  };
  const { logits } = await target.forwardTree(tree, cache);
  assertClose(logits.subarray(0, 24), expected(ids).logits.at(-1)!, {
    what: "logits at the last position",
    shape: [24],
    a: 1e-4,
  });
});
