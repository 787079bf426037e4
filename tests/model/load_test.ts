/** Loading: merged matrices, tied heads, and errors for weights and drafts that do not fit. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { sizeOf } from "../../lib/graph/node.ts";
import { fromHalf, toHalf } from "../../lib/io/float16.ts";
import { type TensorToWrite, writeSafetensors } from "../../lib/io/safetensors.ts";
import type { TargetConfig } from "../../lib/model/config.ts";
import { draftShapes } from "../../lib/model/draft.ts";
import { targetMatrices, targetShapes } from "../../lib/model/llama.ts";
import {
  frozenType,
  loadFrozen,
  loadTarget,
  placeDraft,
  readDraft,
  sharedHead,
  type Target,
  writeDraft,
} from "../../lib/model/load.ts";
import { dequantize } from "../../lib/model/quantize.ts";
import { random } from "../../lib/random.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "./tiny.ts";

/** A folder that goes away. */
async function temporary(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** The published tensors of a target, each matrix by itself. */
function publishedTensors(config: TargetConfig): Record<string, TensorToWrite> {
  const { width: d, inner, heads, kvHeads, headSize: k, vocabulary, layers, tied } = config;
  const shapes: Record<string, number[]> = { "model.embed_tokens.weight": [vocabulary, d] };
  for (let l = 0; l < layers; l++) {
    const at = `model.layers.${l}`;
    shapes[`${at}.input_layernorm.weight`] = [d];
    shapes[`${at}.post_attention_layernorm.weight`] = [d];
    shapes[`${at}.self_attn.q_proj.weight`] = [heads * k, d];
    shapes[`${at}.self_attn.k_proj.weight`] = [kvHeads * k, d];
    shapes[`${at}.self_attn.v_proj.weight`] = [kvHeads * k, d];
    shapes[`${at}.self_attn.o_proj.weight`] = [d, heads * k];
    shapes[`${at}.mlp.gate_proj.weight`] = [inner, d];
    shapes[`${at}.mlp.up_proj.weight`] = [inner, d];
    shapes[`${at}.mlp.down_proj.weight`] = [d, inner];
  }
  shapes["model.norm.weight"] = [d];
  if (!tied) shapes["lm_head.weight"] = [vocabulary, d];
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const from = random(5, name);
      return [name, {
        shape,
        data: Float32Array.from({ length: sizeOf(shape) }, () => from.normal()),
      }];
    }),
  );
}

function configJson(config: TargetConfig): string {
  return JSON.stringify({
    architectures: ["LlamaForCausalLM"],
    hidden_size: config.width,
    intermediate_size: config.inner,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    vocab_size: config.vocabulary,
    max_position_embeddings: config.positions,
    tie_word_embeddings: config.tied,
  });
}

/** Writes a target folder, tensors changed by `edit`. */
async function writeTarget(
  folder: string,
  config: TargetConfig,
  { edit = (t) => t }: {
    edit?: (t: Record<string, TensorToWrite>) => Record<string, TensorToWrite>;
  } = {},
): Promise<Record<string, TensorToWrite>> {
  const tensors = edit(publishedTensors(config));
  await Deno.writeTextFile(join(folder, "config.json"), configJson(config));
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  return tensors;
}

const backend = referenceBackend();

Deno.test("a target's matrices are laid side by side in the published order", async () => {
  await using folder = await temporary();
  const tensors = await writeTarget(folder.path, TINY);
  const { weights, config } = await loadTarget(folder.path, { backend });
  assert.equal(config.width, TINY.width);
  const joined = (...names: string[]) =>
    names.flatMap((n) => Array.from(tensors[n].data as Float32Array));
  const at = "model.layers.1.";
  assert.deepEqual(
    Array.from(weights[`${at}self_attn.qkv_proj.weight`].host!),
    joined(...["q", "k", "v"].map((n) => `${at}self_attn.${n}_proj.weight`)),
  );
  assert.deepEqual(
    Array.from(weights[`${at}mlp.gate_up_proj.weight`].host!),
    joined(...["gate", "up"].map((n) => `${at}mlp.${n}_proj.weight`)),
  );
  assert.deepEqual(Array.from(weights["lm_head.weight"].host!), joined("lm_head.weight"));
  assert.deepEqual(weights[`${at}self_attn.qkv_proj.weight`].shape, [64, 32]);
});

