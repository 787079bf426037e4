/**
 * Numbers of the paper that stand beside ours: ablations of GRIFFIN (NeurIPS 2025, arXiv 2502.11018), mean over
 * MT-bench, HumanEval and GSM8K, temperature 0, 60 draft tokens, depth 6, one A100. Facts of another model, on other
 * data: they say what to expect, not what to find.
 */
import type { PaperTable } from "../lib/mod.ts";

export const TRAINING_STEPS: PaperTable = {
  title: "Table 4, LLaMA2-7B, T = 0: training steps",
  rows: [
    { variant: "N=1", tau: 5.18, speedup: 3.1 },
    { variant: "N=2", tau: 5.33, speedup: 3.19 },
    { variant: "N=3", tau: 5.44, speedup: 3.28 },
    { variant: "N=4", tau: 5.47, speedup: 3.29 },
    { variant: "N=5", tau: 5.48, speedup: 3.3 },
  ],
};

export const MASK: PaperTable = {
  title: "Table 3, LLaMA2-7B, T = 0: top k of the alignment mask",
  rows: [
    { variant: "k=1", tau: 5.35, speedup: 3.21 },
    { variant: "k=3", tau: 5.44, speedup: 3.28 },
    { variant: "k=5", tau: 5.41, speedup: 3.25 },
    { variant: "k=10", tau: 5.36, speedup: 3.21 },
    { variant: "no mask", tau: 5.28, speedup: 3.18 },
  ],
};

export const PARTS: PaperTable = {
  title: "Table 8, LLaMA2-7B, T = 0: parts of the draft",
  rows: [
    { variant: "GRIFFIN, k=3, N=3", tau: 5.44, speedup: 3.28 },
    { variant: "w/o TEH", tau: 5.38, speedup: 3.24 },
    { variant: "w/o TGF", tau: 5.29, speedup: 3.19 },
    { variant: "w/o TAD (model)", tau: 5.25, speedup: 3.16 },
  ],
};

export const FEATURE_LOSS: PaperTable = {
  title: "Table 10, LLaMA3-8B, T = 0: feature loss",
  rows: [
    { variant: "GRIFFIN", tau: 5.38, speedup: 3.35 },
    { variant: "w/o feature loss", tau: 4.69, speedup: 2.89 },
  ],
};

export const COMPONENTS: PaperTable = {
  title: "Table 2, LLaMA2-7B, T = 0: training and model",
  rows: [
    { variant: "GRIFFIN, k=3, N=3", tau: 5.44, speedup: 3.28 },
    { variant: "w/o TAT (training)", tau: 5.18, speedup: 3.1 },
    { variant: "w/o TAD (model)", tau: 5.25, speedup: 3.16 },
    { variant: "w/o both", tau: 4.82, speedup: 2.89 },
  ],
};
