/** Index maps: which dimensions of two shapes belong together, and which movements are still strides. */
import assert from "node:assert/strict";
import * as ops from "../../../lib/graph/ops.ts";
import type { Node } from "../../../lib/graph/node.ts";
import { movement, regroup } from "../../../lib/backend/webgpu/movement.ts";
import { type Expression, loadAll, type Slot } from "../../../lib/backend/webgpu/writer.ts";

Deno.test("dimensions are grouped where both shapes hold the same elements", () => {
  const groups = (from: number[], to: number[]) =>
    regroup(from, to).map((g) => [from.slice(...g.from), to.slice(...g.to)]);
  assert.deepEqual(groups([6, 4], [2, 3, 4]), [[[6], [2, 3]], [[4], [4]]]);
  assert.deepEqual(groups([2, 3, 4], [6, 4]), [[[2, 3], [6]], [[4], [4]]]);
  assert.deepEqual(groups([4, 6], [8, 3]), [[[4, 6], [8, 3]]]);
});

const slot: Slot = { shape: [2, 3, 8], dtype: "f32", label: "x" };
const run = (build: (x: Node) => Node): Expression => {
  const chain: Node[] = [];
  for (let n = build(ops.input("x", slot.shape)); n.op !== "input"; n = n.inputs[0]) {
    chain.unshift(n);
  }
  return chain.reduce(
    (x, n) => movement[n.op as keyof typeof movement](n as never, [x]),
    loadAll(slot),
  );
};

Deno.test("transposed, sliced, split and repeated memory keeps strides; a merge that cannot has none", () => {
  assert.deepEqual(run((x) => ops.transpose(x, [1, 0, 2])).view, {
    ...{ slot, strides: [8, 24, 1], offset: 0 },
  });
  assert.deepEqual(run((x) => ops.sliceAxis(x, 2, { start: 4 })).view, {
    ...{ slot, strides: [24, 8, 1], offset: 4 },
  });
  const heads = run((x) => ops.transpose(ops.reshape(x, [2, 3, 2, 4]), [0, 2, 1, 3]));
  assert.deepEqual(heads.view?.strides, [24, 4, 8, 1]);
  assert.deepEqual(
    run((x) => ops.broadcast(ops.sliceAxis(x, 0, { end: 1 }), [5, 3, 8])).view?.strides,
    [0, 8, 1],
  );
  assert.equal(run((x) => ops.reshape(ops.transpose(x, [1, 0, 2]), [48])).view, undefined);
});
