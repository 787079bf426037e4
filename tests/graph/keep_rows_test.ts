/** Compaction of a cache: which row ends where; what does not fit is refused. */
import assert from "node:assert/strict";
import { keepRows } from "../../lib/graph/keep_rows.ts";
import { input } from "../../lib/graph/ops.ts";
import { valueOf } from "./evaluate.ts";

Deno.test("rows behind `from` become those at the offsets, all others stay", async () => {
  const cache = input("cache", [1, 7, 1]), from = input("from", [1], "i32");
  const offsets = input("offsets", [3], "i32");
  const kept = await valueOf(keepRows(cache, { from, offsets }), {
    cache: Float64Array.of(10, 11, 12, 13, 14, 15, 16),
    from: Int32Array.of(2),
    offsets: Int32Array.of(0, 2, 4),
  });
  assert.deepEqual(kept, [10, 11, 12, 14, 16, 15, 16]);
});

Deno.test("indices of another shape or type are refused", () => {
  const cache = input("cache", [1, 7, 1]), offsets = input("offsets", [3], "i32");
  assert.throws(() => keepRows(cache, { from: input("from", [1]), offsets }), /wanted i32 \[1\]/);
  assert.throws(() => keepRows(cache, { from: offsets, offsets }), /wanted i32 \[1\]/);
});
