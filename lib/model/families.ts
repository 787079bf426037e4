/**
 * Which targets are understood: a row an architecture, saying in what it differs from LLaMA. Adding a family is a row
 * here and a golden (`tests/golden/make/families.py`). The graph is one for all: `llama.ts`.
 */
import type { Json } from "../io/json.ts";

/** In what a target differs from LLaMA's decoder. */
export interface FamilyTraits {
  /** The projections of attention to queries, keys, values have a bias. */
  qkvBias?: boolean;
  /** The projection back to the width has one. */
  outBias?: boolean;
  /** The MLP's projections have one. */
  mlpBias?: boolean;
  /** Queries and keys are normalised head by head before they are rotated. */
  qkNorm?: boolean;
  /** Mixture of experts: how many there are, and how many each token goes through. */
  experts?: { count: number; chosen: number };
  window?: SlidingWindow;
}

/** In some layers a row sees those at less than `size` positions before it, and itself. */
export interface SlidingWindow {
  size: number;
  /** The layers that slide it; others see everything. */
  layers: readonly number[];
}

/** A row of the table. */
export interface Family {
  name: string;
  traits: (json: Json, file: string) => FamilyTraits;
}

function positive(json: Json, key: string, file: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1) return value;
  throw new Error(
    `Cannot use ${file}: ${key} is ${JSON.stringify(value)}, wanted a positive integer`,
  );
}

/** A window of so many positions in the layers that slide it. */
function windowIn(json: Json, file: string, slides: (layer: number) => boolean): FamilyTraits {
  const count = positive(json, "num_hidden_layers", file);
  const layers = Array.from({ length: count }, (_, l) => l).filter(slides);
  // Where the key is missing, transformers has this many.
  const size = positive(json, "sliding_window", file, 4096);
  return layers.length === 0 ? {} : { window: { size, layers } };
}

/** Mistral's window, in all layers unless it is null. */
const windowOfAll = (json: Json, file: string): FamilyTraits =>
  json.sliding_window === null ? {} : windowIn(json, file, () => true);

/** Qwen's: files that do not say so use none; `layer_types` tell the layers, or all from `max_window_layers` on slide. */
function windowOfSome(json: Json, file: string): FamilyTraits {
  if (json.use_sliding_window !== true || json.sliding_window === null) return {};
  const { layer_types: types, max_window_layers: from = 28 } = json;
  if (!Array.isArray(types)) return windowIn(json, file, (l) => l >= Number(from));
  const foreign = types.find((t) => t !== "full_attention" && t !== "sliding_attention");
  if (foreign !== undefined || types.length !== json.num_hidden_layers) {
    throw new Error(
      `Cannot use ${file}: layer_types are ${types.length}, one is ${
        foreign ?? types[0]
      }; wanted ` +
        `full_attention or sliding_attention for each of ${json.num_hidden_layers} layers`,
    );
  }
  return windowIn(json, file, (l) => types[l] === "sliding_attention");
}

/** Families by the architecture that `config.json` names. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  // LLaMA 2, 3, 3.1, 3.2, Vicuna, TinyLlama, SmolLM2.
  LlamaForCausalLM: {
    name: "llama",
    traits: ({ attention_bias, mlp_bias }) => ({
      ...(attention_bias === true && { qkvBias: true, outBias: true }),
      ...(mlp_bias === true && { mlpBias: true }),
    }),
  },
  MistralForCausalLM: { name: "mistral", traits: windowOfAll },
  // Qwen 2 and 2.5.
  Qwen2ForCausalLM: {
    name: "qwen2",
    traits: (json, file) => ({ qkvBias: true, ...windowOfSome(json, file) }),
  },
  Qwen3ForCausalLM: {
    name: "qwen3",
    traits: (json, file) => ({
      qkNorm: true,
      ...(json.attention_bias === true && { qkvBias: true, outBias: true }),
      ...windowOfSome(json, file),
    }),
  },
  MixtralForCausalLM: {
    name: "mixtral",
    traits: (json, file) => ({
      // Missing, it is none here.
      ...windowOfAll({ sliding_window: null, ...json }, file),
      experts: {
        count: positive(json, "num_local_experts", file),
        chosen: positive(json, "num_experts_per_tok", file),
      },
    }),
  },
};

/** The row of an architecture. @throws naming those that there are. */
export function familyOf(architecture: string | undefined, file: string): Family {
  const found = architecture === undefined ? undefined : FAMILIES[architecture];
  if (found !== undefined) return found;
  throw new Error(
    `Cannot use ${file}: architecture is ${architecture ?? "not given"}, wanted ${
      Object.keys(FAMILIES).join(", ")
    }`,
  );
}
