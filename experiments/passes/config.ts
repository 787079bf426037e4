/** How many passes does the last step of training need? N steps of 1, 2 ... N passes at equal training tokens. */
import type { Experiment } from "../../lib/mod.ts";
import { TRAINING_STEPS } from "../paper_tables.ts";
import { SEEDS, SMALL } from "../settings.ts";

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

export default {
  name: "passes",
  question: "How many steps of training, the last of N passes, pay at equal training tokens?",
  arms: [1, 2, 3, 4, 5].map((n) => ({ name: `N=${n}`, passes: upTo(n), paper: `N=${n}` })),
  base: "N=3",
  seeds: SEEDS,
  settings: SMALL,
  paper: TRAINING_STEPS,
} satisfies Experiment;
