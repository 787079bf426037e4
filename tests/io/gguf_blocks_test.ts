/** Tests lib/io/gguf_blocks.ts: values of every type that is read against the format's own reader (`make/gguf_files.py`). */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openGguf } from "../../lib/io/gguf.ts";
import { BLOCK_TYPES, READABLE_BLOCKS } from "../../lib/io/gguf_blocks.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";

const ROOM = join(import.meta.dirname!, "../golden/own/gguf");

Deno.test("every readable type has a golden, and its values bit by bit", () => {
  using file = openGguf(join(ROOM, "blocks.gguf"));
  using wanted = openSafetensors(join(ROOM, "blocks.results.safetensors"));
  assert.deepEqual(READABLE_BLOCKS.filter((name) => !wanted.has(name)), []);
  for (const name of READABLE_BLOCKS) {
    assert.deepEqual([file.info(name).dtype, file.info(name).shape], [name, [2, 512]]);
    assert.deepEqual(file.readFloat32(name), wanted.readFloat32(name), name);
  }
});

Deno.test("types that are known by size alone are refused by name when read", () => {
  using file = openGguf(join(ROOM, "blocks.gguf"));
  assert.equal(file.info("Q5_K").dtype, "Q5_K");
  assert.throws(
    () => file.readFloat32("Q5_K"),
    /Cannot read Q5_K of .*blocks\.gguf: it is Q5_K, wanted one of F32, F16, Q4_0/,
  );
  assert.throws(() => file.readInt("F32"), /as integers: it is F32/);
});

Deno.test("bits a value are those that the names promise, scales included", () => {
  const bits = Object.fromEntries(
    Object.values(BLOCK_TYPES).map(({ name, values, bytes }) => [name, 8 * bytes / values]),
  );
  assert.deepEqual([bits.F32, bits.BF16, bits.Q8_0, bits.Q4_0, bits.Q4_K, bits.Q6_K], [
    ...[32, 16, 8.5, 4.5, 4.5, 6.5625],
  ]);
  for (const [name, each] of Object.entries(bits)) {
    const promised = Number(/\d+/.exec(name)![0]);
    assert.ok(each >= promised && each <= promised + 2, `${name}: ${each}`);
  }
});
