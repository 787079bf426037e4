/** Weights in mapped files: the same values and results, nothing left behind, memory held once. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../../lib/backend/onnx/backend.ts";
import { givePagesBack, moveToFile } from "../../../lib/backend/onnx/mapped.ts";
import { TargetDecoder } from "../../../lib/decode/target.ts";
import { tinyTarget } from "../../model/tiny.ts";

const MAPS = Deno.build.os !== "windows";

Deno.test(
  "values move to a file without a name, and come again after their pages were given back",
  {
    ignore: !MAPS,
  },
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const wanted = Float32Array.from({ length: 5000 }, (_, i) => i / 7);
      const given = wanted.slice(), moved = moveToFile(given, { folder });
      assert.equal(given.length, 0, "the heap's memory is freed");
      assert.deepEqual(moved, wanted);
      givePagesBack(moved);
      assert.deepEqual(moved, wanted);
      assert.deepEqual([...Deno.readDirSync(folder)], []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test("values that share their memory stay, and so do all where nothing can be written", async () => {
  const all = Float32Array.of(1, 2, 3, 4), part = all.subarray(1, 3);
  const file = await Deno.makeTempFile();
  try {
    assert.equal(moveToFile(part, { folder: "runs" }), part);
    assert.equal(moveToFile(all, { folder: `${file}/below` }), all);
    assert.deepEqual(all, Float32Array.of(1, 2, 3, 4));
    givePagesBack(all);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("a target whose weights are mapped gives the same logits to the bit, in 32, 8 and 4 bits", async () => {
  using backend = await openOnnxBackend();
  for (const tied of [false, true]) {
    for (const bits of [32, 8, 4] as const) {
      const results = [];
      for (const large of [false, true]) {
        const sizes = { tied, width: 32, inner: 48 };
        using decoder = new TargetDecoder(tinyTarget(backend, { ...sizes, bits, large }), {
          backend,
        });
        for (const ids of [[3], [3, 1, 4]]) { // the second Program reads the originals again
          using cache = decoder.newCache();
          results.push((await decoder.forwardChain(ids, cache)).logits.slice());
        }
      }
      assert.deepEqual(results.slice(0, 2), results.slice(2), `tied ${tied}, ${bits} bits`);
    }
  }
});