Deno.test("a tied head is the embedding", async () => {
  await using folder = await temporary();
  await writeTarget(folder.path, { ...TINY, tied: true });
  const target = await loadTarget(folder.path, { backend }),
    shared = sharedHead(target);
  assert.equal(shared["lm_head.weight"], shared["embed_tokens.weight"]);
  const untied = sharedHead(tinyTarget(backend));
  assert.notEqual(untied["lm_head.weight"], untied["embed_tokens.weight"]);
});

for (const tied of [false, true]) {
  Deno.test(`embedding and head alone are those of the target, tied ${tied}, and halves of it`, async () => {
    await using folder = await temporary();
    await writeTarget(folder.path, { ...TINY, tied });
    const whole = await loadTarget(folder.path, { backend }),
      wanted = sharedHead(whole);
    for (const half of [false, true]) {
      const frozen = await loadFrozen(folder.path, { backend, half });
      assert.equal(frozen.identity, whole.identity);
      assert.equal(Object.keys(frozen.weights).length, tied ? 1 : 2);
      assert.equal(frozenType(frozen), half ? "f16" : "f32");
      for (const [name, { host, dtype }] of Object.entries(sharedHead(frozen))) {
        assert.equal(dtype, half ? "f16" : "f32");
        const found = half ? fromHalf(host as Uint16Array) : host;
        const values = wanted[name].host as Float32Array;
        assert.deepEqual(found, half ? fromHalf(toHalf(values)) : values);
      }
    }
  });
}

Deno.test("an embedding of another shape, and one too large for f16, are refused", async () => {
  await using folder = await temporary();
  const edit = (name: string, data: Float32Array, shape: number[]) =>
    writeTarget(folder.path, TINY, { edit: (t) => ({ ...t, [name]: { data, shape } }) });
  const { vocabulary: v, width: d } = TINY;
  await edit("model.embed_tokens.weight", new Float32Array(v * d), [d, v]);
  await assert.rejects(
    () => loadFrozen(folder.path, { backend }),
    /model\.embed_tokens\.weight is \[32,24\], config\.json wants \[24,32\]/,
  );
  await edit("lm_head.weight", new Float32Array(v * d).fill(1e5), [v, d]);
  assert.equal(
    (await loadFrozen(folder.path, { backend })).weights["lm_head.weight"].host![0],
    1e5,
  );
  await assert.rejects(
    () => loadFrozen(folder.path, { backend, half: true }),
    /Cannot read lm_head\.weight of .* as f16: element 0 is 100000, wanted at most 65504/,
  );
});

Deno.test("identity follows the weights, not the folder", async () => {
  await using one = await temporary();
  await using two = await temporary();
  await using other = await temporary();
  await writeTarget(one.path, TINY);
  await writeTarget(two.path, TINY);
  await writeTarget(other.path, TINY, {
    edit: (t) => {
      (t["model.norm.weight"].data as Float32Array)[0] += 1;
      return t;
    },
  });
  const identity = async (path: string) => (await loadTarget(path, { backend })).identity;
  assert.equal(await identity(one.path), await identity(two.path));
  assert.notEqual(await identity(one.path), await identity(other.path));
});

Deno.test("identity sees every shard", async () => {
  const identities: string[] = [];
  for (const change of [0, 1]) {
    await using folder = await temporary();
    const tensors = Object.entries(publishedTensors(TINY)), map: Record<string, string> = {};
    (tensors.at(-1)![1].data as Float32Array)[0] += change;
    for (const shard of [0, 1]) {
      const part = tensors.filter((_, i) => i % 2 === shard), file = `part-${shard}.safetensors`;
      await writeSafetensors(join(folder.path, file), Object.fromEntries(part));
      for (const [name] of part) map[name] = file;
    }
    await Deno.writeTextFile(join(folder.path, "config.json"), configJson(TINY));
    await Deno.writeTextFile(
      join(folder.path, "model.safetensors.index.json"),
      JSON.stringify({ weight_map: map }),
    );
    const target = await loadTarget(folder.path, { backend });
    assert.equal(target.weights["model.norm.weight"].shape[0], TINY.width);
    identities.push(target.identity);
  }
  assert.notEqual(identities[0], identities[1]);
});

