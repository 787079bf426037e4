/** Prompt lookup: what followed the newest occurrence of the text's end is proposed; and proposing nothing. */
import assert from "node:assert/strict";
import { NO_DRAFTER } from "../../lib/decode/drafter.ts";
import { lookUp, promptLookup } from "../../lib/decode/prompt_lookup.ts";
import { GREEDY } from "../../lib/decode/sample.ts";

const limits = { longest: 3, length: 4 };

Deno.test("the longest end that occurred before is followed, its newest occurrence", () => {
  // The end 2 3 occurs at the start (then 9) and later (then 7); 1 2 3 only at the start.
  assert.deepEqual(lookUp([1, 2, 3, 9, 8, 4, 2, 3, 7, 6, 5, 2, 3], limits), [7, 6, 5, 2]);
  assert.deepEqual(lookUp([1, 2, 3, 9, 8, 4, 2, 3, 7, 6, 1, 2, 3], limits), [9, 8, 4, 2]);
  assert.deepEqual(lookUp([1, 2, 3, 9, 8, 4, 2, 3, 7, 6, 1, 2, 3], { longest: 2, length: 1 }), [7]);
});

Deno.test("nothing is proposed where nothing repeats; a repetition may reach to the end", () => {
  assert.deepEqual(lookUp([1, 2, 3, 4], limits), []);
  assert.deepEqual(lookUp([5], limits), []);
  assert.deepEqual(lookUp([5, 5, 5], limits), [5]);
});

Deno.test("the drafter follows the text over rounds", async () => {
  const drafter = promptLookup(limits), features = new Float32Array(0);
  using drafting = drafter.begin({ first: 1, sampling: GREEDY });
  const propose = async (...ids: number[]) => {
    const news = { ids: Int32Array.from(ids), features };
    const [{ tree, drafted }] = await drafter.propose([{ drafting, news }]);
    assert.equal(drafted, undefined);
    assert.deepEqual(Array.from(tree.parents), [...tree.tokens.keys()].map((i) => i - 1));
    return Array.from(tree.tokens);
  };
  assert.deepEqual(await propose(2, 3, 4, 1), [1, 2, 3, 4, 1]);
  assert.deepEqual(await propose(2, 9), [9]);
  assert.deepEqual(await propose(1, 2), [2, 9, 1, 2]);
  assert.deepEqual([drafter.budget, drafter.depth], [5, 4]);
});

Deno.test("lengths out of range are refused", () => {
  assert.throws(() => promptLookup({ longest: 0 }), /match of 0 tokens: wanted a whole number/);
  assert.throws(() => promptLookup({ length: 1.5 }), /proposal of 1.5 tokens/);
});

Deno.test("without a drafter a tree is its root", async () => {
  using drafting = NO_DRAFTER.begin({ first: 1, sampling: GREEDY });
  const news = { ids: Int32Array.of(4, 7), features: new Float32Array(0) };
  const [{ tree }] = await NO_DRAFTER.propose([{ drafting, news }]);
  assert.deepEqual([Array.from(tree.tokens), Array.from(tree.parents)], [[7], [-1]]);
});
