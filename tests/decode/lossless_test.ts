/**
 * Lossless, shown rather than sampled, for trees fixed before the target decides: every outcome of speculative
 * decoding is enumerated with its probability (`enumeration.ts`). Sampled children: `lossless_sampled_test.ts`;
 * trees that size themselves: `lossless_sized_test.ts`.
 */
import assert from "node:assert/strict";
import type { Tree } from "../../lib/decode/ancestry.ts";
import { chainGrowth, dynamicGrowth, staticGrowth } from "../../lib/decode/growth.ts";
import { argmax, type Sampling } from "../../lib/decode/sample.ts";
import type { Growth } from "../../lib/decode/tree.ts";
import { verifyGreedy } from "../../lib/decode/verify.ts";
import { random } from "../../lib/random.ts";
import {
  assertLossless,
  bestTrees,
  distance,
  logitsAfter,
  PLAIN,
  type Proposer,
  SAMPLINGS,
} from "./enumeration.ts";

const CASES: [name: string, sizes: { vocabulary: number; length: number }, growth: Growth][] = [
  ["dynamic 5/2/2", { vocabulary: 4, length: 4 }, dynamicGrowth({ depth: 2, width: 2, budget: 5 })],
  ["dynamic 7/3/3", { vocabulary: 5, length: 3 }, dynamicGrowth({ depth: 3, width: 3, budget: 7 })],
  [
    "dynamic, cut early",
    { vocabulary: 5, length: 3 },
    dynamicGrowth(
      { depth: 3, width: 3, budget: 7 },
      { minimumScore: -1.2 },
    ),
  ],
  ["chain of 2", { vocabulary: 6, length: 3 }, chainGrowth(2)],
  ["static", { vocabulary: 5, length: 3 }, staticGrowth([[0], [1], [2], [0, 0], [0, 1], [1, 0]])],
];

for (const [name, { vocabulary, length }, growth] of CASES) {
  Deno.test(`fixed trees change nothing: ${name}, vocabulary ${vocabulary}, ${length} tokens`, () => {
    const seed = 100 + vocabulary, draft = { seed, vocabulary };
    assertLossless({ vocabulary, length, seed }, SAMPLINGS, () => () => bestTrees(draft, growth));
  });
}

/** Arbitrary trees, siblings with the same token included. */
function randomTrees({ seed, vocabulary }: { seed: number; vocabulary: number }): Proposer {
  return {
    propose(prefix) {
      const from = random(seed, "tree", ...prefix), size = 1 + from.integer(6);
      const node = (i: number) => i === 0 ? prefix[prefix.length - 1] : from.integer(vocabulary);
      const tree: Tree = {
        tokens: Int32Array.from({ length: size }, (_, i) => node(i)),
        parents: Int32Array.from({ length: size }, (_, i) => i === 0 ? -1 : from.integer(i)),
        scores: new Float32Array(size),
      };
      return { tree };
    },
  };
}

Deno.test("arbitrary trees, repeated siblings included, change nothing", () => {
  for (let seed = 0; seed < 5; seed++) {
    const draft = { seed, vocabulary: 4 };
    assertLossless({ ...draft, length: 3 }, SAMPLINGS, () => () => randomTrees(draft));
  }
});

const DRAFT = { seed: 104, vocabulary: 4 };
const proposer = () => bestTrees(DRAFT, dynamicGrowth({ depth: 2, width: 2, budget: 5 }));

Deno.test("the comparison sees an extra token drawn from unprocessed logits", () => {
  const faulty = (sampling: Sampling) =>
    distance({ ...DRAFT, length: 4, sampling, proposer }, "unprocessed at leaves");
  const changes: Partial<Sampling>[] = [
    { temperature: 0.7 },
    { temperature: 1.5 },
    { topK: 2 },
    { topP: 0.7 },
    { repetitionPenalty: 1.3 },
  ];
  for (const change of changes) {
    const tv = faulty({ ...PLAIN, ...change });
    assert.ok(tv > 1e-3, `total variation ${tv} at ${JSON.stringify(change)} went unseen`);
  }
  // With nothing to process there is no fault.
  assert.ok(faulty(PLAIN) < 1e-9);
});

Deno.test("the comparison sees rejected tokens that stay in the distribution", () => {
  const setting = { ...DRAFT, length: 3, sampling: PLAIN, proposer };
  assert.ok(distance(setting, "rejected tokens stay") > 1e-3);
});

Deno.test("the comparison sees fixed children verified as if they had been drawn", () => {
  const setting = { ...DRAFT, length: 3, sampling: PLAIN, proposer };
  assert.ok(distance(setting, "fixed as if drawn") > 1e-3);
});

Deno.test("greedy speculation emits the target's greedy text", () => {
  const vocabulary = 6, growth = dynamicGrowth({ depth: 3, width: 3, budget: 10 });
  let accepted = 0;
  for (let seed = 0; seed < 20; seed++) {
    const trees = bestTrees({ seed, vocabulary }, growth);
    const choice = (prefix: readonly number[]) =>
      argmax(logitsAfter(prefix, { seed, vocabulary, name: "target" }));
    const plain: number[] = [], tokens = [choice([])];
    while (plain.length < 12) plain.push(choice(plain));
    while (tokens.length < 12) {
      const { tree } = trees.propose(tokens, NO_CHANCE), texts = [tokens.slice()];
      for (let i = 1; i < tree.tokens.length; i++) {
        texts.push([...texts[tree.parents[i]], tree.tokens[i]]);
      }
      const { path, next } = verifyGreedy(tree, (node) => choice(texts[node]));
      accepted += path.length;
      tokens.push(...path.map((node) => tree.tokens[node]), next);
    }
    assert.deepEqual(tokens.slice(0, 12), plain);
  }
  assert.ok(accepted > 20, `only ${accepted} tokens were accepted: the test shows little`);
});

const NO_CHANCE = {
  accept: () => assert.fail("a fixed tree asked for chance"),
  draw: () => assert.fail("a fixed tree asked for chance"),
};
