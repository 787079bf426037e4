/** Tests lib/bench/timing.ts: order of runs, medians, the uncounted first run. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { median, timeInTurn } from "../../lib/bench/timing.ts";

Deno.test("median of odd and even counts", () => {
  equal(median([3, 1, 2]), 2);
  equal(median([4, 1, 2, 3]), 2.5);
});

Deno.test("candidates run in turn, the first run of each is not counted", async () => {
  const order: string[] = [];
  const candidate = (name: string) => ({ name, run: () => Promise.resolve(order.push(name)) });
  const timings = await timeInTurn([candidate("a"), candidate("b")], { rounds: 2 });
  deepEqual(order, ["a", "b", "a", "b", "a", "b"]);
  deepEqual(timings.map((t) => [t.name, t.runs]), [["a", 2], ["b", 2]]);
  ok(timings.every((t) => t.minimum >= 0 && t.median >= t.minimum));
});
