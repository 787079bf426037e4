/** Tests lib/train/vocabulary.ts: which tokens a draft vocabulary holds. */
import assert from "node:assert/strict";
import { random } from "../../lib/random.ts";
import { frequentTokens } from "../../lib/train/vocabulary.ts";

/** Examples from ids and loss masks. */
function texts(list: { ids: number[]; mask: number[] }[]) {
  const readText = (i: number) => ({
    id: `t${i}`,
    ids: Int32Array.from(list[i].ids),
    mask: Uint8Array.from(list[i].mask),
  });
  return { count: list.length, readText };
}

Deno.test("the tokens that trained rows predict most often, rising", () => {
  // Row t predicts token t + 2: 7 three times, 5 twice, 1 once; rows that are not trained do not count.
  const examples = texts([
    { ids: [9, 9, 7, 5, 7, 2, 2, 2], mask: [1, 1, 1, 0, 0, 0, 1, 1] },
    { ids: [2, 2, 7, 5, 1], mask: [1, 1, 1, 1, 1] },
    { ids: [2, 2], mask: [1, 1] },
    { ids: [], mask: [] },
  ]);
  const first = (size: number) => [...frequentTokens(examples, { size, vocabulary: 10 })];
  assert.deepEqual(first(1), [7]);
  assert.deepEqual(first(2), [5, 7]);
  // 2 occurs most often of all, but no trained row predicts it.
  assert.deepEqual(first(3), [1, 5, 7]);
});

Deno.test("equally frequent tokens go by id, and tokens that never occur fill up", () => {
  const examples = texts([{ ids: [0, 0, 8, 3, 6], mask: [1, 1, 1, 1, 1] }]);
  const first = (size: number) => [...frequentTokens(examples, { size, vocabulary: 10 })];
  assert.deepEqual([first(1), first(2), first(3)], [[3], [3, 6], [3, 6, 8]]);
  assert.deepEqual(first(5), [0, 1, 3, 6, 8]);
  assert.deepEqual(first(10), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

Deno.test("ids of more than one digit rise as numbers, and none is chosen twice", () => {
  const from = random(1, "text"), ids = Array.from({ length: 400 }, () => from.integer(120));
  const chosen = frequentTokens(texts([{ ids, mask: ids.map(() => 1) }]), {
    size: 60,
    vocabulary: 120,
  });
  for (let i = 1; i < chosen.length; i++) assert.ok(chosen[i] > chosen[i - 1]);
  const count = (token: number) => ids.slice(2).filter((x) => x === token).length;
  const least = Math.min(...Array.from(chosen, count));
  for (let token = 0; token < 120; token++) {
    assert.ok(chosen.includes(token) || count(token) <= least, `token ${token} was passed over`);
  }
});

Deno.test("vocabularies that cannot be are refused", () => {
  for (const size of [0, -1, 1.5, NaN, 11]) {
    assert.throws(
      () => frequentTokens(texts([]), { size, vocabulary: 10 }),
      new RegExp(`Cannot choose ${size} of 10 tokens: wanted 1 to 10`),
    );
  }
});
