/**
 * What can be chosen about training, with the published values, and checks of the choices. The Program made
 * from it is in `step.ts`.
 */
import type { MaskRule } from "./align.ts";

/** Weights of the three losses. */
export interface LossWeights {
  feature: number;
  token: number;
  /** Weight of the top-10 loss, in runs of two passes or more. */
  topK: number;
}

/** Weights of the published code, and of the paper. */
export const LOSS_WEIGHTS: Record<"code" | "paper", LossWeights> = {
  code: { feature: 1, token: 0.1, topK: 0.5 },
  paper: { feature: 0.1, token: 1, topK: 0.5 },
};

/** A training run of one step: j passes a batch. */
export interface Recipe {
  /** Passes P of each batch: step j makes j. */
  passes: number;
  mask: MaskRule;
  /** Top k of the alignment mask. */
  alignK: number;
  weights: LossWeights;
  /** Half-width of the uniform noise on input features. */
  noise: number;
  epochs: number;
  /** Rows (tokens with padding) of a batch, about. */
  rows: number;
  /** Longer examples are cut. */
  maxLength: number;
  learningRate: number;
  warmup: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** Gradients are clipped to this absolute value; 0 for no clipping. */
  clip: number;
  seed: number;
}

/** The default recipe: griffin.md sections 3 and 4, learning rate for drafts of a few million parameters. */
export const DEFAULT_RECIPE: Recipe = {
  passes: 1,
  mask: "paper",
  alignK: 3,
  weights: LOSS_WEIGHTS.code,
  noise: 0.1,
  epochs: 4,
  rows: 1024,
  maxLength: 512,
  learningRate: 1e-3,
  warmup: 50,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.01,
  clip: 0.5,
  seed: 0,
};

/** @throws naming the setting, found and wanted. */
export function checkRecipe(recipe: Recipe): void {
  for (const key of ["passes", "alignK", "epochs", "rows", "maxLength"] as const) {
    if (!Number.isInteger(recipe[key]) || recipe[key] < 1) {
      throw new Error(`Cannot train with ${key} ${recipe[key]}: wanted a whole number from 1`);
    }
  }
  if (!(recipe.learningRate > 0)) {
    throw new Error(`Cannot train with learning rate ${recipe.learningRate}: wanted more than 0`);
  }
  if (!(recipe.weights.token > 0)) {
    throw new Error(`Cannot train with token weight ${recipe.weights.token}: wanted more than 0`);
  }
  if (recipe.maxLength <= recipe.passes + 1) {
    throw new Error(
      `Cannot train ${recipe.passes} passes on ${recipe.maxLength} tokens: wanted a longer maxLength`,
    );
  }
}

/** Learning rate of update number `step` (from 1): linear warm-up, then linear decay to 0 at `total`. */
export function learningRateAt(
  step: number,
  { recipe: { learningRate, warmup }, total }: { recipe: Recipe; total: number },
): number {
  const rise = Math.min(1, step / Math.max(1, warmup));
  const fall = total <= warmup ? 1 : Math.max(0, (total - step) / (total - warmup));
  return learningRate * Math.min(rise, fall);
}
