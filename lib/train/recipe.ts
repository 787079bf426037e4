/**
 * What can be chosen about training, with the published values, and checks of the choices. griffin.md sections
 * 3 and 4. Methods as bundles of choices: `presets.ts`; the Program made from them: `step.ts`.
 */
import type { DraftConfig } from "../model/config.ts";
import type { AttentionRule, MaskRule } from "./align.ts";

/** Weights of the three losses. */
export interface LossWeights {
  feature: number;
  token: number;
  /** Weight of the top-K loss, in runs of two passes or more. */
  topK: number;
}

/** Weights of the published code, of the paper, of HASS, and of the token distribution alone. */
export const LOSS_WEIGHTS = {
  code: { feature: 1, token: 0.1, topK: 0.5 },
  paper: { feature: 0.1, token: 1, topK: 0.5 },
  hass: { feature: 1, token: 0.1, topK: 1 },
  tokens: { feature: 0, token: 1, topK: 0 },
} as const satisfies Record<string, LossWeights>;

/** Half-width of length-scaled noise at L tokens, times L: 0.1 * 512, as the published code has it. */
export const LENGTH_SCALED_NOISE = 51.2;

/** A training run of one step: P passes a batch. */
export interface Recipe {
  /** Passes P of each batch: GRIFFIN's step j makes j. */
  passes: number;
  /** `masked`: rows to come are hidden, as in decoding. `upstream`: they keep score 0 and take weight. */
  attention: AttentionRule;
  /** Which result of a pass the next one reads. */
  feedback: "regress" | "predict";
  /** Gradients flow from pass to pass. */
  bptt: boolean;
  mask: MaskRule;
  /** Top k of the alignment mask. */
  alignK: number;
  /** Whose token must be among the top k: the text's, or the target's most likely one. */
  label: "dataset" | "target";
  weights: LossWeights;
  /** Tokens K that the top-K loss looks at. */
  topTokens: number;
  /** Losses of the passes are added or averaged. */
  backward: "sum" | "mean";
  /** Pass i (from 0) counts `passDecay ** i`. */
  passDecay: number;
  /** Half-width of the uniform noise on input features; length-scaled: 0.1 * 512 / L. */
  noise: number | "length-scaled";
  /** Times each example is read; a fraction reads the first part of a shuffled epoch. */
  epochs: number;
  /** Rows (tokens with padding) of a batch, about. */
  rows: number;
  /** Longer examples are cut. */
  maxLength: number;
  /** Several examples share a row of a batch, each seeing itself only. */
  packing: boolean;
  /** Batches whose mean gradient makes one update; each weighs the same, also in a last update of fewer. */
  accumulate: number;
  learningRate: number;
  schedule: "linear" | "cosine" | "constant";
  warmup: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** Gradients are clipped to this absolute value; 0 for no clipping. */
  clip: number;
  /** The gradient as a whole is scaled down to this norm, before values are clipped; 0 for no limit. */
  clipNorm: number;
  /** Decay of the running mean of parameters that is validated and kept; 0 keeps the last ones. */
  average: number;
  seed: number;
}

/** The default recipe; the learning rate is for drafts of a few million parameters. */
export const DEFAULT_RECIPE: Recipe = {
  passes: 1,
  attention: "masked",
  feedback: "regress",
  bptt: false,
  mask: "paper",
  alignK: 3,
  label: "dataset",
  weights: LOSS_WEIGHTS.code,
  topTokens: 10,
  backward: "sum",
  passDecay: 1,
  noise: 0.1,
  epochs: 4,
  rows: 1024,
  maxLength: 512,
  packing: false,
  accumulate: 1,
  learningRate: 1e-3,
  schedule: "linear",
  warmup: 50,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.01,
  clip: 0.5,
  clipNorm: 0,
  average: 0,
  seed: 0,
};

