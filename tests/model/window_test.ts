/**
 * The sliding window: which columns a row sees, by hand and by counting positions; and that drafted text is the plain
 * text where prompt, text and even the trees are longer than the window. Against transformers:
 * `tests/golden/families_golden_test.ts`; against plain loops: `llama_test.ts`.
 */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { depthsOf } from "../../lib/decode/ancestry.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { record } from "../../lib/eval/run.ts";
import { constant, fill } from "../../lib/graph/ops.ts";
import { windowBias } from "../../lib/model/window.ts";
import { random } from "../../lib/random.ts";
import { valueOf } from "../graph/evaluate.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "./tiny.ts";

/** Columns that each row of each sequence sees: [B][T][..]. */
async function seen(lengths: number[], depths: Int32Array, { capacity = 9, size = 3 } = {}) {
  const b = lengths.length, t = depths.length;
  const positions = lengths.flatMap((length) => Array.from(depths, (d) => length + d));
  const bias = await valueOf(windowBias({
    positions: constant(Int32Array.from(positions), [b, t]),
    length: constant(Int32Array.from(lengths), [b]),
    bias: fill(0, [1, 1, t, capacity]),
  }, size));
  const row = (at: number) =>
    bias.slice(at * capacity, (at + 1) * capacity).flatMap((x, c) => x === 0 ? [c] : []);
  return lengths.map((_, s) => Array.from({ length: t }, (_, i) => row(s * t + i)));
}

Deno.test("rows of a chain see the columns of the window, and later ones, which are not theirs to see", async () => {
  const chain = Int32Array.of(0, 1, 2);
  assert.deepEqual(await seen([4, 0], chain), [
    [[2, 3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8], [4, 5, 6, 7, 8]],
    [[0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5, 6, 7, 8]],
  ]);
});

Deno.test("nodes of a tree see by their depth, not by their column", async () => {
  // 4 - (5 - (7 - 8), 6): the last stands at depth 3, three columns are at depths 1 and 2.
  const depths = depthsOf(Int32Array.of(-1, 0, 0, 1, 3));
  const [[, , sibling, , last]] = await seen([4], depths);
  assert.deepEqual(sibling, [3, 4, 5, 6, 7, 8]);
  assert.deepEqual(last, [5, 6, 7, 8], "of depth 0 and the prefix nothing is left");
});

Deno.test("drafted text is plain text beyond the window, with trees deeper than it", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const sizes = { ...TINY, headSize: 16, positions: 160 };
  const loaded = tinyTarget(backend, { ...sizes, window: { size: 4, layers: [0, 1] } });
  const from = random(3, "prompt");
  const prompt = Int32Array.from({ length: 70 }, () => from.integer(TINY.vocabulary));
  const draft = tinyDraft(tinyDraftConfig(sizes)), maxTokens = 24;
  const growth = dynamicGrowth({ depth: 6, width: 3, budget: 24 });
  using target = new TargetDecoder(loaded, { backend });
  using drafter = new TreeDrafter(draft, { backend, target: loaded, growth, bits: 32 });
  const plain = await record(generate(target, prompt, { maxTokens }));
  const drafted = await record(speculate(target, prompt, { drafter, maxTokens }));
  assert.deepEqual(drafted.tokens, plain.tokens);
  const { window: _, ...config } = loaded.config;
  using whole = new TargetDecoder({ ...loaded, config }, { backend });
  const other = await record(generate(whole, prompt, { maxTokens }));
  assert.notDeepEqual(other.tokens, plain.tokens, "without a window the text is the same");
});
