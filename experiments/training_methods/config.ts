/**
 * GRIFFIN, its baselines and its own variants at equal training tokens: all see the same stream of batches in the
 * same order; methods of several steps divide it among them. `deno task compare` runs it.
 */
import type { Experiment } from "../../lib/mod.ts";
import { EIGHT } from "../settings.ts";

export default {
  name: "training_methods",
  question:
    "At the same target, data and training tokens: how long are each method's accepted drafts?",
  arms: [
    { name: "eagle2", preset: "eagle2" },
    { name: "hass", preset: "hass" },
    { name: "fspad", preset: "fspad" },
    { name: "griffin step 1", passes: [1] },
    { name: "griffin steps 1-2", passes: [1, 2] },
    { name: "griffin" },
    { name: "griffin mask upstream", recipe: { mask: "upstream" } },
    { name: "griffin no mask", recipe: { mask: "none" } },
    { name: "griffin attention upstream", recipe: { attention: "upstream" } },
    { name: "griffin-upstream", preset: "griffin-upstream" },
    { name: "eagle3", preset: "eagle3" },
  ],
  base: "griffin",
  seeds: [0],
  settings: {
    epochs: 1,
    learningRate: [1e-3, 6e-4],
    rows: 512,
    warmup: 50,
    inner: 704,
    prompts: 80,
    maxTokens: 128,
    trees: {
      "tau, 8 nodes": EIGHT,
      "tau, 60 nodes": { tree: { depth: 6, width: 10, budget: 60 } },
    },
  },
} satisfies Experiment;
