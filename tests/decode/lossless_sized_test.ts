/**
 * Lossless for trees that size themselves and learn from what was accepted: whole texts are enumerated, the trees of
 * later rounds depending on the outcomes of earlier ones.
 */
import assert from "node:assert/strict";
import type { Costs } from "../../lib/decode/pricing.ts";
import { sampledAutoGrowth } from "../../lib/decode/sampled_tree_size.ts";
import { autoGrowth } from "../../lib/decode/tree_size.ts";
import {
  assertLossless,
  bestTrees,
  distance,
  drawnTrees,
  PLAIN,
  SAMPLINGS,
} from "./enumeration.ts";

/** Costs by which trees of several sizes come out: rows are cheap, passes are not free. */
const COSTS: Costs = {
  read: [[1, 0.02], [4, 0.03]],
  expand: [[1, 0.1], [2, 0.12]],
  verify: [[1, 1], [2, 1.15], [3, 1.35], [4, 1.6], [6, 2.2]],
  host: 0.01,
};
const LIMITS = { branching: 2, rows: 2, depth: 2, budget: 4 };

Deno.test("self-sizing trees change nothing, and they do differ", () => {
  const draft = { seed: 301, vocabulary: 4 }, sizes = new Set<number>();
  assertLossless({ ...draft, length: 4, learns: true }, SAMPLINGS, () => () => {
    const trees = bestTrees(draft, autoGrowth(COSTS, LIMITS));
    return {
      ...trees,
      propose(prefix, chance) {
        const proposal = trees.propose(prefix, chance);
        sizes.add(proposal.tree.tokens.length);
        return proposal;
      },
    };
  });
  assert.ok(sizes.size > 1, `all trees had ${[...sizes]} nodes`);
});

Deno.test("self-sizing trees of sampled children change nothing", () => {
  const draft = { seed: 302, vocabulary: 4 }, sizes = new Set<number>();
  const warm = SAMPLINGS.filter(({ temperature, topK, topP }) =>
    temperature > 0 && (topK > 0 || topP < 1)
  );
  const proposer = (sampling: typeof PLAIN) => () => {
    const trees = drawnTrees({ ...draft, sampling }, sampledAutoGrowth(COSTS, LIMITS));
    return {
      ...trees,
      propose(prefix: readonly number[], chance: Parameters<typeof trees.propose>[1]) {
        const proposal = trees.propose(prefix, chance);
        sizes.add(proposal.tree.tokens.length);
        return proposal;
      },
    };
  };
  assertLossless({ ...draft, length: 3, learns: true }, warm, proposer);
  // Without cuts there are many more outcomes: two tokens.
  for (const temperature of [0.3, 1, 1.5]) {
    const sampling = { ...PLAIN, temperature };
    const tv = distance({
      ...draft,
      length: 2,
      learns: true,
      sampling,
      proposer: proposer(sampling),
    });
    assert.ok(tv < 1e-9, `total variation ${tv} at temperature ${temperature}`);
  }
  assert.ok(sizes.size > 1, `all trees had ${[...sizes]} nodes`);
});
