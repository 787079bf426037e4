/** Weights as files hold them: side by side where the Program wants it, in 16 bits where a file has no more. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { sizeOf } from "../../lib/graph/node.ts";
import { fromHalf } from "../../lib/io/float16.ts";
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../lib/io/safetensors.ts";
import { targetShapes } from "../../lib/model/llama.ts";
import { placeTarget } from "../../lib/model/load.ts";
import { publishedShapes, weightReader } from "../../lib/model/read_weights.ts";
import { values } from "../graph/evaluate.ts";
import { TINY } from "./tiny.ts";

/** Writes the tiny target's tensors, each stored as `dtypeOf` says, and opens them. */
async function withTarget(
  dtypeOf: (name: string) => TensorToWrite["dtype"],
  test: (file: ReturnType<typeof openCheckpoint>) => void,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const tensors = Object.fromEntries(
      Object.entries(publishedShapes(TINY)).map(([name, shape]) => {
        const data = Float32Array.from(values(shape, name));
        if (name === "model.layers.1.mlp.down_proj.weight") data[5] = 70000; // too large for f16
        return [name, { shape, data, dtype: dtypeOf(name) }];
      }),
    );
    await writeSafetensors(join(folder, "model.safetensors"), tensors);
    using file = openCheckpoint(folder);
    test(file);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const BIG = "model.layers.1.mlp.down_proj.weight";

Deno.test("parts stand side by side, in f32 and as bits of f16", async () => {
  await withTarget((name) => name === BIG ? "F32" : "F16", (file) => {
    const { read, readHalf } = weightReader(file, TINY),
      name = "model.layers.0.self_attn.qkv_proj.weight";
    const shape = targetShapes(TINY)[name], whole = read(name, shape);
    assert.equal(whole.length, sizeOf(shape));
    const q = file.readFloat32(name.replace("qkv", "q")),
      v = file.readFloat32(name.replace("qkv", "v"));
    assert.deepEqual(whole.slice(0, q.length), q);
    assert.deepEqual(whole.slice(-v.length), v);
    assert.deepEqual(fromHalf(readHalf(name, shape)!), whole);
  });
});

Deno.test("f16 and bf16 matrices stay in 16 bits; what f16 cannot hold, and f32, do not", async () => {
  for (const dtype of ["F16", "BF16", "F32"] as const) {
    await withTarget((name) => name === BIG && dtype === "F16" ? "F32" : dtype, (file) => {
      const backend = referenceBackend(), { read, readHalf } = weightReader(file, TINY);
      const weights = placeTarget(TINY, read, { backend, readHalf });
      const matrices = Object.entries(targetShapes(TINY))
        .filter(([name, { length }]) => length === 2 && name !== BIG).map(([name]) => name);
      assert.deepEqual(
        Object.keys(weights).filter((name) => weights[name].dtype === "f16").sort(),
        dtype === "F32" ? [] : matrices.sort(),
      );
      assert.equal(weights[BIG].dtype, "f32");
      // bf16 has fewer digits than f16: the values are the same.
      const name = "model.layers.0.mlp.gate_up_proj.weight";
      if (dtype !== "BF16") return;
      assert.deepEqual(
        fromHalf(weights[name].host as Uint16Array),
        read(name, targetShapes(TINY)[name]),
      );
    });
  }
});

Deno.test("a tensor of another shape is named, with both shapes", async () => {
  await withTarget(() => "F32", (file) => {
    const { read } = weightReader(file, { ...TINY, heads: 8 });
    assert.throws(
      () => read("model.layers.0.self_attn.qkv_proj.weight", [96, 32]),
      /q_proj.weight is \[32,32\], config.json wants \[64,32\]/,
    );
  });
});

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
    const { read } = weightReader(file, TINY), room = new Float32Array(10_000);
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
      () => weightReader(file, { ...TINY, heads: 3 }).read(`${at}qkv_proj.weight`, shape),
      /self_attn.q_proj.weight is \[.*\], config.json wants/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
