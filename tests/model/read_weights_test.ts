/** Weights of the Program from published ones: joined in order, straight into given memory. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors.ts";
import { publishedShapes, weightReader } from "../../lib/model/read_weights.ts";
import { sizeOf } from "../../lib/graph/node.ts";
import { targetShapes } from "../../lib/model/llama.ts";
import { TINY } from "./tiny.ts";

Deno.test("every weight is read once, merged ones part after part; given memory is used", async () => {
  const folder = await Deno.makeTempDir(), path = join(folder, "model.safetensors");
  try {
    let next = 0;
    const tensors = Object.fromEntries(
      Object.entries(publishedShapes(TINY)).map(([name, shape]) => [
        name,
        { shape, data: Float32Array.from({ length: sizeOf(shape) }, () => next++) },
      ]),
    );
    await writeSafetensors(path, tensors);
    using file = openSafetensors(path);
    const read = weightReader(file, TINY), room = new Float32Array(10_000);
    let seen = 0;
    for (const [name, shape] of Object.entries(targetShapes(TINY))) {
      const values = read(name, shape), again = read(name, shape, room);
      assert.equal(values.length, sizeOf(shape));
      assert.deepEqual(again, values);
      assert.equal(again.buffer, room.buffer);
      seen += values.length;
    }
    assert.equal(seen, next);
    const at = "model.layers.1.self_attn.", shape = targetShapes(TINY)[`${at}qkv_proj.weight`];
    const parts = ["q", "k", "v"].flatMap((p) => [...tensors[`${at}${p}_proj.weight`].data]);
    assert.deepEqual([...read(`${at}qkv_proj.weight`, shape)], parts);
    assert.throws(
      () => file.readFloat32("model.norm.weight", new Float32Array(3)),
      /model.norm.weight of .*: room for 3 values, wanted 32/,
    );
    assert.throws(
      () => weightReader(file, { ...TINY, heads: 3 })(`${at}qkv_proj.weight`, shape),
      /self_attn.q_proj.weight is \[.*\], config.json wants/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