const WRONG: [name: string, config: Partial<TargetConfig>, message: RegExp][] = [
  ["another width", { width: 16, headSize: 8 }, /embed_tokens.weight is \[24,32\], .* \[24,16\]/],
  ["fewer key heads", { kvHeads: 1 }, /k_proj.weight is \[16,32\], .* wants \[8,32\]/],
  ["another vocabulary", { vocabulary: 25 }, /embed_tokens.weight is \[24,32\], .* \[25,32\]/],
  ["more layers", { layers: 3 }, /it has no tensor model.layers.2/],
  ["another inner width", { inner: 64 }, /gate_proj.weight is \[48,32\], .* wants \[64,32\]/],
];

for (const [name, changes, message] of WRONG) {
  Deno.test(`weights that contradict config.json are refused: ${name}`, async () => {
    await using folder = await temporary();
    await writeTarget(folder.path, TINY);
    await Deno.writeTextFile(
      join(folder.path, "config.json"),
      configJson({ ...TINY, ...changes }),
    );
    await assert.rejects(loadTarget(folder.path, { backend }), message);
  });
}

Deno.test("key and value heads that only add up are refused", async () => {
  await using folder = await temporary();
  // 48 + 8 + 8 rows for queries, keys and values: as many as 32 + 16 + 16.
  await writeTarget(folder.path, TINY, {
    edit: (t) => {
      for (const [part, rows] of [["q", 48], ["k", 8], ["v", 8]] as const) {
        t[`model.layers.0.self_attn.${part}_proj.weight`] = {
          shape: [rows, TINY.width],
          data: new Float32Array(rows * TINY.width),
        };
      }
      return t;
    },
  });
  await assert.rejects(
    loadTarget(folder.path, { backend }),
    /q_proj.weight is \[48,32\], .* wants \[32,32\]/,
  );
});

Deno.test("a missing or untold head is refused", async () => {
  await using folder = await temporary();
  await writeTarget(folder.path, TINY, {
    edit: ({ "lm_head.weight": _, ...rest }) => rest,
  });
  await assert.rejects(loadTarget(folder.path, { backend }), /it has no tensor lm_head.weight/);
  await using empty = await temporary();
  await assert.rejects(loadTarget(empty.path, { backend }), /Cannot read .*config.json/);
});

Deno.test("a draft survives being written, in full and in half precision", async () => {
  const draft = tinyDraft();
  for (const dtype of ["F32", "F16"] as const) {
    await using folder = await temporary();
    await writeDraft(folder.path, { ...draft, dtype });
    const read = await readDraft(folder.path);
    assert.deepEqual(read.config, { ...draft.config, target: undefined });
    for (const name of Object.keys(draftShapes(draft.config))) {
      const wanted = draft.parameters[name], found = read.parameters[name];
      const error = Math.max(...wanted.map((x, i) => Math.abs(x - found[i])));
      assert.ok(dtype === "F32" ? error === 0 : error < 2e-3, `${name}: ${error}`);
    }
  }
});

