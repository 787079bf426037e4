/** What a draft's file may hold of attention: what its configuration speaks of, read whole, and nothing left out. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readJson } from "../../lib/io/json.ts";
import { readDraft, writeDraft } from "../../lib/model/load.ts";
import { tinyDraft, tinyDraftConfig } from "./tiny.ts";

async function temporary(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

Deno.test("biases that config.json does not speak of are refused, not left out", async () => {
  await using folder = await temporary();
  const { config, parameters } = tinyDraft(tinyDraftConfig(undefined, { qkvBias: true }));
  await writeDraft(folder.path, { config, parameters });
  assert.deepEqual((await readDraft(folder.path)).parameters, parameters);
  const file = join(folder.path, "config.json"), { qkv_bias: _, ...json } = await readJson(file);
  await Deno.writeTextFile(file, JSON.stringify(json));
  await assert.rejects(
    readDraft(folder.path),
    /it holds layers\.0\.self_attn\.[qkv]_proj\.bias, config\.json wants qkv_bias true; deno task doctor \S+ --convert OUT/,
  );
});

Deno.test("norms of queries and keys are refused by name; stored angles are no matter", async () => {
  await using folder = await temporary();
  const draft = tinyDraft(), at = "layers.0.self_attn.";
  const extra = (name: string) => ({
    [`${at}${name}`]: { shape: [2], data: Float32Array.of(1, 2), dtype: "F32" as const },
  });
  await writeDraft(folder.path, { ...draft, frozen: extra("rotary_emb.inv_freq") });
  await readDraft(folder.path);
  await writeDraft(folder.path, { ...draft, frozen: extra("q_norm.weight") });
  await assert.rejects(
    readDraft(folder.path),
    /it holds layers\.0\.self_attn\.q_norm\.weight, a draft has none/,
  );
});
