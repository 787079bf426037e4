/** Tests lib/model/target_fit.ts: sizes, identity, shared matrices, and tensors that are still the target's. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import { fromBrain, toBrain } from "../../lib/io/float16.ts";
import type { TensorToWrite } from "../../lib/io/safetensors.ts";
import { examine, type Finding, openChecked } from "../../lib/model/checkup.ts";
import { targetConfigOf } from "../../lib/model/config.ts";
import { openGgufTarget } from "../../lib/model/gguf_target.ts";
import { compareSizes, compareValues } from "../../lib/model/target_fit.ts";
import { type Changes, FOREIGN, inTemporary, told, writeChanged } from "./foreign_drafts.ts";

/** Width 32, vocabulary 64, two layers, four heads of 8. */
const TARGET = join(FOREIGN, "../families/llama-2");
const of = (tensor: string): TensorToWrite => {
  using file = openCheckpoint(TARGET);
  return { shape: file.info(tensor).shape, data: file.readFloat32(tensor) };
};
const random = (...shape: number[]): TensorToWrite => {
  const data = Float32Array.from(
    { length: shape.reduce((a, b) => a * b, 1) },
    (_, i) => Math.sin(7 * i),
  );
  return { shape, data };
};

/** Tensors of a HASS draft with the target's sizes. */
const SIZED: Record<string, TensorToWrite> = {
  "embed_tokens.weight": of("model.embed_tokens.weight"),
  "fc.weight": random(32, 64),
  "fc.bias": random(32),
  "layers.0.self_attn.q_proj.weight": random(32, 32),
  "layers.0.self_attn.k_proj.weight": random(16, 32),
  "layers.0.self_attn.v_proj.weight": random(16, 32),
  "layers.0.self_attn.o_proj.weight": random(32, 32),
  "layers.0.mlp.gate_proj.weight": random(48, 32),
  "layers.0.mlp.up_proj.weight": random(48, 32),
  "layers.0.mlp.down_proj.weight": random(32, 48),
  "layers.0.post_attention_layernorm.weight": random(32),
};
const SIZES = { hidden_size: 32, intermediate_size: 48, vocab_size: 64 };

/** What comparing a changed draft with the target tells. */
async function findings(
  name: string,
  { config, tensors }: Changes,
  { path = TARGET, identity = "me" }: { path?: string; identity?: string | null } = {},
): Promise<Finding[]> {
  const found: Finding[] = [];
  await inTemporary(async (folder) => {
    await writeChanged(folder, name, { config: { ...SIZES, ...config }, tensors });
    const opened = await openChecked(folder), other = await openChecked(path);
    using source = opened.source;
    using file = other.source;
    const target = targetConfigOf(other.json!, path);
    const checkup = examine(opened, { layers: target.layers });
    const known = identity === null ? {} : { identity };
    found.push(...compareSizes(checkup, { config: target, ...known, folder: "llama" }));
    const events = compareValues({ source, checkup }, { file, config: target });
    for (const event of events) found.push(...event.findings);
  });
  return found;
}

Deno.test("a draft of the target's sizes fits, with heads of its own", async () => {
  const found = await findings("hass", { tensors: SIZED });
  assert.deepEqual(told(found), []);
  const notes = found.map(({ tensor = "", what }) => `${tensor} ${what}`.trim());
  assert.deepEqual(notes, [
    "its key heads: 2; the target's: 4. Both may be right",
    "its base of the angles: 500; the target's: 10000. Both may be right",
    "embed_tokens.weight is the target's model.embed_tokens.weight",
  ]);
});

Deno.test("another width, vocabulary, identity or depth does not fit", async () => {
  const wrong = told(await findings("hass", { config: { hidden_size: 24, vocab_size: 40 } }));
  assert.deepEqual(wrong, [
    "fault its width is 24, that of target llama 32",
    "fault its vocabulary is 40, that of target llama 64",
  ]);
  const griffin = { fusion: "linear", head: "single", target: "other" };
  const other = await findings("hass", { config: { griffin }, tensors: SIZED });
  assert.match(told(other)[0], /it was trained for target other, llama is me/);
  const ids = { eagle_config: { eagle_aux_hidden_state_layer_ids: [0, 1, 2] } };
  assert.match(
    told(await findings("specforge", { config: ids })).join(),
    /it reads layer 3, target llama has 2/,
  );
});