const MISFITS: [name: string, target: Target, message: RegExp][] = [
  ["width", tinyTarget(backend, { width: 64 }), /its width is 32, the target's 64/],
  ["vocabulary", tinyTarget(backend, { vocabulary: 30 }), /its vocabulary is 24, the target's 30/],
  ["target", tinyTarget(backend, { seed: 2 }), /trained for target tiny-1, this is tiny-2/],
];

for (const [name, target, message] of MISFITS) {
  Deno.test(`a draft of another ${name} is refused`, async () => {
    await using folder = await temporary();
    const draft = tinyDraft(tinyDraftConfig(undefined, { target: "tiny-1" }));
    await writeDraft(folder.path, draft);
    await assert.rejects(readDraft(folder.path, { target }), message);
    await readDraft(folder.path, { target: tinyTarget(backend) });
  });
}

Deno.test("a draft whose weights contradict its configuration is refused", async () => {
  await using folder = await temporary();
  await writeDraft(folder.path, tinyDraft());
  await using other = await temporary();
  await writeDraft(other.path, tinyDraft(tinyDraftConfig(undefined, { inner: 64 })));
  await Deno.copyFile(join(other.path, "config.json"), join(folder.path, "config.json"));
  await assert.rejects(readDraft(folder.path), /up_proj.weight is \[48,64\], .* wants \[64,64\]/);
  await Deno.remove(join(folder.path, "config.json"));
  await assert.rejects(readDraft(folder.path), /it has no config.json/);
});

Deno.test("placing in 8 bits leaves vectors alone and refuses rows that no block divides", () => {
  const target = tinyTarget(backend), draft = tinyDraft();
  const weights = placeDraft(draft, { backend, target, bits: 8 });
  assert.equal(weights["fc.fc.bias"].dtype, "f32");
  assert.equal(weights["fc.fc.weight"], undefined);
  assert.deepEqual(weights["fc.fc.weight.packed"].shape, [32, 4, 16]);
  assert.deepEqual(weights["lm_head.weight.scales"].shape, [24, 2]);
  const odd = tinyDraft(tinyDraftConfig(undefined, { inner: 20 }));
  assert.throws(() => placeDraft(odd, { backend, target, bits: 8 }), /multiples of 16/);
});

for (const tied of [false, true]) {
  Deno.test(`a target in 8 bits holds no matrix in f32 but the embedding, tied ${tied}`, async () => {
    await using folder = await temporary();
    await writeTarget(folder.path, { ...TINY, tied });
    const exact = await loadTarget(folder.path, { backend });
    const { weights, config, identity, bits } = await loadTarget(folder.path, {
      backend,
      bits: 8,
    });
    assert.deepEqual([bits, exact.bits], [8, 32]);
    assert.equal(identity, exact.identity, "its drafts are those of the f32 target");
    const matrices = Object.keys(targetMatrices(config)), embedding = "model.embed_tokens.weight";
    const kept = Object.keys(targetShapes(config)).filter((name) => !matrices.includes(name));
    assert.ok(kept.includes(embedding) && matrices.includes("lm_head.weight"));
    assert.deepEqual(
      Object.keys(weights).sort(),
      [...kept, ...matrices.flatMap((n) => [`${n}.packed`, `${n}.scales`])].sort(),
    );
    for (const name of kept) assert.deepEqual(weights[name].host, exact.weights[name].host, name);
    for (const name of matrices) {
      const packed = weights[`${name}.packed`].host as Uint8Array;
      const scales = weights[`${name}.scales`].host as Float32Array;
      const wanted = exact.weights[tied && name === "lm_head.weight" ? embedding : name].host!;
      dequantize({ packed, scales }).forEach((value, i) => {
        assert.ok(Math.abs(value - wanted[i]) <= 0.5001 * scales[Math.floor(i / 16)], name);
      });
    }
  });
}

Deno.test("8 bits are refused where no block divides all rows", () => {
  assert.throws(
    () => tinyTarget(backend, { inner: 40, bits: 8 }),
    /Cannot quantise a target whose rows are not multiples of 16/,
  );
});

Deno.test("a draft shares the head of its target as it is, in fewer bits too", () => {
  for (const tied of [false, true]) {
    const target = tinyTarget(backend, { bits: 8, tied }),
      draft = tinyDraft(),
      head = "lm_head.weight";
    const packed = target.weights[`${head}.packed`];
    assert.equal(sharedHead(target)[`${head}.packed`], packed);
    for (const bits of [32, 8, 4] as const) {
      const weights = placeDraft(draft, { backend, target, bits });
      assert.equal(weights[head], undefined);
      assert.equal(weights[`${head}.packed`], packed);
    }
  }
  const whole = tinyTarget(backend, { tied: true });
  const embedding = whole.weights["model.embed_tokens.weight"];
  assert.equal(sharedHead(whole)["lm_head.weight"], embedding);
});

Deno.test("of many positions 4096 are used, by the target and by what training reads of it; or as asked", async () => {
  const from = "tests/golden/own/families/llama-3", folder = await Deno.makeTempDir();
  try {
    const config = JSON.parse(await Deno.readTextFile(join(from, "config.json")));
    const long = { ...config, max_position_embeddings: 131072 };
    await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(long));
    await Deno.copyFile(join(from, "model.safetensors"), join(folder, "model.safetensors"));
    const backend = referenceBackend();
    assert.equal((await loadTarget(folder, { backend })).config.positions, 4096);
    assert.equal((await loadFrozen(folder, { backend })).config.positions, 4096);
    assert.equal((await loadTarget(folder, { backend, context: 64 })).config.positions, 64);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