function checkNumbers(recipe: Recipe): void {
  const refuse = (key: keyof Recipe, wanted: string) =>
    new Error(`Cannot train with ${key} ${recipe[key]}: wanted ${wanted}`);
  const whole = ["passes", "alignK", "topTokens", "rows", "maxLength", "accumulate"] as const;
  for (const key of whole) {
    if (!Number.isInteger(recipe[key]) || recipe[key] < 1) {
      throw refuse(key, "a whole number from 1");
    }
  }
  for (const key of ["epochs", "learningRate", "passDecay", "epsilon"] as const) {
    if (!(recipe[key] > 0 && recipe[key] < Infinity)) throw refuse(key, "more than 0 and finite");
  }
  for (const key of ["warmup", "weightDecay", "clip", "clipNorm"] as const) {
    if (!(recipe[key] >= 0 && recipe[key] < Infinity)) throw refuse(key, "0 or more and finite");
  }
  for (const key of ["beta1", "beta2", "average"] as const) {
    if (!(recipe[key] >= 0 && recipe[key] < 1)) throw refuse(key, "at least 0 and less than 1");
  }
  const { noise } = recipe;
  if (noise !== "length-scaled" && !(noise >= 0 && noise < Infinity)) {
    throw refuse("noise", '0 or more and finite, or "length-scaled"');
  }
}

function checkWeights({ feature, token, topK }: LossWeights): void {
  if (!(token > 0 && token < Infinity)) {
    throw new Error(`Cannot train with token weight ${token}: wanted more than 0 and finite`);
  }
  for (const [name, weight] of [["feature", feature], ["top-K", topK]] as const) {
    if (!(weight >= 0 && weight < Infinity)) {
      throw new Error(`Cannot train with ${name} weight ${weight}: wanted 0 or more and finite`);
    }
  }
}

/** What does not go together, and why. */
function contradiction(recipe: Recipe, config?: DraftConfig): string | undefined {
  const { passes, attention, feedback, mask, packing, maxLength, weights } = recipe;
  if (maxLength <= passes + 1) {
    return `${passes} passes on ${maxLength} tokens: wanted a longer maxLength`;
  }
  if (packing && attention === "upstream") {
    return 'packing with attention "upstream": it gives weight to all rows that share a batch row';
  }
  if (packing && mask === "upstream") {
    return 'packing with mask "upstream": it rolls from the end of a batch row to its start';
  }
  if (config?.fusion !== "taps") return undefined;
  if (feedback === "predict") {
    return 'feedback "predict" with fusion "taps": its predict has been normalised for the LM head';
  }
  if (attention === "upstream") {
    return 'attention "upstream" with fusion "taps": EAGLE-3 never was trained so';
  }
  if (mask !== "none") return `mask "${mask}" with fusion "taps": its passes start at every row`;
  if (weights.feature > 0 || weights.topK > 0) {
    return 'feature or top-K weights with fusion "taps": it has a token loss only';
  }
  return undefined;
}

/** @throws naming the setting, found and wanted, or the two settings that contradict each other, and why. */
export function checkRecipe(recipe: Recipe, config?: DraftConfig): void {
  checkNumbers(recipe);
  checkWeights(recipe.weights);
  const reason = contradiction(recipe, config);
  if (reason !== undefined) throw new Error(`Cannot train ${reason}`);
}

/** Learning rate of update number `step` (from 1): linear warm-up, then the schedule's fall to 0 at `total`. */
export function learningRateAt(
  step: number,
  { recipe: { learningRate, warmup, schedule }, total }: { recipe: Recipe; total: number },
): number {
  const rise = Math.min(1, step / Math.max(1, warmup));
  const done = total <= warmup ? 0 : Math.min(1, Math.max(0, (step - warmup) / (total - warmup)));
  const fall = { constant: 1, linear: 1 - done, cosine: (1 + Math.cos(Math.PI * done)) / 2 };
  return learningRate * Math.min(rise, fall[schedule]);
}
