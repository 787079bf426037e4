/** What do the two parts of GRIFFIN's draft add? Token-guided fusion and token-enhanced head, each switched off. */
import type { Experiment } from "../../lib/mod.ts";
import { PARTS } from "../paper_tables.ts";
import { SEEDS, SMALL } from "../settings.ts";

export default {
  name: "fusion_and_head",
  question: "What do token-guided fusion (TGF) and the token-enhanced head (TEH) add?",
  arms: [
    { name: "TGF and TEH", paper: "GRIFFIN, k=3, N=3" },
    { name: "without TEH", draft: { head: "single" }, paper: "w/o TEH" },
    { name: "without TGF", draft: { fusion: "linear" }, paper: "w/o TGF" },
    {
      name: "without both",
      draft: { fusion: "linear", head: "single" },
      paper: "w/o TAD (model)",
    },
  ],
  base: "TGF and TEH",
  seeds: SEEDS,
  settings: SMALL,
  paper: PARTS,
} satisfies Experiment;
