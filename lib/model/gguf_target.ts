/**
 * A target from a GGUF file as a Hugging Face folder would have it: names, rows and `config.json`. LLaMA's files keep
 * the rows of queries and keys in another order, that of pairs which are rotated together; it is undone here. Not the
 * tokenizer: that is the original model's.
 */
import type { Json } from "../io/json.ts";
import { type GgufFile, type GgufValue, openGguf } from "../io/gguf.ts";
import { moveInto } from "../io/room.ts";
import { halfOf, type TensorSource } from "../io/safetensors.ts";
import { angularSpeeds } from "./rope_scaling.ts";

/** Architectures by the file's name for them; `turned`: rows of queries and keys are in the other order. */
const ARCHITECTURES: Readonly<Record<string, { name: string; turned: boolean }>> = {
  llama: { name: "LlamaForCausalLM", turned: true },
  qwen2: { name: "Qwen2ForCausalLM", turned: false },
  qwen3: { name: "Qwen3ForCausalLM", turned: false },
};

/** Parts of names within a layer. */
const IN_LAYER: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** Names outside of layers. */
const OUTSIDE: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

/** Factors of angles that LLaMA 3.1 and later keep as a tensor. */
const ANGLE_FACTORS = "rope_freqs.weight";

/** The published name of a tensor; its own where nothing corresponds. */
export function publishedName(name: string): string {
  const [, layer, part, ending] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const inner = part === undefined ? undefined : IN_LAYER[part];
  if (inner !== undefined) return `model.layers.${layer}.${inner}.${ending}`;
  return OUTSIDE[name] ?? name;
}

/**
 * Rows [H K, ..] from the order (head, pair, half) to (head, half, pair): there the two rows of a pair stand side by
 * side, here half a head apart.
 */
export function parted(values: Float32Array, { heads, rows }: { heads: number; rows: number }) {
  const out = new Float32Array(values.length), width = values.length / rows;
  const size = rows / heads, pairs = size / 2;
  for (let row = 0; row < rows; row++) {
    const head = Math.floor(row / size), within = row % size;
    const from = head * size + 2 * (within % pairs) + Math.floor(within / pairs);
    out.set(values.subarray(from * width, (from + 1) * width), row * width);
  }
  return out;
}

/** Scaled angles as `config.json` has them. LLaMA 3's are recognised by their factors. @throws on others. */
function ropeScaling(
  file: GgufFile,
  { setting, headSize, ropeTheta }: {
    setting: (key: string) => GgufValue | undefined;
    headSize: number;
    ropeTheta: number;
  },
): Json | undefined {
  const type = setting("rope.scaling.type") ?? "none",
    factor = Number(setting("rope.scaling.factor"));
  if (type === "linear") return { rope_type: "linear", factor };
  if (type !== "none" && type !== "llama3") {
    throw new Error(`Cannot use ${file.path}: its rope scaling is ${type}, wanted none or linear`);
  }
  if (!file.has(ANGLE_FACTORS)) return undefined;
  const factors = file.readFloat32(ANGLE_FACTORS), largest = Math.max(...factors);
  const plain = angularSpeeds({ headSize, ropeTheta });
  const known = { type: "llama3", factor: largest, low: 1, high: 4, positions: 8192 } as const;
  const scaled = angularSpeeds({ headSize, ropeTheta, ropeScaling: known });
  const same = factors.length === plain.length &&
    factors.every((f, i) => Math.abs(plain[i] / f - scaled[i]) <= 1e-4 * scaled[i]);
  if (!same) {
    throw new Error(
      `Cannot use ${file.path}: the angles of ${ANGLE_FACTORS} are not those of LLaMA 3.1 or 3.2`,
    );
  }
  return {
    ...{ rope_type: "llama3", factor: largest, low_freq_factor: 1, high_freq_factor: 4 },
    original_max_position_embeddings: 8192,
  };
}

/** A number that was stored as f32, as it was meant: 1e-5, not 9.999999747378752e-6. */
const short = (x: number): number => Number(x.toPrecision(7));

