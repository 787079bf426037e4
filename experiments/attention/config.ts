/** Are rows to come hidden while training, as in decoding, or do they keep score 0, as in the published code? */
import type { Experiment } from "../../lib/mod.ts";
import { SEEDS, SMALL } from "../settings.ts";

export default {
  name: "attention",
  question: "Does hiding rows to come while training, as decoding does, change tau?",
  arms: [{ name: "masked" }, { name: "upstream", recipe: { attention: "upstream" } }],
  base: "masked",
  seeds: SEEDS,
  settings: SMALL,
} satisfies Experiment;
