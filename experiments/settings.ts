/**
 * What the ablations share: a small budget, so that three seeds of every arm fit into an hour on two cores, and the
 * tree that pays there. Longer: `deno task experiment run NAME --epochs 4`.
 */
import type { MeasuredTree, Settings } from "../lib/mod.ts";

/** The shipped default: 8 nodes of 6 levels, two wide. */
export const EIGHT: MeasuredTree = { tree: { depth: 6, width: 2, budget: 8 }, minimumScore: -6 };

export const SEEDS = [0, 1, 2];

export const SMALL: Settings = {
  epochs: 1 / 16,
  learningRate: [1e-3, 6e-4],
  rows: 256,
  warmup: 10,
  inner: 704,
  prompts: 40,
  maxTokens: 48,
  trees: { tau: EIGHT },
};