/** `config.json` of the model in a file. @throws on an architecture that is not known, or a missing setting. */
function configJson(file: GgufFile): Json {
  const { settings, path } = file, kind = String(settings["general.architecture"]);
  const architecture = ARCHITECTURES[kind];
  if (architecture === undefined) {
    const wanted = Object.keys(ARCHITECTURES).join(", ");
    throw new Error(`Cannot use ${path}: its architecture is ${kind}, wanted ${wanted}`);
  }
  const experts = Number(settings[`${kind}.expert_count`] ?? 0);
  if (experts > 0) throw new Error(`Cannot use ${path}: it has ${experts} experts, wanted none`);
  const setting = (key: string): GgufValue | undefined => settings[`${kind}.${key}`];
  const number = (key: string): number => {
    const value = setting(key);
    if (typeof value === "number") return value;
    throw new Error(`Cannot use ${path}: ${kind}.${key} is ${value}, wanted a number`);
  };
  const width = number("embedding_length"), heads = number("attention.head_count");
  const headSize = Number(
    setting("attention.key_length") ?? setting("rope.dimension_count") ?? width / heads,
  );
  const ropeTheta = Number(setting("rope.freq_base") ?? 10000);
  const scaling = ropeScaling(file, { setting, headSize, ropeTheta });
  const token = (key: string) => settings[`tokenizer.ggml.${key}_token_id`];
  return {
    architectures: [architecture.name],
    model_type: kind,
    hidden_act: "silu",
    hidden_size: width,
    intermediate_size: number("feed_forward_length"),
    num_hidden_layers: number("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: Number(setting("attention.head_count_kv") ?? heads),
    head_dim: headSize,
    vocab_size: file.has("token_embd.weight") ? file.info("token_embd.weight").shape[0] : 0,
    max_position_embeddings: number("context_length"),
    rms_norm_eps: short(number("attention.layer_norm_rms_epsilon")),
    rope_theta: ropeTheta,
    ...(scaling && { rope_scaling: scaling }),
    tie_word_embeddings: !file.has("output.weight"),
    ...(file.has("blk.0.attn_output.bias") && { attention_bias: true }),
    ...(file.has("blk.0.ffn_up.bias") && { mlp_bias: true }),
    ...(token("bos") !== undefined && { bos_token_id: Number(token("bos")) }),
    ...(token("eos") !== undefined && { eos_token_id: Number(token("eos")) }),
  };
}

/** A GGUF file as the folder it came from. */
export interface GgufTarget {
  source: TensorSource;
  /** `config.json`; none where `trouble` says why the model cannot be used. */
  json?: Json;
  trouble?: string;
}

/**
 * Opens a GGUF file with published names and rows. A model of another architecture has its own names, and no
 * `config.json`.
 * @throws as {@link openGguf} does.
 */
export function openGgufTarget(path: string): GgufTarget {
  const file = openGguf(path);
  let json: Json;
  try {
    json = configJson(file);
  } catch (cause) {
    return { source: file, trouble: (cause as Error).message };
  }
  const { turned } = ARCHITECTURES[json.model_type as string];
  const ours = new Map(
    file.names.filter((n) => n !== ANGLE_FACTORS).map((name) => [publishedName(name), name]),
  );
  const own = (name: string): string => ours.get(name) ?? name;
  const readFloat32 = (name: string, into?: Float32Array) => {
    const values = file.readFloat32(own(name)), part = /\.self_attn\.([qk])_proj\./.exec(name)?.[1];
    if (!turned || part === undefined) return moveInto(values, { name, into, path });
    const heads = Number(part === "q" ? json.num_attention_heads : json.num_key_value_heads);
    const rows = parted(values, { heads, rows: file.info(own(name)).shape[0] });
    return moveInto(rows, { name, into, path });
  };
  return {
    json,
    source: {
      ...{ path, readFloat32, metadata: {}, names: [...ours.keys()] },
      has: (name) => ours.has(name),
      info: (name) => file.info(own(name)),
      readHalf: (name) => halfOf(readFloat32(name), `${name} of ${path}`),
      readInt: (name) => file.readInt(own(name)),
      [Symbol.dispose]: () => file[Symbol.dispose](),
    },
  };
}
