/** How should feature and token loss be weighed? The published code's weights, the paper's, and no feature loss. */
import { type Experiment, LOSS_WEIGHTS } from "../../lib/mod.ts";
import { FEATURE_LOSS } from "../paper_tables.ts";
import { SEEDS, SMALL } from "../settings.ts";

export default {
  name: "loss_weights",
  question: "Do the published code's loss weights or the paper's give longer accepted drafts?",
  arms: [
    { name: "code: 1, 0.1, 0.5", paper: "GRIFFIN" },
    { name: "paper: 0.1, 1, 0.5", recipe: { weights: LOSS_WEIGHTS.paper } },
    {
      name: "no feature loss",
      recipe: { weights: { ...LOSS_WEIGHTS.code, feature: 0 } },
      paper: "w/o feature loss",
    },
  ],
  base: "code: 1, 0.1, 0.5",
  seeds: SEEDS,
  settings: SMALL,
  paper: FEATURE_LOSS,
} satisfies Experiment;
