/** Which rows should later passes train? Rules of the alignment mask and its top k; the first step is shared. */
import type { Experiment } from "../../lib/mod.ts";
import { MASK } from "../paper_tables.ts";
import { SEEDS, SMALL } from "../settings.ts";

export default {
  name: "mask",
  question: "Which rule of the alignment mask, with which k, gives the longest accepted drafts?",
  arms: [
    { name: "paper, k=1", recipe: { alignK: 1 }, paper: "k=1" },
    { name: "paper, k=3", paper: "k=3" },
    { name: "paper, k=10", recipe: { alignK: 10 }, paper: "k=10" },
    { name: "upstream, k=3", recipe: { mask: "upstream" } },
    { name: "no mask", recipe: { mask: "none" }, paper: "no mask" },
  ],
  base: "paper, k=3",
  seeds: SEEDS,
  settings: SMALL,
  paper: MASK,
} satisfies Experiment;
