/** Tests lib/model/known_targets.ts. */
import assert from "node:assert/strict";
import { targetsOfSize } from "../../lib/model/known_targets.ts";

Deno.test("sizes point to a model, or to none", () => {
  const of = (width: number, heads: number, vocabulary: number) =>
    targetsOfSize({ width, heads, vocabulary });
  assert.deepEqual(of(4096, 32, 128256), ["LLaMA-3 or 3.1 8B"]);
  assert.deepEqual(of(4096, 32, 151936), ["Qwen3 8B"]);
  assert.deepEqual(of(4096, 64, 151936), ["Qwen3 235B-A22B"]);
  // A draft has heads of its own: all that share width and vocabulary.
  assert.deepEqual(of(4096, 16, 151936), ["Qwen3 8B", "Qwen3 235B-A22B"]);
  assert.deepEqual(of(512, 8, 4096), []);
});
