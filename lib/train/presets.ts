/**
 * Published methods as choices of one code: which draft, which recipe, how many passes in each step. The numbers
 * are those of the papers and their code (griffin.md sections 2, 4, 9); sizes, epochs and rates belong to a run.
 */
import type { DraftConfig, TargetConfig } from "../model/config.ts";
import { LOSS_WEIGHTS, type Recipe } from "./recipe.ts";

/** A way to train a draft. */
export interface Preset {
  /** One line on what it is. */
  describe: string;
  fusion: DraftConfig["fusion"];
  head: DraftConfig["head"];
  /** Passes of each step of training, one after the other. */
  steps: readonly number[];
  recipe: Partial<Recipe>;
}

/** EAGLE-2 and what shares its draft: one pass, one output, one matrix. */
const EAGLE2: Preset = {
  describe: "EAGLE-2 (Li et al. 2024): one linear fusion, one head, one pass",
  fusion: "linear",
  head: "single",
  steps: [1],
  recipe: { mask: "none", weights: LOSS_WEIGHTS.code },
};

const GRIFFIN: Preset = {
  describe: "GRIFFIN (Hu et al. 2025), mended: rows to come hidden, the paper's alignment mask",
  fusion: "tgf",
  head: "dual",
  steps: [1, 2, 3],
  recipe: { attention: "masked", mask: "paper", alignK: 3, weights: LOSS_WEIGHTS.code },
};

/** The methods by name. */
export const PRESETS = {
  griffin: GRIFFIN,
  "griffin-upstream": {
    ...GRIFFIN,
    describe:
      "GRIFFIN as its published code trains it: attention, mask and noise with their errors",
    recipe: {
      ...GRIFFIN.recipe,
      attention: "upstream",
      mask: "upstream",
      noise: "length-scaled",
    },
  },
  hass: {
    ...EAGLE2,
    describe: "HASS (Zhang et al. 2025): EAGLE-2's draft, three passes from the start, top-K loss",
    steps: [3],
    recipe: { mask: "none", weights: LOSS_WEIGHTS.hass },
  },
  fspad: {
    ...EAGLE2,
    describe: "FSPAD (Gui et al. 2024): fusion gated by the embedding, two outputs, one pass",
    fusion: "fspad",
    head: "dual",
  },
  eagle2: EAGLE2,
  eagle3: {
    describe:
      "EAGLE-3 (Li et al. 2025): three target layers, own LM head, seven passes with gradients",
    fusion: "taps",
    head: "single",
    steps: [7],
    recipe: {
      mask: "none",
      weights: LOSS_WEIGHTS.tokens,
      bptt: true,
      passDecay: 0.8,
      noise: 0,
    },
  },
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof PRESETS;

/** The layers that EAGLE-3 taps, by their inputs: 2, L/2 and L-3, as its published decoding code does. */
export function eagle3Taps({ layers }: Pick<TargetConfig, "layers">): number[] {
  const taps = [2, Math.floor(layers / 2), layers - 3];
  if (layers < 4) {
    throw new Error(
      `Cannot tap layers 2, L/2 and L-3 of a target with ${layers}: wanted 4 or more`,
    );
  }
  return taps;
}
