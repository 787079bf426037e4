/** How large must a tree be? The shipped draft with trees from 2 nodes to the paper's 60; nothing is trained. */
import type { Experiment } from "../../lib/mod.ts";
import { SMALL } from "../settings.ts";

const SIZES = [[2, 1, 1], [4, 3, 2], [8, 6, 2], [16, 6, 4], [32, 6, 6], [60, 6, 10]];

export default {
  name: "tree_size",
  question: "How does tau of the shipped draft grow with the nodes that are verified?",
  arms: SIZES.map(([budget, depth, width]) => ({
    name: `${budget}/${depth}/${width}`,
    trained: "data/draft",
    trees: { tau: { tree: { budget, depth, width } } },
  })),
  base: "60/6/10",
  seeds: [0],
  settings: SMALL,
} satisfies Experiment;
