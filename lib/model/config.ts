/**
 * Model configurations read from Hugging Face `config.json` files: what they must hold, checked with one
 * clear error each. Not weights: see `llama.ts` and `draft.ts`, which build graphs from these.
 */
import { join } from "node:path";
import { type Json, readJson } from "../io/json.ts";
import { familyOf, type FamilyTraits } from "./families.ts";
import {
  readRopeScaling,
  type RopeScaling,
  ropeScalingJson,
  stretchedFrom,
} from "./rope_scaling.ts";

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
  /** How angles are stretched for long contexts; none where it is missing. */
  ropeScaling?: RopeScaling;
}

/** A target: LLaMA's decoder, or one that differs from it in its family's traits. */
export interface TargetConfig extends DecoderConfig, FamilyTraits {
  family: string;
  layers: number;
  /** The LM head is the embedding. */
  tied: boolean;
  bos?: number;
  eos: number[];
}

/**
 * What a draft takes over from its target: everything about a layer but the inner width of its MLP. As published,
 * EAGLE-3's has no biases whatever its target has.
 */
export function draftSizes(
  { qkvBias, ropeScaling, ...config }: TargetConfig,
  { fusion }: Pick<DraftConfig, "fusion">,
): Omit<DecoderConfig, "inner"> & Pick<DraftConfig, "qkvBias"> {
  const { width, heads, kvHeads, headSize, vocabulary, positions, epsilon, ropeTheta } = config;
  return {
    ...{ width, heads, kvHeads, headSize, vocabulary, positions, epsilon, ropeTheta },
    ...(ropeScaling && { ropeScaling }),
    ...(qkvBias && fusion !== "taps" && { qkvBias }),
  };
}

/** How a draft joins features and tokens before its layer, and the designs that do so. */
export const FUSIONS = {
  tgf: "token-guided fusion (GRIFFIN)",
  fspad: "gated by the embedding (FSPAD)",
  linear: "one matrix (EAGLE-2, HASS)",
  taps: "several target layers, own LM head (EAGLE-3)",
} as const;

