/** PyTorch's own files: values, strides, shards, drafts; and that a pickle which asks for more is refused and named. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import { openTorchBin } from "../../lib/io/torch_bin.ts";
import { loadTarget, readDraft } from "../../lib/model/load.ts";

const OWN = join(import.meta.dirname!, "../golden/own"), ROOM = join(OWN, "torch");

Deno.test("every type, views and shared storage read as PyTorch sees them", () => {
  using found = openTorchBin(join(ROOM, "tensors.bin"));
  using wanted = openSafetensors(join(ROOM, "tensors.safetensors"));
  const names = wanted.names.filter((name) => !name.startsWith("nested"));
  assert.deepEqual([...found.names].sort(), [...names].sort());
  for (const name of names) {
    assert.deepEqual(found.info(name).shape, wanted.info(name).shape, name);
    const floating = /F|BF/.test(found.info(name).dtype);
    if (floating) assert.deepEqual(found.readFloat32(name), wanted.readFloat32(name), name);
    else assert.deepEqual(found.readInt(name), wanted.readInt(name), name);
  }
  assert.throws(() => found.readFloat32("i64"), /i64 holds I64, wanted floating point/);
  assert.throws(() => found.readInt("f32"), /f32 holds F32, wanted integers/);
  assert.throws(() => found.info("nobody"), /has no tensor nobody/);
  using nested = openTorchBin(join(ROOM, "nested.bin"));
  assert.deepEqual(nested.readFloat32("weight"), wanted.readFloat32("nested.weight"));
});

Deno.test("drafts and sharded targets load as they are published", async () => {
  for (
    const [binary, safetensors] of [["draft", "export-griffin"], ["qwen2-draft", "qwen2-draft"]]
  ) {
    const found = await readDraft(join(ROOM, binary));
    const wanted = await readDraft(join(OWN, safetensors));
    assert.deepEqual(found.parameters, wanted.parameters);
  }
  using backend = await openOnnxBackend();
  const target = await loadTarget(join(ROOM, "target"), { backend });
  const safe = await loadTarget(join(OWN, "families/llama-3"), { backend });
  for (const [name, tensor] of Object.entries(safe.weights)) {
    assert.deepEqual(target.weights[name].host, tensor.host, name);
  }
  assert.notEqual(target.identity, safe.identity, "other files are another target");
  using file = openCheckpoint(join(ROOM, "target"));
  assert.match(file.path, /pytorch_model\.bin\.index\.json$/);
});

Deno.test("a pickle that asks for anything but tensors is refused, and what it asked for is told", () => {
  const refused: Record<string, RegExp> = {
    system: /Cannot read .*evil-system\.bin: it asks for (posix|os)\.system, which is not allowed/,
    eval: /it asks for builtins\.eval, which is not allowed/,
    open: /it asks for (_?io)\.open, which is not allowed/,
    getattr: /it asks for builtins\.getattr, which is not allowed/,
  };
  for (const [name, message] of Object.entries(refused)) {
    assert.throws(() => openTorchBin(join(ROOM, `evil-${name}.bin`)), message, name);
  }
  assert.throws(() => openTorchBin(join(ROOM, "packed.bin")), /data\.pkl is compressed or encr/);
});

Deno.test("files that are cut, damaged or something else are one clear error", async () => {
  const folder = await Deno.makeTempDir(), path = join(folder, "pytorch_model.bin");
  const whole = await readFile(join(ROOM, "tensors.bin"));
  try {
    for (const length of [0, 21, 100, whole.length >> 1, whole.length - 1]) {
      await writeFile(path, whole.subarray(0, length));
      assert.throws(() => openTorchBin(path), /^Error: Cannot read .*pytorch_model\.bin: /);
    }
    // Any single byte changed: refused or read, never another kind of failure.
    for (let i = 0; i < 1000; i++) {
      const at = (i * 7919) % whole.length, changed = Uint8Array.from(whole);
      changed[at] ^= 1 << (i % 8);
      await writeFile(path, changed);
      try {
        using file = openTorchBin(path);
        for (const name of file.names) {
          if (/F/.test(file.info(name).dtype)) file.readFloat32(name);
        }
      } catch (error) {
        assert.match(String(error), /Cannot read .*pytorch_model\.bin: /, `byte ${at}`);
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
