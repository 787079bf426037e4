/** Tests lib/model/convert_target.ts: types that are kept, and what is refused. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import { readTargetConfig } from "../../lib/model/config.ts";
import { convertTarget } from "../../lib/model/convert_target.ts";
import { openGgufTarget } from "../../lib/model/gguf_target.ts";
import { inTemporary } from "./foreign_drafts.ts";

const ROOM = join(import.meta.dirname!, "../golden/own/gguf");

async function convert(name: string, out: string): Promise<void> {
  const { source, json } = openGgufTarget(join(ROOM, name));
  using opened = source;
  await convertTarget(out, { source: opened, json: json! });
}

Deno.test("16 bits stay, blocks become f32, the configuration is the family's", async () => {
  await inTemporary(async (folder) => {
    await convert("llama-2.gguf", join(folder, "blocks"));
    await convert("llama-linear.gguf", join(folder, "halves"));
    using blocks = openSafetensors(join(folder, "blocks/model.safetensors"));
    using halves = openSafetensors(join(folder, "halves/model.safetensors"));
    const up = "model.layers.0.mlp.up_proj.weight";
    assert.deepEqual([blocks.info(up).dtype, halves.info(up).dtype], ["F32", "F16"]);
    const found = await readTargetConfig(join(folder, "halves"));
    assert.deepEqual(found, await readTargetConfig(join(ROOM, "../families/llama-linear")));
  });
});

Deno.test("a folder that is there, and a file without all tensors, are refused; nothing is left", async () => {
  await inTemporary(async (folder) => {
    await assert.rejects(convert("llama-2.gguf", folder), /it is there, wanted a new folder/);
    const out = join(folder, "out");
    await assert.rejects(convert("angles.gguf", out), /angles\.gguf: it has no tensor/);
    await assert.rejects(Deno.stat(out), Deno.errors.NotFound);
  });
});
