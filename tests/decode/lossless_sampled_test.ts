/**
 * Lossless for children that are sampled without replacement and verified by recursive rejection: the drawing of
 * children is enumerated like every other decision. What must not decide about children is put in, and seen.
 */
import assert from "node:assert/strict";
import { chainGrowth, staticGrowth } from "../../lib/decode/growth.ts";
import type { Candidates, Growth } from "../../lib/decode/tree.ts";
import { assertLossless, distance, drawnTrees, PLAIN, SAMPLINGS } from "./enumeration.ts";

const WARM = SAMPLINGS.filter(({ temperature }) => temperature > 0);

const CASES: [name: string, sizes: { vocabulary: number; length: number }, growth: Growth][] = [
  ["chain of 2", { vocabulary: 5, length: 3 }, chainGrowth(2)],
  ["chain, cut early", { vocabulary: 4, length: 3 }, chainGrowth(3, { minimumScore: -1.5 })],
  ["two children, one grandchild", { vocabulary: 4, length: 3 }, staticGrowth([[0], [1], [0, 0]])],
  ["three children", { vocabulary: 6, length: 2 }, staticGrowth([[0], [1], [2]])],
  [
    "more children than tokens",
    { vocabulary: 4, length: 2 },
    staticGrowth([[0], [1], [2], [3], [4]]),
  ],
];

for (const [name, { vocabulary, length }, growth] of CASES) {
  Deno.test(`sampled children change nothing: ${name}, vocabulary ${vocabulary}`, () => {
    const seed = 200 + vocabulary, draft = { seed, vocabulary };
    assertLossless(
      { ...draft, length },
      WARM,
      (sampling) => () => drawnTrees({ ...draft, sampling }, growth),
    );
  });
}

const DRAFT = { seed: 204, vocabulary: 4 }, SAMPLING = { ...PLAIN, repetitionPenalty: 1 };

function faulty(growth: Growth, fault: Parameters<typeof distance>[1] = "none"): number {
  const proposer = () => drawnTrees({ ...DRAFT, sampling: SAMPLING }, growth);
  return distance({ ...DRAFT, length: 3, sampling: SAMPLING, proposer }, fault);
}

Deno.test("sampled children may be verified as fixed ones: only fewer are accepted", () => {
  assert.ok(faulty(staticGrowth([[0], [1]]), "drawn as if fixed") < 1e-9);
});

/** Of two drawn children keeps those that the rule says. */
const pruned = (keep: (candidates: Candidates) => number[]): Growth => ({
  ...staticGrowth([[0], [1]]),
  keep,
});

Deno.test("the comparison sees children that are kept by their own scores", () => {
  const likely = pruned(({ tokens, scores }) =>
    [...tokens.keys()].filter((c) => scores[c] > Math.log(0.25))
  );
  assert.ok(faulty(likely) > 1e-3);
  // The second child kept or not by what the first is: decided before the second is known, and so allowed.
  const second = pruned(({ tokens, scores }) =>
    scores[0] > Math.log(0.25) ? [0] : [...tokens.keys()]
  );
  assert.ok(faulty(second) < 1e-9);
});
