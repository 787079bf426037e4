/** Tests lib/model/draft_formats.ts: each format is known by its own signs, and other things are no drafts. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type DRAFT_FORMATS,
  eagle3Taps,
  foreignConfig,
  foreignName,
  mayLack,
  recognise,
} from "../../lib/model/draft_formats.ts";
import { checkupOf, FOREIGN, inTemporary, writeChanged } from "./foreign_drafts.ts";

const DATA = join(import.meta.dirname!, "..", "..", "data");
const looks = (names: string[], json?: Record<string, unknown>) => ({
  names,
  has: (name: string) => names.includes(name),
  shape: () => [1, 1],
  ...(json && { json }),
});

Deno.test("drafts of every program are recognised, and say why", async () => {
  const wanted: Record<string, [format: string, why: RegExp]> = {
    eagle: ["eagle", /fc\.weight and layers\.0\.: the three differ in training/],
    hass: ["eagle", /fc\.weight/],
    fspad: ["fspad", /^it has fc\.mlp\.gate_proj\.weight$/],
    griffin: ["griffin", /^it has fc\.(mlp|post_attention_layernorm)\./],
    eagle3: ["eagle3", /^it has midlayer\./],
    specforge: ["specForge", /names LlamaForCausalLMEagle3.*it has midlayer\./],
    "speculators-eagle": [
      "speculatorsEagle",
      /speculators_model_type eagle; it has fusion_fc\.weight/,
    ],
    "speculators-eagle3": [
      "speculatorsEagle3",
      /speculators_model_type eagle3; it has layers\.0\.hidden_norm/,
    ],
  };
  for (const [name, [format, why]] of Object.entries(wanted)) {
    const { checkup } = await checkupOf(join(FOREIGN, name));
    assert.equal(checkup.format, format, name);
    assert.match(checkup.why.join("; "), why);
  }
  assert.equal((await checkupOf(join(DATA, "draft"))).checkup.format, "own");
});

Deno.test("a format is known without its configuration, from tensors alone", async () => {
  for (
    const [name, format] of [["speculators-eagle3", "speculatorsEagle3"], ["griffin", "griffin"]]
  ) {
    await inTemporary(async (folder) => {
      await writeChanged(folder, name, {});
      await Deno.remove(join(folder, "config.json"));
      const { checkup, findings } = await checkupOf(join(folder, "model.safetensors"));
      assert.equal(checkup.format, format);
      assert.match(findings[0].what, /no config\.json beside it: heads and angles/);
    });
  }
});

Deno.test("a target is one, adapters and other speculators are neither", async () => {
  const { checkup, findings } = await checkupOf(join(DATA, "target"));
  assert.deepEqual([checkup.kind, checkup.target?.layers, findings], ["target", 8, []]);
  const neither: [names: string[], what: RegExp, json?: Record<string, unknown>][] = [
    [["base.layers.0.q_proj.lora_A.weight"], /an adapter/],
    [["0.0.linear.weight", "0.1.weight"], /Medusa/],
    [["fc.weight"], /speculator of type dflash/, { speculators_model_type: "dflash" }],
    [["encoder.weight", "decoder.weight"], /neither a known draft nor a target/],
  ];
  for (const [names, what, json] of neither) {
    const found = recognise(looks(names, json));
    assert.equal(found.kind, "neither");
    assert.match(found.name, what);
  }
});

Deno.test("names are translated by their beginnings", () => {
  assert.equal(foreignName("eagle", "fc.fc.bias"), "fc.bias");
  assert.equal(foreignName("griffin", "fc.fc.bias"), "fc.fc.bias");
  assert.equal(
    foreignName("speculatorsEagle", "layers.0.mlp.up_proj.weight"),
    "transformer.mlp.up_proj.weight",
  );
  assert.equal(
    foreignName("speculatorsEagle3", "midlayer.hidden_norm.weight"),
    "layers.0.hidden_norm.weight",
  );
  assert.ok(mayLack("eagle", "fc.fc.bias") && !mayLack("griffin", "fc.fc.bias"));
  assert.ok(!mayLack("eagle", "fc.fc.weight"));
});

Deno.test("layers that EAGLE-3 reads: outputs in one format, inputs in another, by the target where unsaid", () => {
  const sizes = {
    ...{ hidden_size: 8, num_attention_heads: 2, intermediate_size: 4, vocab_size: 6 },
    draft_vocab_size: 4,
  };
  const taps = (
    format: keyof typeof DRAFT_FORMATS,
    json: Record<string, unknown>,
    layers?: number,
  ) => {
    const { config, tapsUnknown } = foreignConfig(format, { ...looks([]), json }, {
      file: "c",
      layers,
    });
    return tapsUnknown === undefined ? config.taps : "unknown";
  };
  const ids = { eagle_aux_hidden_state_layer_ids: [1, 46, 90] };
  assert.deepEqual(taps("specForge", { ...sizes, eagle_config: ids }), [2, 47, 91]);
  assert.deepEqual(eagle3Taps(94), [2, 47, 91]);
  assert.deepEqual(taps("speculatorsEagle3", { transformer_layer_config: sizes, ...ids }), [
    1,
    46,
    90,
  ]);
  assert.deepEqual(taps("eagle3", sizes, 32), [2, 16, 29]);
  assert.equal(taps("eagle3", sizes), "unknown");
});
