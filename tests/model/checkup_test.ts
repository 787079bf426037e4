/** Tests lib/model/checkup.ts: what is missing, superfluous, of wrong shape or type, each told with its name. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { examine, openChecked } from "../../lib/model/checkup.ts";
import { writeSafetensors } from "../../lib/io/safetensors.ts";
import { checkupOf, FOREIGN, inTemporary, toldOf, writeChanged } from "./foreign_drafts.ts";

const zeros = (...shape: number[]) => ({
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});

Deno.test("counts are those of the file: trained and all values, bytes, types", async () => {
  const { checkup } = await checkupOf(join(FOREIGN, "speculators-eagle3"));
  const { parameters, values, bytes, dtypes, draft, like } = checkup;
  // Embedding [40,24] of the target, d2t [18] and t2d [40] are not trained.
  assert.equal(values - parameters, 40 * 24 + 18 + 40);
  assert.equal(bytes, 2 * (values - 18 - 40) + 8 * 18 + 40);
  assert.deepEqual(Object.keys(dtypes).sort(), ["BF16", "BOOL", "I64"]);
  assert.deepEqual([dtypes.I64, dtypes.BOOL], [{ tensors: 1, bytes: 144 }, {
    tensors: 1,
    bytes: 40,
  }]);
  assert.deepEqual([draft?.width, draft?.headSize, draft?.draftVocabulary], [24, 8, 18]);
  assert.equal(checkup.initializerRange, 0.02);
  assert.deepEqual(like, []);
});

Deno.test("missing, superfluous and misshaped tensors are named with what was wanted", async () => {
  assert.deepEqual(
    await toldOf("griffin", {
      without: ["layers.0.mlp.up_proj.weight"],
      tensors: { "fc.fc.weight": zeros(24, 24), "adapter.weight": zeros(2, 2) },
    }),
    [
      "fault fc.fc.weight is [24,24], config.json wants [24,48]",
      "fault layers.0.mlp.up_proj.weight is missing, wanted [20,24]",
      "fault adapter.weight is superfluous: nothing here reads it",
    ],
  );
});

Deno.test("a head's last matrix that is missing or misshaped is wanted as its design has it", async () => {
  const down = "layers.0.mlp.down_proj.weight";
  assert.deepEqual(await toldOf("griffin", { without: [down] }), [
    `fault ${down} is missing, wanted [48,20]`,
  ]);
  assert.deepEqual(await toldOf("hass", { tensors: { [down]: zeros(7, 20) } }), [
    `fault ${down} is [7,20], config.json wants [24,20]`,
  ]);
});

Deno.test("what changes the computation is told by what it is", async () => {
  const of = (name: string, tensor: string, ...shape: number[]) =>
    toldOf(name, { tensors: { [tensor]: zeros(...shape) } });
  for (
    const [name, tensor, size, told] of [
      ["hass", "layers.0.self_attn.o_proj.bias", 24, /a bias of attention's output$/],
      [
        "griffin-biased",
        "layers.0.self_attn.o_proj.bias",
        24,
        /o_proj\.bias .* attention's output$/,
      ],
      ["hass", "layers.0.mlp.down_proj.bias", 24, /mlp\.down_proj\.bias .*: a bias of the MLP$/],
      ["griffin", "fc.mlp.up_proj.bias", 20, /fc\.mlp\.up_proj\.bias .*: a bias of the MLP$/],
      ["eagle3", "midlayer.self_attn.q_proj.bias", 32, /a bias of attention, of which EAGLE-3 has/],
    ] as const
  ) assert.match((await of(name, tensor, size)).join(), told);
  assert.match(
    (await of("specforge", "midlayer.self_attn.k_norm.weight", 8)).join(),
    /a norm of queries/,
  );
  assert.match(
    (await of("eagle3", "layers.1.mlp.up_proj.weight", 2, 2)).join(),
    /a layer after the first/,
  );
  assert.match(
    (await of("speculators-eagle", "transformer.input_layernorm.weight", 24)).join(),
    /layer's input/,
  );
  const packed = { "layers.0.mlp.up_proj.qweight": { shape: [2], data: new Int32Array(2) } };
  assert.match(
    (await toldOf("hass", { tensors: packed })).join(),
    /a part of a quantised matrix: wanted floats/,
  );
});

Deno.test("biases of queries, keys and values are the tensors' to tell, all three of them", async () => {
  const bias = (name: string) => `layers.0.self_attn.${name}_proj.bias`;
  const silent = await checkupOf(join(FOREIGN, "eagle-biased"));
  assert.equal(silent.checkup.draft?.qkvBias, true);
  assert.deepEqual(
    silent.findings.map(({ level, what }) => [level, what]),
    [[
      "note",
      "config.json says nothing of the biases of queries, keys and values that are there: " +
      "converted, it says qkv_bias true, and they are added",
    ]],
  );
  assert.deepEqual((await checkupOf(join(FOREIGN, "griffin-biased"))).findings, []);
  assert.match(
    (await toldOf("fspad-biased", { config: { qkv_bias: false } })).join(),
    /^doubt config\.json says qkv_bias false of the biases .* and they are added$/,
  );
  assert.deepEqual(await toldOf("eagle-biased", { without: [bias("k")] }), [
    `fault ${bias("k")} is missing, wanted [16]`,
  ]);
  assert.deepEqual(await toldOf("hass", { config: { qkv_bias: true } }), [
    `fault ${bias("q")} is missing, wanted [32]`,
    `fault ${bias("k")} is missing, wanted [16]`,
    `fault ${bias("v")} is missing, wanted [16]`,
  ]);
  assert.deepEqual(await toldOf("griffin-biased", { tensors: { [bias("v")]: zeros(32) } }), [
    `fault ${bias("v")} is [32], config.json wants [16]`,
  ]);
});

Deno.test("tensors that are known and not needed are notes", async () => {
  const tensors = { "rotary_emb.inv_freq": zeros(4), "lm_head.weight": zeros(40, 24) };
  assert.deepEqual(await toldOf("hass", { tensors }), []);
  const wrong = { "lm_head.weight": zeros(41, 24), "embed_tokens.weight": zeros(40, 20) };
  assert.deepEqual(await toldOf("hass", { tensors: wrong }), [
    "fault embed_tokens.weight is [40,20], config.json wants [40,24]",
    "fault lm_head.weight is [41,24], config.json wants [40,24]",
  ]);
});

Deno.test("integers where floats are wanted are refused by name", async () => {
  const data = new Int32Array(20 * 24),
    tensors = { "layers.0.mlp.up_proj.weight": { shape: [20, 24], data } };
  assert.deepEqual(await toldOf("hass", { tensors }), [
    "fault layers.0.mlp.up_proj.weight holds I32, wanted one of F64, F32, F16, BF16, Q4_0, " +
    "Q8_0, Q4_K, Q6_K",
  ]);
});

Deno.test("settings that our graph does not know are faults", async () => {
  const told = async (name: string, config: Record<string, unknown>) =>
    (await toldOf(name, { config })).join();
  assert.match(
    await told("hass", { num_hidden_layers: 2 }),
    /num_hidden_layers is 2: a draft here has one/,
  );
  assert.match(await told("specforge", { norm_output: true }), /what is fed back is normalised/);
  assert.match(await told("speculators-eagle", { layernorms: true }), /layernorms is true/);
  const wide = { target_hidden_size: 48 };
  assert.match(
    await told("eagle3", wide),
    /target_hidden_size is 48, hidden_size 24: a draft here is as wide/,
  );
  assert.match(await told("speculators-eagle3", wide), /target_hidden_size is 48, hidden_size 24/);
  assert.match(
    await told("hass", { hidden_size: undefined }),
    /hidden_size is undefined, wanted a positive/,
  );
  assert.match(await told("hass", { hidden_act: "gelu" }), /hidden_act is gelu, wanted silu/);
});

Deno.test("tables of a draft vocabulary: missing, or of another length", async () => {
  assert.deepEqual(await toldOf("eagle3", { without: ["d2t"] }), ["fault d2t is missing"]);
  const d2t = { shape: [5], data: new Int32Array(5) };
  assert.deepEqual(await toldOf("eagle3", { tensors: { d2t } }), [
    "fault d2t is [5], config.json wants [18]",
  ]);
});

Deno.test("a target: all shards' tensors, or the missing one", async () => {
  const target = join(FOREIGN, "../families/mixtral");
  const { checkup, findings } = await checkupOf(target);
  assert.deepEqual([checkup.kind, checkup.target?.family, findings], ["target", "mixtral", []]);
  assert.equal(checkup.parameters, checkup.values);
  await inTemporary(async (folder) => {
    await Deno.copyFile(join(target, "config.json"), join(folder, "config.json"));
    const name = "model.layers.0.extra.weight";
    await writeSafetensors(join(folder, "model.safetensors"), { [name]: zeros(2, 2) });
    const { findings } = await checkupOf(folder);
    assert.equal(findings.at(-1)?.what, "is superfluous: nothing here reads it");
    assert.match(findings[0].what, /^is missing, wanted \[/);
  });
  await inTemporary(async (folder) => {
    await writeChanged(folder, "hass", { config: { architectures: ["OPTForCausalLM"] } });
    const { checkup } = await checkupOf(folder);
    assert.equal(checkup.kind, "draft", "a draft may name any architecture");
  });
});

Deno.test("a file alone is read with the config.json beside it, an index as its folder", async () => {
  const bin = await checkupOf(join(FOREIGN, "eagle/pytorch_model.bin"));
  assert.equal(bin.checkup.draft?.width, 24);
  const target = join(FOREIGN, "../torch/target/pytorch_model.bin.index.json");
  const { checkup, findings } = await checkupOf(target);
  assert.deepEqual([checkup.kind, findings], ["target", []]);
  await assert.rejects(() => openChecked(join(FOREIGN, "nowhere")), /no such file or folder/);
});

Deno.test("examine does not need values: a source of names and shapes is enough", async () => {
  const opened = await openChecked(join(FOREIGN, "hass"));
  using source = opened.source;
  const refuse = () => {
    throw new Error("values were read");
  };
  const bare = {
    ...{ path: source.path, names: source.names, metadata: {}, [Symbol.dispose]() {} },
    ...{ readFloat32: refuse, readHalf: refuse, readInt: refuse },
    has: (name: string) => source.has(name),
    info: (name: string) => source.info(name),
  };
  assert.equal((examine({ ...opened, source: bare })).format, "eagle");
});
