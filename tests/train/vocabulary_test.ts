/** The draft vocabulary: what trained rows predict most often, ties and gaps included. */
import assert from "node:assert/strict";
import { frequentTokens } from "../../lib/train/vocabulary.ts";

/** Row t predicts token t + 2: 7 twice, 5 once, 9 in a row that is not trained. */
const EXAMPLES = [{ ids: [1, 2, 7, 7, 9, 5], mask: [1, 1, 0, 1, 0, 0] }];
const examples = {
  count: EXAMPLES.length,
  readText: (i: number) => ({
    id: `${i}`,
    ids: Int32Array.from(EXAMPLES[i].ids),
    mask: Uint8Array.from(EXAMPLES[i].mask),
  }),
};
const of = (size: number) => [...frequentTokens(examples, { size, vocabulary: 12 })];

Deno.test("tokens that trained rows predict come first, then the lowest ids, all rising", () => {
  assert.deepEqual(of(1), [7]);
  assert.deepEqual(of(2), [5, 7]);
  assert.deepEqual(of(4), [0, 1, 5, 7]);
  assert.deepEqual(of(12), Array.from({ length: 12 }, (_, i) => i));
});

Deno.test("more tokens than there are, or none, are refused", () => {
  for (const size of [0, 13, 1.5]) assert.throws(() => of(size), /wanted 1 to 12/);
});
