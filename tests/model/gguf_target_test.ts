/** Tests lib/model/gguf_target.ts: names, rows, settings and scaled angles. What it computes: `tests/golden/gguf_golden_test.ts`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openGgufTarget, parted, publishedName } from "../../lib/model/gguf_target.ts";
import { targetConfigOf } from "../../lib/model/config.ts";
import { inTemporary } from "./foreign_drafts.ts";

const ROOM = join(import.meta.dirname!, "../golden/own/gguf");

Deno.test("names of layers and of what is around them; others stay", () => {
  assert.equal(publishedName("blk.31.ffn_gate.weight"), "model.layers.31.mlp.gate_proj.weight");
  assert.equal(publishedName("blk.0.attn_q.bias"), "model.layers.0.self_attn.q_proj.bias");
  assert.equal(publishedName("output.weight"), "lm_head.weight");
  assert.equal(publishedName("blk.0.ffn_gate_exps.weight"), "blk.0.ffn_gate_exps.weight");
});

Deno.test("rows of pairs are parted by halves, head by head", () => {
  // Two heads of four rows, one column: there (0a 0b 1a 1b), here (0a 1a 0b 1b).
  const values = Float32Array.of(0, 10, 1, 11, 20, 30, 21, 31);
  assert.deepEqual([...parted(values, { heads: 2, rows: 8 })], [0, 1, 10, 11, 20, 21, 30, 31]);
  const wide = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  assert.deepEqual([...parted(wide, { heads: 1, rows: 4 })], [1, 2, 5, 6, 3, 4, 7, 8]);
});

Deno.test("LLaMA 3.1's angles are recognised by their factors, others refused", () => {
  const known = openGgufTarget(join(ROOM, "angles.gguf"));
  using source = known.source;
  assert.deepEqual(targetConfigOf(known.json!, "angles").ropeScaling, {
    ...{ type: "llama3", factor: 8, low: 1, high: 4, positions: 8192 },
  });
  assert.ok(!source.has("rope_freqs.weight"), "factors are no weight");
  const other = openGgufTarget(join(ROOM, "angles-other.gguf"));
  using _ = other.source;
  assert.equal(other.json, undefined);
  assert.match(
    other.trouble!,
    /the angles of rope_freqs\.weight are not those of LLaMA 3\.1 or 3\.2/,
  );
});

Deno.test("settings stored as f32 come as they were meant", () => {
  const { json, source } = openGgufTarget(join(ROOM, "llama-linear.gguf"));
  using _ = source;
  assert.equal(json!.rms_norm_eps, 1e-5);
  assert.deepEqual(json!.rope_scaling, { rope_type: "linear", factor: 4 });
  assert.deepEqual([json!.bos_token_id, json!.eos_token_id], [1, 2]);
});

Deno.test("another architecture or a missing setting are told, and the file stays open", async () => {
  const bytes = Deno.readFileSync(join(ROOM, "llama-3.gguf"));
  const renamed = async (from: string, to: string) => {
    let trouble = "";
    await inTemporary(async (folder) => {
      const copy = bytes.slice(), text = new TextDecoder("latin1").decode(copy);
      assert.equal(from.length, to.length);
      for (let at = text.indexOf(from); at >= 0; at = text.indexOf(from, at + 1)) {
        copy.set(new TextEncoder().encode(to), at);
      }
      await Deno.writeFile(join(folder, "a.gguf"), copy);
      const opened = openGgufTarget(join(folder, "a.gguf"));
      using source = opened.source;
      assert.ok(source.names.length > 0);
      trouble = opened.trouble ?? "";
    });
    return trouble;
  };
  assert.match(
    await renamed("llama", "gemma"),
    /its architecture is gemma, wanted llama, qwen2, qwen3/,
  );
  assert.match(
    await renamed("llama.block_count", "llama.block_cound"),
    /llama\.block_count is undefined, wanted a number/,
  );
});

Deno.test("a mixture of experts is told", async () => {
  const bytes = Deno.readFileSync(join(ROOM, "llama-3.gguf"));
  const text = (t: string) => [t.length, 0, 0, 0, 0, 0, 0, 0, ...new TextEncoder().encode(t)];
  const experts = [...text("llama.expert_count"), 4, 0, 0, 0, 8, 0, 0, 0];
  // Filled up to 64 bytes, so that the data stay aligned.
  const filled = [...experts, ...text("x"), 8, 0, 0, 0, ...text("123456789")];
  assert.equal(filled.length, 64);
  const changed = Uint8Array.from([...bytes.subarray(0, 24), ...filled, ...bytes.subarray(24)]);
  changed[16] += 2;
  await inTemporary(async (folder) => {
    await Deno.writeFile(join(folder, "a.gguf"), changed);
    const opened = openGgufTarget(join(folder, "a.gguf"));
    using _ = opened.source;
    assert.match(opened.trouble!, /it has 8 experts, wanted none/);
  });
});