Deno.test("an embedding that is not the target's is told with the rows that differ, rounding is not", async () => {
  const embedding = of("model.embed_tokens.weight"), data = embedding.data as Float32Array;
  const withEmbedding = (data: Float32Array) =>
    findings("hass", { tensors: { ...SIZED, "embed_tokens.weight": { ...embedding, data } } });
  assert.deepEqual(told(await withEmbedding(fromBrain(toBrain(data)))), []);
  const trained = data.map((x, i) => i < 5 * 32 ? x * 1.1 : x);
  assert.deepEqual(told(await withEmbedding(trained)), [
    "fault embed_tokens.weight differs from the target's model.embed_tokens.weight in 5 of 64 rows; " +
    "the target's is used",
  ]);
});

Deno.test("tensors that are still the target's are told, whichever layer they come from", async () => {
  const tensors = {
    ...SIZED,
    "layers.0.mlp.up_proj.weight": of("model.layers.1.mlp.up_proj.weight"),
    "layers.0.self_attn.q_proj.weight": of("model.layers.0.self_attn.q_proj.weight"),
  };
  assert.deepEqual(
    told(await findings("hass", { tensors })),
    [
      "doubt layers.0.self_attn.q_proj.weight has the values of the target's " +
      "model.layers.0.self_attn.q_proj.weight: as if not trained",
      "doubt layers.0.mlp.up_proj.weight has the values of the target's " +
      "model.layers.1.mlp.up_proj.weight: as if not trained",
    ].toSorted((a, b) => names().indexOf(a.split(" ")[1]) - names().indexOf(b.split(" ")[1])),
  );
});

/** Tensors in the order of the file. */
function names(): string[] {
  using file = openCheckpoint(join(FOREIGN, "hass"));
  return file.names;
}

Deno.test("EAGLE-3's LM head is told when it is the target's at its tokens", async () => {
  const head = of("lm_head.weight"), rows = 18, every = 3;
  const data = new Float32Array(rows * 32),
    offsets = Int32Array.from({ length: rows }, (_, i) => (every - 1) * i);
  for (let i = 0; i < rows; i++) {
    data.set(head.data.subarray(every * i * 32, (every * i + 1) * 32) as Float32Array, i * 32);
  }
  const t2d = Int32Array.from(
    { length: 64 },
    (_, t) => t % every === 0 && t < every * rows ? 1 : 0,
  );
  const tables = {
    "lm_head.weight": { shape: [rows, 32], data },
    d2t: { shape: [rows], data: offsets },
    t2d: { shape: [64], data: t2d },
  };
  const found = told(await findings("specforge", { tensors: tables }));
  assert.ok(
    found.includes(
      "doubt lm_head.weight is the target's lm_head.weight at its tokens: as if not trained",
    ),
  );
  data[40] += 0.5;
  assert.ok(
    !told(await findings("specforge", { tensors: tables })).some((line) =>
      line.includes("lm_head")
    ),
  );
});

Deno.test("a target in a GGUF file: what it holds as floats is compared, what it holds rounded is not", async () => {
  const gguf = (name: string) => ({ path: join(FOREIGN, `../gguf/${name}.gguf`), identity: null });
  const griffin = { fusion: "linear", head: "single", target: "other" }, config = { griffin };
  const rounded = await findings("hass", { config, tensors: SIZED }, gguf("llama-2"));
  assert.deepEqual(told(rounded), []);
  const notes = rounded.map(({ tensor = "", what }) => `${tensor} ${what}`.trim());
  assert.deepEqual(notes.filter((note) => !/Both may be right/.test(note)), [
    "it was trained for target other: whether that is llama is not known, a folder made of it by " +
    "--convert would tell",
    "embed_tokens.weight was not compared: the target holds its model.embed_tokens.weight rounded, in Q8_0",
    "whether 4 of its tensors are still copies of the target's was not asked: the target holds those rounded",
  ]);
  const whole = openGgufTarget(gguf("qwen2").path);
  using source = whole.source;
  const taken = (name: string): TensorToWrite => {
    return { shape: source.info(name).shape, data: source.readFloat32(name) };
  };
  const copied = {
    ...SIZED,
    "embed_tokens.weight": taken("model.embed_tokens.weight"),
    "layers.0.mlp.up_proj.weight": taken("model.layers.1.mlp.up_proj.weight"),
  };
  const found = await findings("hass", { tensors: copied }, gguf("qwen2"));
  assert.deepEqual(told(found), [
    "doubt layers.0.mlp.up_proj.weight has the values of the target's " +
    "model.layers.1.mlp.up_proj.weight: as if not trained",
  ]);
  assert.ok(found.some(({ what }) => what === "is the target's model.embed_tokens.weight"));
});
