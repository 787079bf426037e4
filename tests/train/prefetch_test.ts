/** Tests lib/train/prefetch.ts: order, one item ahead and no more, errors in their turn, an early end. */
import assert from "node:assert/strict";
import { prefetch } from "../../lib/train/prefetch.ts";

Deno.test("items come in order, the next begun before one is handed out, and no more", async () => {
  const begun: number[] = [], seen: number[][] = [];
  const load = (n: number) => {
    begun.push(n);
    return Promise.resolve(10 * n);
  };
  for await (const { item, loaded } of prefetch([1, 2, 3], load)) {
    seen.push([item, loaded, begun.length]);
  }
  assert.deepEqual(seen, [[1, 10, 2], [2, 20, 3], [3, 30, 3]]);
  for await (const _ of prefetch([], load)) assert.fail();
});

Deno.test("an error is thrown in its item's turn", async () => {
  const seen: number[] = [];
  const load = (n: number) => n === 2 ? Promise.reject(new Error("no second")) : Promise.resolve(n);
  await assert.rejects(async () => {
    for await (const { item } of prefetch([1, 2, 3], load)) {
      await new Promise((done) => setTimeout(done, 5)); // an unhandled rejection would end the test here
      seen.push(item);
    }
  }, /no second/);
  assert.deepEqual(seen, [1]);
});

Deno.test("who stops early waits for the load in work", async () => {
  let inWork = 0;
  const load = async (n: number) => {
    inWork++;
    await new Promise((done) => setTimeout(done, 5));
    inWork--;
    return n;
  };
  for await (const { item } of prefetch([1, 2, 3], load)) if (item === 1) break;
  assert.equal(inWork, 0);
});
