/** Reading `config.json`: what is understood, and one clear error for each thing that is not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type DraftConfig,
  draftConfigJson,
  draftSizes,
  readDraftConfig,
  readTargetConfig,
} from "../../lib/model/config.ts";
import { tinyDraftConfig } from "./tiny.ts";

const LLAMA = {
  architectures: ["LlamaForCausalLM"],
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
  bos_token_id: 1,
  eos_token_id: [2, 7],
};

/** A folder with the given text as config.json. */
async function folderWith(content: unknown): Promise<string> {
  const folder = await Deno.makeTempDir();
  const text = typeof content === "string" ? content : JSON.stringify(content);
  await Deno.writeTextFile(join(folder, "config.json"), text);
  return folder;
}

async function read(content: unknown) {
  const folder = await folderWith(content);
  try {
    return await readTargetConfig(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function readAsDraft(content: unknown) {
  const folder = await folderWith(content);
  try {
    return await readDraftConfig(join(folder, "config.json"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a target's configuration is read whole", async () => {
  assert.deepEqual(await read(LLAMA), {
    family: "llama",
    width: 64,
    inner: 96,
    heads: 4,
    kvHeads: 2,
    headSize: 16,
    vocabulary: 100,
    positions: 512,
    epsilon: 1e-5,
    ropeTheta: 500000,
    layers: 3,
    tied: false,
    bos: 1,
    eos: [2, 7],
  });
});

Deno.test("what a target leaves out has the published defaults", async () => {
  const { num_key_value_heads: _, rope_theta: __, eos_token_id: ___, bos_token_id: ____, ...less } =
    LLAMA;
  const config = await read({
    ...less,
    tie_word_embeddings: true,
    head_dim: 32,
    rope_scaling: null,
  });
  assert.deepEqual(
    [config.kvHeads, config.ropeTheta, config.eos, config.bos, config.tied, config.headSize],
    [4, 10000, [], undefined, true, 32],
  );
  assert.deepEqual((await read({ ...LLAMA, eos_token_id: 5 })).eos, [5]);
});

Deno.test("a family's traits, scaled angles and a window are read", async () => {
  const scaling = {
    ...{ rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
    original_max_position_embeddings: 8192,
  };
  const config = await read({ ...LLAMA, attention_bias: true, rope_scaling: scaling });
  assert.deepEqual(config.ropeScaling, {
    ...{ type: "llama3", factor: 8, low: 1, high: 4, positions: 8192 },
  });
  assert.deepEqual([config.qkvBias, config.outBias, config.mlpBias], [true, true, undefined]);
  const mistral = { ...LLAMA, architectures: ["MistralForCausalLM"], sliding_window: 256 };
  const { family, positions, window } = await read(mistral);
  assert.deepEqual([family, positions], ["mistral", 512]);
  assert.deepEqual(window, { size: 256, layers: [0, 1, 2] });
});

Deno.test("positions end where angles would follow the length of a forward", async () => {
  const long = { short_factor: Array(8).fill(1), long_factor: Array(8).fill(2) };
  const rope_scaling = { type: "longrope", ...long, original_max_position_embeddings: 256 };
  assert.equal((await read({ ...LLAMA, rope_scaling })).positions, 256);
  const dynamic = { type: "dynamic", factor: 2 };
  assert.equal((await read({ ...LLAMA, rope_scaling: dynamic })).positions, 512);
});

Deno.test("scaled angles survive being written and read as a draft's", async () => {
  for (
    const ropeScaling of [
      { type: "linear", factor: 4 },
      { type: "llama3", factor: 8, low: 1, high: 4, positions: 8192 },
    ] as const
  ) {
    const config: DraftConfig = { ...tinyDraftConfig(), ropeScaling };
    assert.deepEqual((await readAsDraft(draftConfigJson(config))).ropeScaling, ropeScaling);
  }
});

const REFUSED: [name: string, changes: unknown, message: RegExp][] = [
  [
    "an unknown architecture",
    { architectures: ["GPT2LMHeadModel"] },
    /GPT2LMHeadModel, wanted Llama/,
  ],
  ["no architecture", { architectures: undefined }, /not given, wanted Llama/],
  ["a missing size", { hidden_size: undefined }, /hidden_size is undefined, wanted a positive/],
  ["missing layers", { num_hidden_layers: undefined }, /num_hidden_layers is undefined/],
  ["a size that is no integer", { vocab_size: "100" }, /vocab_size is "100", wanted a positive/],
  ["a size of zero", { intermediate_size: 0 }, /intermediate_size is 0/],
  ["heads that do not divide the width", { hidden_size: 66 }, /head_dim is undefined, wanted/],
  [
    "heads that do not share keys evenly",
    { num_key_value_heads: 3 },
    /4 is not a multiple of .* 3/,
  ],
  [
    "rotary positions scaled in a way that is not known",
    { rope_scaling: { rope_type: "mrope", factor: 8 } },
    /rope scaling is mrope, wanted default, linear, llama3/,
  ],
  [
    "rotary positions scaled in a way that is not given",
    { rope_scaling: { factor: 8 } },
    /rope scaling is .*8.*, wanted default/,
  ],
  [
    "scaled rotary positions without a factor",
    { rope_parameters: { rope_type: "linear", rope_theta: 1e4 } },
    /factor of its rope scaling is undefined, wanted a positive number/,
  ],
  ["another activation", { hidden_act: "gelu" }, /hidden_act is gelu, wanted silu/],
];

for (const [name, changes, message] of REFUSED) {
  Deno.test(`a target with ${name} is refused`, async () => {
    await assert.rejects(read({ ...LLAMA, ...changes as object }), (error: Error) => {
      assert.match(error.message, message);
      assert.match(error.message, /^Cannot use .*config\.json: /);
      return true;
    });
  });
}

Deno.test("files that are missing or not JSON objects are refused by name", async () => {
  await assert.rejects(
    readTargetConfig("no/such"),
    /Cannot read no.such.config.json: no such file/,
  );
  for (const text of ["{", "[1]", "null", "3"]) {
    await assert.rejects(
      read(text),
      /Cannot read .*config.json: found text that is not a JSON obj/,
    );
  }
});

Deno.test("a draft's configuration survives its JSON form", async () => {
  const variants: Partial<DraftConfig>[] = [
    {},
    { fusion: "linear", head: "single", target: "abc" },
    { kvHeads: 4, headSize: 16 },
  ];
  for (const changes of variants) {
    const config = tinyDraftConfig(undefined, { target: undefined, ...changes });
    assert.deepEqual(await readAsDraft(draftConfigJson(config)), config);
  }
});

Deno.test("published drafts, which know nothing of our switches, are GRIFFIN's", async () => {
  const { fusion, head, target } = await readAsDraft(LLAMA);
  assert.deepEqual([fusion, head, target], ["tgf", "dual", undefined]);
});

Deno.test("unknown parts of a draft are refused", async () => {
  await assert.rejects(
    readAsDraft({ ...LLAMA, griffin: { fusion: "magic" } }),
    /fusion is magic, wanted tgf, fspad, linear, taps/,
  );
  await assert.rejects(
    readAsDraft({ ...LLAMA, griffin: { head: "triple" } }),
    /head is triple, wanted dual or single/,
  );
});

Deno.test("a draft with other biases is refused", async () => {
  for (const key of ["attention_bias", "mlp_bias"]) {
    await assert.rejects(
      readAsDraft({ ...LLAMA, [key]: true }),
      new RegExp(`${key} is true, wanted none`),
    );
  }
});

Deno.test("a draft has its target's biases, if not EAGLE-3's; a file says so by qkv_bias", async () => {
  const biased = { ...await read(LLAMA), qkvBias: true };
  assert.equal(draftSizes(biased, { fusion: "tgf" }).qkvBias, true);
  assert.ok(!("qkvBias" in draftSizes(biased, { fusion: "taps" })));
  const config = await readAsDraft({ ...LLAMA, qkv_bias: true });
  assert.equal(config.qkvBias, true);
  assert.equal(draftConfigJson(config).qkv_bias, true);
  assert.ok(!("qkv_bias" in draftConfigJson(await readAsDraft(LLAMA))));
  const taps = { griffin: { fusion: "taps", head: "single", taps: [1] }, draft_vocab_size: 4 };
  await assert.rejects(
    readAsDraft({ ...LLAMA, ...taps, qkv_bias: true }),
    /fusion taps has no biases, wanted qkv_bias false/,
  );
});

Deno.test("a draft takes over its target's sizes, scaled angles too, but not its inner width", async () => {
  const rope_scaling = { rope_type: "linear", factor: 4 };
  const { inner: _, ...sizes } = tinyDraftConfig();
  const target = await read({ ...LLAMA, rope_scaling });
  assert.deepEqual(
    Object.keys(draftSizes(target, { fusion: "tgf" })).sort(),
    [
      ...Object.keys(draftSizes(await read(LLAMA), { fusion: "tgf" })),
      "ropeScaling",
    ].sort(),
  );
  assert.deepEqual(draftSizes(target, { fusion: "tgf" }).ropeScaling, {
    type: "linear",
    factor: 4,
  });
  for (const key of Object.keys(draftSizes(await read(LLAMA), { fusion: "tgf" }))) {
    assert.ok(key in sizes, key);
  }
});
