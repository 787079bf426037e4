/**
 * A target of a published shape with random weights: what memory and time depend on, without a download. Written as a
 * Hugging Face folder of f16 shards, tensor by tensor. Its texts mean nothing, and nothing is said about them; the
 * tokenizer is a small one, padded with names for the ids that it does not know.
 */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { sizeOf } from "../graph/node.ts";
import { writeFileAtomic, writeFolderAtomic } from "../io/atomic.ts";
import { readJson } from "../io/json.ts";
import { streamSafetensors, type TensorToStream } from "../io/safetensors_stream.ts";
import { readTargetConfig } from "../model/config.ts";
import { publishedShapes } from "../model/read_weights.ts";
import { hashText } from "../random.ts";

/** Facts of published `config.json` files: what memory and time depend on. */
export const REAL_SHAPES: Record<string, Record<string, unknown>> = {
  "tinyllama-1.1b": {
    architectures: ["LlamaForCausalLM"],
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 22,
    num_attention_heads: 32,
    num_key_value_heads: 4,
    vocab_size: 32000,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: false,
  },
  "llama-3.2-1b": {
    architectures: ["LlamaForCausalLM"],
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 64,
    vocab_size: 128256,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    tie_word_embeddings: true,
  },
  "qwen2.5-1.5b": {
    architectures: ["Qwen2ForCausalLM"],
    hidden_size: 1536,
    intermediate_size: 8960,
    num_hidden_layers: 28,
    num_attention_heads: 12,
    num_key_value_heads: 2,
    vocab_size: 151936,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    rope_theta: 1000000,
    tie_word_embeddings: true,
  },
};

/** Bytes of a shard at most, as Hugging Face writes them by default; a larger tensor has one of its own. */
const SHARD = 1e9;

/**
 * f16 bits of a matrix [.., I] uniform around 0 with variance 1/I, as rows pass through without growing; the
 * embedding 0.02, what ends in a residual smaller by the number of residuals, vectors 1, biases 0.
 */
function randomHalf(
  name: string,
  { shape, seed, layers }: { shape: readonly number[]; seed: number; layers: number },
): Uint16Array {
  const values = new Float16Array(sizeOf(shape));
  if (shape.length === 1) values.fill(name.endsWith("bias") ? 0 : 1);
  else {
    const closing = /o_proj|down_proj|\.w2\./.test(name) ? (2 * layers) ** -0.5 : 1;
    const deviation = name === "model.embed_tokens.weight" ? 0.02 : closing * shape[1] ** -0.5;
    const scale = Math.sqrt(3) * deviation / 2 ** 31;
    // xorshift32 (Marsaglia 2003): a billion numbers in seconds, and good enough for weights that mean nothing.
    let state = hashText(`${seed} ${name}`) || 1;
    for (let i = 0; i < values.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      values[i] = scale * state;
    }
  }
  return new Uint16Array(values.buffer);
}

/** The tokenizer of `folder` with names for all ids up to `vocabulary`. @throws when it knows more already. */
async function padTokenizer(folder: string, vocabulary: number): Promise<string> {
  const tokenizer = await readJson(join(folder, "tokenizer.json"));
  const { vocab } = tokenizer.model as { vocab: Record<string, number> };
  const added = tokenizer.added_tokens as { id: number }[];
  const known = 1 + Math.max(...Object.values(vocab), ...added.map(({ id }) => id));
  if (known > vocabulary) {
    throw new Error(
      `Cannot pad the tokenizer of ${folder} to ${vocabulary} tokens: it has ${known}`,
    );
  }
  for (let id = known; id < vocabulary; id++) vocab[`<unused-${id}>`] = id;
  return JSON.stringify(tokenizer);
}

/**
 * Writes a random target, complete or not at all. `json` is its `config.json`, one of {@link REAL_SHAPES} or changed;
 * `texts` is a folder whose tokenizer it takes over; `onShard` hears how far it is.
 * @throws when the configuration cannot be used, or the tokenizer is larger than the vocabulary.
 */
export async function writeRandomTarget(
  folder: string,
  { json, texts, seed = 0, shardBytes = SHARD, onShard }: {
    json: Record<string, unknown>;
    texts: string;
    seed?: number;
    shardBytes?: number;
    onShard?: (done: number, total: number) => void;
  },
): Promise<void> {
  await writeFolderAtomic(folder, async (temporary) => {
    const { bos_token_id, eos_token_id } = await readJson(join(texts, "config.json"));
    const settings = { torch_dtype: "float16", ...json, bos_token_id, eos_token_id };
    await writeFileAtomic(join(temporary, "config.json"), JSON.stringify(settings, null, 2));
    const config = await readTargetConfig(temporary), { layers, vocabulary } = config;
    const tokenizer = await padTokenizer(texts, vocabulary), names = "tokenizer_config.json";
    await writeFileAtomic(join(temporary, "tokenizer.json"), tokenizer);
    await copyFile(join(texts, names), join(temporary, names));
    const shards: Record<string, TensorToStream>[] = [];
    let filled = Infinity, total = 0;
    for (const [name, shape] of Object.entries(publishedShapes(config))) {
      const bytes = 2 * sizeOf(shape);
      if (filled + bytes > shardBytes) {
        shards.push({});
        filled = 0;
      }
      const read = () => randomHalf(name, { shape, seed, layers });
      shards[shards.length - 1][name] = { shape, dtype: "F16", read };
      filled += bytes;
      total += bytes;
    }
    const number = (i: number) => String(i).padStart(5, "0");
    const weight_map: Record<string, string> = {};
    for (const [i, tensors] of shards.entries()) {
      const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
      await streamSafetensors(join(temporary, file), tensors);
      for (const name of Object.keys(tensors)) weight_map[name] = file;
      onShard?.(i + 1, shards.length);
    }
    const index = JSON.stringify({ metadata: { total_size: total }, weight_map }, null, 2);
    await writeFileAtomic(join(temporary, "model.safetensors.index.json"), index);
  });
}
