/**
 * Targets from GGUF files (`make/gguf_files.py`), converted to folders: their weights are those that the files were made
 * of, and their logits those of transformers.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import { convertTarget } from "../../lib/model/convert_target.ts";
import { openGgufTarget } from "../../lib/model/gguf_target.ts";
import { loadTarget } from "../../lib/model/load.ts";
import { relative } from "./sets.ts";

const OWN = join(import.meta.dirname!, "own");

/** Families by the largest error of a weight, to its size: 0 for f32, half a step of f16, half a step of 8 bits. */
const FILES: Record<string, number> = {
  "llama-3": 0,
  "llama-bias": 0,
  qwen2: 0,
  qwen3: 0,
  "llama-linear": 2 ** -11,
  "llama-2": 1 / 127,
};

for (const [name, rounding] of Object.entries(FILES)) {
  Deno.test(`${name}.gguf: weights and logits are the family's`, async () => {
    const folder = await Deno.makeTempDir(), out = join(folder, "target");
    try {
      const { source, json } = openGgufTarget(join(OWN, "gguf", `${name}.gguf`));
      using file = source;
      await convertTarget(out, { source: file, json: json! });
      using original = openCheckpoint(join(OWN, "families", name)), converted = openCheckpoint(out);
      assert.deepEqual(converted.names.toSorted(), original.names.toSorted());
      for (const tensor of original.names) {
        const wanted = original.readFloat32(tensor), found = converted.readFloat32(tensor);
        assert.deepEqual(converted.info(tensor).shape, original.info(tensor).shape);
        const error = relative(found, wanted);
        assert.ok(error <= rounding, `${tensor} is off by ${error}`);
      }
      using backend = await openOnnxBackend({ threads: 1 });
      const target = await loadTarget(out, { backend });
      using golden = openSafetensors(join(OWN, "families", name, "golden.safetensors"));
      using decoder = new TargetDecoder(target, { backend }), cache = decoder.newCache();
      const { logits } = await decoder.forwardChain(Int32Array.from(golden.readInt("ids")), cache);
      // Of 8 bits transformers read the same file; of f16 the family's own logits, a rounding away.
      using results = rounding === 1 / 127
        ? openSafetensors(join(OWN, "gguf", `${name}.results.safetensors`))
        : undefined;
      const error = relative(logits, (results ?? golden).readFloat32("logits"));
      assert.ok(error < (name === "llama-linear" ? 2e-3 : 1e-4), `logits are off by ${error}`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
