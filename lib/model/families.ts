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
  /** Rows further back are not seen: the model is used within this many positions, where that changes nothing. */
  window?: number;
}

/** A row of the table. */
export interface Family {
  name: string;
  traits: (json: Json, file: string) => FamilyTraits;
}

function positive(json: Json, key: string, file: string): number {
  const value = json[key];
  if (typeof value === "number" && Number.isInteger(value) && value >= 1) return value;
  throw new Error(
    `Cannot use ${file}: ${key} is ${JSON.stringify(value)}, wanted a positive integer`,
  );
}

/** A sliding window, where the configuration has one that is used. */
function windowOf({ sliding_window: window, use_sliding_window: used }: Json): FamilyTraits {
  return typeof window === "number" && used !== false ? { window } : {};
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
  MistralForCausalLM: { name: "mistral", traits: windowOf },
  // Qwen 2 and 2.5. Files that do not say so use no window.
  Qwen2ForCausalLM: {
    name: "qwen2",
    traits: (json) => ({ qkvBias: true, ...(json.use_sliding_window === true && windowOf(json)) }),
  },
  Qwen3ForCausalLM: {
    name: "qwen3",
    traits: (json) => ({
      qkNorm: true,
      ...(json.attention_bias === true && { qkvBias: true, outBias: true }),
      ...(json.use_sliding_window === true && windowOf(json)),
    }),
  },
  MixtralForCausalLM: {
    name: "mixtral",
    traits: (json, file) => ({
      ...windowOf(json),
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
