/**
 * Model configurations read from Hugging Face `config.json` files: what they must hold, checked with one
 * clear error each. Not weights: see `llama.ts` and `draft.ts`, which build graphs from these.
 */
import { join } from "node:path";
import { type Json, readJson } from "../io/json.ts";

/** Sizes shared by targets and drafts. Letters as in `lib/graph/node.ts`. */
export interface DecoderConfig {
  /** Width D. */
  width: number;
  /** Inner width I of the MLP. */
  inner: number;
  heads: number;
  kvHeads: number;
  /** Head size K. */
  headSize: number;
  /** Vocabulary V. */
  vocabulary: number;
  /** Positions the model knows: prompt plus reply may not exceed it. */
  positions: number;
  epsilon: number;
  ropeTheta: number;
}

/** A LLaMA-style target. */
export interface TargetConfig extends DecoderConfig {
  family: "llama";
  layers: number;
  /** The LM head is the embedding. */
  tied: boolean;
  bos?: number;
  eos: number[];
}

/** A draft: one decoder layer between a fusion block and a head (griffin.md names in the README). */
export interface DraftConfig extends DecoderConfig {
  /** Token-guided fusion, or the plain linear one of EAGLE-2. */
  fusion: "tgf" | "linear";
  /** Token-enhanced split head, or one output used for both purposes. */
  head: "dual" | "single";
  /** Identity of the target it was trained for (hash of its weights), if known. */
  target?: string;
}

function integer(json: Json, { key, file, fallback }: {
  key: string;
  file: string;
  fallback?: number;
}): number {
  const value = json[key] ?? fallback;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1) {
    throw new Error(
      `Cannot use ${file}: ${key} is ${JSON.stringify(json[key])}, wanted a positive integer`,
    );
  }
  return value;
}

function decoder(json: Json, file: string): DecoderConfig {
  const int = (key: string, fallback?: number) => integer(json, { key, file, fallback });
  const width = int("hidden_size"), heads = int("num_attention_heads");
  const kvHeads = int("num_key_value_heads", heads);
  if (heads % kvHeads !== 0) {
    throw new Error(
      `Cannot use ${file}: num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`,
    );
  }
  if (json.rope_scaling !== undefined && json.rope_scaling !== null) {
    throw new Error(
      `Cannot use ${file}: rope_scaling is ${JSON.stringify(json.rope_scaling)}, wanted none`,
    );
  }
  // Newer files keep theta and scaling together.
  const rope = (json.rope_parameters ?? {}) as Json;
  if (rope.rope_type !== undefined && rope.rope_type !== "default") {
    throw new Error(`Cannot use ${file}: rope_type is ${rope.rope_type}, wanted default`);
  }
  if (json.attention_bias === true || json.mlp_bias === true) {
    throw new Error(`Cannot use ${file}: attention_bias or mlp_bias is true, wanted none`);
  }
  if (json.hidden_act !== undefined && json.hidden_act !== "silu") {
    throw new Error(`Cannot use ${file}: hidden_act is ${json.hidden_act}, wanted silu`);
  }
  return {
    width,
    inner: int("intermediate_size"),
    heads,
    kvHeads,
    headSize: int("head_dim", width / heads),
    vocabulary: int("vocab_size"),
    positions: int("max_position_embeddings", 2048),
    epsilon: Number(json.rms_norm_eps ?? 1e-6),
    ropeTheta: Number(json.rope_theta ?? rope.rope_theta ?? 10000),
  };
}

/** Reads a target's `config.json`. @throws on an unknown architecture, missing or contradictory sizes. */
export async function readTargetConfig(folder: string): Promise<TargetConfig> {
  const file = join(folder, "config.json"), json = await readJson(file);
  const architecture = (json.architectures as string[] | undefined)?.[0];
  if (architecture !== "LlamaForCausalLM") {
    throw new Error(
      `Cannot use ${file}: architecture is ${architecture ?? "not given"}, wanted LlamaForCausalLM`,
    );
  }
  const eos = json.eos_token_id;
  return {
    family: "llama",
    ...decoder(json, file),
    layers: integer(json, { key: "num_hidden_layers", file }),
    tied: json.tie_word_embeddings === true,
    bos: typeof json.bos_token_id === "number" ? json.bos_token_id : undefined,
    eos: Array.isArray(eos) ? eos : typeof eos === "number" ? [eos] : [],
  };
}

/** Reads a draft's `config.json`: the published LLaMA fields, our switches under `griffin`. */
export async function readDraftConfig(file: string): Promise<DraftConfig> {
  const json = await readJson(file), own = (json.griffin ?? {}) as Json;
  const fusion = own.fusion ?? "tgf", head = own.head ?? "dual";
  if (fusion !== "tgf" && fusion !== "linear") {
    throw new Error(`Cannot use ${file}: fusion is ${fusion}, wanted tgf or linear`);
  }
  if (head !== "dual" && head !== "single") {
    throw new Error(`Cannot use ${file}: head is ${head}, wanted dual or single`);
  }
  return { ...decoder(json, file), fusion, head, target: own.target as string | undefined };
}

/** The `config.json` of a draft, in the published form. */
export function draftConfigJson(config: DraftConfig): Json {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: config.width,
    intermediate_size: config.inner,
    num_hidden_layers: 1,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headSize,
    vocab_size: config.vocabulary,
    max_position_embeddings: config.positions,
    rms_norm_eps: config.epsilon,
    rope_theta: config.ropeTheta,
    griffin: { fusion: config.fusion, head: config.head, target: config.target },
  };
}