/** A draft: one decoder layer between a fusion block and a head. */
export interface DraftConfig extends DecoderConfig {
  fusion: keyof typeof FUSIONS;
  /** Token-enhanced split head, or one output used for both purposes. */
  head: "dual" | "single";
  /** Its projections to queries, keys, values have a bias, as Qwen 2's have; not with fusion `taps`. */
  qkvBias?: boolean;
  /** Target layers whose inputs the draft reads; fusion `taps` only. */
  taps?: readonly number[];
  /** Tokens that its own LM head knows; fusion `taps` only. */
  draftVocabulary?: number;
  /** The layer's residual is the normalised feature, as in drafts of vLLM speculators; fusion `taps` only. */
  normedResidual?: boolean;
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

/** Sizes from the LLaMA fields of a `config.json`. @throws naming `file` and the field. */
export function decoderConfig(json: Json, file: string): DecoderConfig {
  const int = (key: string, fallback?: number) => integer(json, { key, file, fallback });
  const width = int("hidden_size"), heads = int("num_attention_heads");
  const kvHeads = int("num_key_value_heads", heads);
  if (heads % kvHeads !== 0) {
    throw new Error(
      `Cannot use ${file}: num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`,
    );
  }
  // Newer files keep theta and scaling together.
  const rope = (json.rope_parameters ?? {}) as Json;
  const headSize = int("head_dim", width / heads), known = int("max_position_embeddings", 2048);
  const ropeScaling = readRopeScaling(json, { file, known, headSize });
  if (json.hidden_act !== undefined && json.hidden_act !== "silu") {
    throw new Error(`Cannot use ${file}: hidden_act is ${json.hidden_act}, wanted silu`);
  }
  return {
    width,
    inner: int("intermediate_size"),
    heads,
    kvHeads,
    headSize,
    vocabulary: int("vocab_size"),
    positions: Math.min(known, stretchedFrom(ropeScaling)),
    epsilon: Number(json.rms_norm_eps ?? 1e-6),
    ropeTheta: Number(json.rope_theta ?? rope.rope_theta ?? 10000),
    ...(ropeScaling && { ropeScaling }),
  };
}

/** Reads a target's `config.json`. @throws on an unknown architecture, missing or contradictory sizes. */
export async function readTargetConfig(folder: string): Promise<TargetConfig> {
  const file = join(folder, "config.json");
  return targetConfigOf(await readJson(file), file);
}

/** The same from the object that `file` holds. */
export function targetConfigOf(json: Json, file: string): TargetConfig {
  const { name, traits } = familyOf((json.architectures as string[] | undefined)?.[0], file);
  const eos = json.eos_token_id;
  return {
    family: name,
    ...decoderConfig(json, file),
    ...traits(json, file),
    layers: integer(json, { key: "num_hidden_layers", file }),
    tied: json.tie_word_embeddings === true,
    bos: typeof json.bos_token_id === "number" ? json.bos_token_id : undefined,
    eos: Array.isArray(eos) ? eos : typeof eos === "number" ? [eos] : [],
  };
}

/** @throws when the parts of a draft do not go together, with the reason. */
export function checkDraftConfig(config: DraftConfig, name = "this draft"): void {
  const { fusion, head, taps, draftVocabulary, normedResidual, vocabulary, qkvBias } = config;
  const refuse = (what: string) => new Error(`Cannot use ${name}: ${what}`);
  if (!(fusion in FUSIONS)) {
    throw refuse(`fusion is ${fusion}, wanted ${Object.keys(FUSIONS).join(", ")}`);
  }
  if (head !== "dual" && head !== "single") {
    throw refuse(`head is ${head}, wanted dual or single`);
  }
  if (fusion !== "taps") {
    if (taps === undefined && draftVocabulary === undefined && !normedResidual) return;
    throw refuse(`fusion ${fusion} reads the last layer and has the target's LM head`);
  }
  if (head !== "single") throw refuse("fusion taps has one output, wanted head single");
  if (qkvBias === true) throw refuse("fusion taps has no biases, wanted qkv_bias false");
  if (
    taps === undefined || taps.length === 0 || !taps.every((l) => Number.isInteger(l) && l >= 0)
  ) {
    throw refuse(`taps are ${JSON.stringify(taps)}, wanted numbers of layers`);
  }
  const size = draftVocabulary ?? 0;
  if (!(Number.isInteger(size) && size >= 1 && size <= vocabulary)) {
    throw refuse(`draft_vocab_size is ${draftVocabulary}, wanted 1 to ${vocabulary}`);
  }
}

/** Reads a draft's `config.json`: the published LLaMA fields, our switches under `griffin`. */
export async function readDraftConfig(file: string): Promise<DraftConfig> {
  const json = await readJson(file), own = (json.griffin ?? {}) as Json;
  const biased = ["attention_bias", "mlp_bias"].find((key) => json[key] === true);
  if (biased !== undefined) {
    throw new Error(`Cannot use ${file}: ${biased} is true, wanted none, or qkv_bias`);
  }
  const config = {
    ...decoderConfig(json, file),
    fusion: own.fusion ?? "tgf",
    head: own.head ?? "dual",
    target: own.target,
    ...(json.qkv_bias === true && { qkvBias: true }),
    ...(own.taps !== undefined && { taps: own.taps }),
    ...(json.draft_vocab_size !== undefined && { draftVocabulary: json.draft_vocab_size }),
    ...(json.norm_before_residual === true && { normedResidual: true }),
  } as DraftConfig;
  checkDraftConfig(config, file);
  return config;
}

/** The `config.json` of a draft, in the published form. */
export function draftConfigJson(config: DraftConfig): Json {
  const { fusion, head, target, taps, draftVocabulary, normedResidual, qkvBias } = config;
  return {
    architectures: [fusion === "taps" ? "LlamaForCausalLMEagle3" : "LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: config.width,
    intermediate_size: config.inner,
    num_hidden_layers: 1,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headSize,
    vocab_size: config.vocabulary,
    ...(qkvBias && { qkv_bias: true }),
    ...(draftVocabulary !== undefined && { draft_vocab_size: draftVocabulary }),
    ...(normedResidual && { norm_before_residual: true }),
    max_position_embeddings: config.positions,
    rms_norm_eps: config.epsilon,
    rope_theta: config.ropeTheta,
    ...(config.ropeScaling && { rope_scaling: ropeScalingJson(config.ropeScaling) }),
    griffin: { fusion, head, target, ...(taps !== undefined && { taps }) },
  };
}
