/**
 * A tiny random target as a hub holds it: configuration, index, two shards. Holds no test; those of models by name
 * use it.
 */
import { join } from "node:path";
import { type TensorToWrite, writeSafetensors } from "../../lib/io/safetensors.ts";
import { random } from "../../lib/random.ts";
import { TINY } from "../model/tiny.ts";
import { type MockFile, text } from "./mock_hub.ts";

const SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/** Published tensors, the matrices each by themselves. */
function tensors(): [name: string, tensor: TensorToWrite][] {
  const { width: d, inner, heads, kvHeads, headSize: k, vocabulary, layers } = TINY;
  const kv = kvHeads * k,
    layer: Record<string, number[]> = {
      "input_layernorm": [d],
      "post_attention_layernorm": [d],
      "self_attn.q_proj": [heads * k, d],
      "self_attn.k_proj": [kv, d],
      "self_attn.v_proj": [kv, d],
      "self_attn.o_proj": [d, heads * k],
      "mlp.gate_proj": [inner, d],
      "mlp.up_proj": [inner, d],
      "mlp.down_proj": [d, inner],
    };
  const shapes: [string, number[]][] = [
    ["model.embed_tokens.weight", [vocabulary, d]],
    ...Array.from({ length: layers }, (_, l) => l).flatMap((l) =>
      Object.entries(layer).map(([name, shape]): [string, number[]] => [
        `model.layers.${l}.${name}.weight`,
        shape,
      ])
    ),
    ["model.norm.weight", [d]],
    ["lm_head.weight", [vocabulary, d]],
  ];
  return shapes.map(([name, shape]) => {
    const from = random(3, name), length = shape.reduce((a, b) => a * b, 1);
    return [name, { shape, data: Float32Array.from({ length }, () => from.normal()) }];
  });
}

/** The files; `changes` are of its configuration. */
export async function tinyModel(
  changes: Record<string, unknown> = {},
): Promise<Record<string, MockFile>> {
  const { width, inner, heads, kvHeads, layers, vocabulary, positions, epsilon, ropeTheta } = TINY;
  const config = {
    architectures: ["LlamaForCausalLM"],
    hidden_size: width,
    intermediate_size: inner,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    num_hidden_layers: layers,
    vocab_size: vocabulary,
    max_position_embeddings: positions,
    rms_norm_eps: epsilon,
    rope_theta: ropeTheta,
    tie_word_embeddings: false,
    torch_dtype: "float32",
    ...changes,
  };
  const all = tensors(), half = all.length >> 1, folder = await Deno.makeTempDir();
  const placed = Object.fromEntries(all.map(([name], i) => [name, SHARDS[Number(i >= half)]]));
  const json = (value: unknown) => ({ bytes: text(JSON.stringify(value)), lfs: false });
  const files: Record<string, MockFile> = {
    "config.json": json(config),
    "model.safetensors.index.json": json({ weight_map: placed }),
  };
  try {
    for (const [i, part] of [all.slice(0, half), all.slice(half)].entries()) {
      const path = join(folder, SHARDS[i]);
      await writeSafetensors(path, Object.fromEntries(part));
      files[SHARDS[i]] = { bytes: await Deno.readFile(path), lfs: true };
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return files;
}
