/** A Program as a part of another: what is replaced, what stays an input, what is refused. */
import assert from "node:assert/strict";
import { inline } from "../../lib/graph/inline.ts";
import { add, input, mul } from "../../lib/graph/ops.ts";
import { program } from "../../lib/graph/program.ts";
import { evaluator } from "./evaluate.ts";

const step = () => {
  const x = input("x", [2]), w = input("w", [2]), state = input("state", [2]);
  return program({ y: mul(x, w) }, { updates: { state: add(state, x) } });
};

Deno.test("two steps in one: the second reads what the first made", async () => {
  const first = inline(step(), {});
  const second = inline(step(), { x: first.outputs.y, state: first.updates.state });
  const run = await evaluator({ y: second.outputs.y, state: second.updates.state });
  const { y, state } = await run({
    x: Float64Array.of(1, 2),
    w: Float64Array.of(3, 5),
    state: Float64Array.of(100, 200),
  });
  assert.deepEqual([...y], [9, 50]);
  assert.deepEqual([...state], [100 + 1 + 3, 200 + 2 + 10]);
});

Deno.test("an input that is not there, or is another, is refused", () => {
  assert.throws(() => inline(step(), { z: input("z", [2]) }), /input z .* no input has that name/);
  assert.throws(() => inline(step(), { x: input("z", [3]) }), /wanted f32 \[2\]/);
  assert.throws(() => inline(step(), { x: input("z", [2], "i32") }), /wanted f32 \[2\]/);
});
