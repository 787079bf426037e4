/**
 * Shapes, element types and error messages of the primitive constructors. What they compute is tested in
 * `tests/backend/reference_test.ts`.
 */
import assert from "node:assert/strict";
import * as ops from "../../lib/graph/ops.ts";
import { broadcastShapes, type Node, type Shape } from "../../lib/graph/node.ts";

const x = (...shape: number[]) => ops.input("x", shape);
const ids = (...shape: number[]) => ops.input("ids", shape, "i32");
const half = (...shape: number[]) => ops.input("half", shape, "f16");
const choice = ops.compare("lt", x(2, 1), 0);

const shapes: [string, () => Node, Shape, string?][] = [
  ["fill", () => ops.fill(3), []],
  ["constant of bytes", () => ops.constant(Uint8Array.of(1, 2), [2, 1]), [2, 1], "u8"],
  ["constant of integers", () => ops.constant(Int32Array.of(1, 2), [2]), [2], "i32"],
  ["unary", () => ops.tanh(x(3, 1)), [3, 1]],
  ["binary with a number", () => ops.sub(1, x(3, 2)), [3, 2]],
  ["binary of integers", () => ops.max(ids(3), 0), [3], "i32"],
  ["binary that broadcasts both sides", () => ops.mul(x(2, 1, 5), x(3, 1)), [2, 3, 5]],
  ["compare", () => ops.compare("ge", ids(4), 0), [4], "bool"],
  ["where", () => ops.where(choice, x(2, 5), 0), [2, 5]],
  ["where of integers", () => ops.where(choice, 1, ids(5)), [2, 5], "i32"],
  ["cast", () => ops.cast(choice, "f32"), [2, 1]],
  ["constant of bits", () => ops.constant(Uint16Array.of(1, 2), [2]), [2], "f16"],
  ["gather of f16", () => ops.gather(half(9, 4), ids(2)), [2, 4], "f16"],
  ["slice of f16", () => ops.slice(half(4, 5), [1, 0], [2, 5]), [1, 5], "f16"],
  ["cast of f16", () => ops.cast(half(4, 5), "f32"), [4, 5]],
  ["reduce from the end", () => ops.reduce("mean", x(2, 3, 4), { axes: [-1, 0] }), [3]],
  ["reduce that keeps", () => ops.sum(x(2, 3), [1, 1], { keep: true }), [2, 1]],
  ["sum of everything", () => ops.sum(x(2, 3)), []],
  ["reshape", () => ops.reshape(x(2, 3, 4), [-1, 6]), [4, 6]],
  ["transpose", () => ops.transpose(x(2, 3, 4), [2, 0, 1]), [4, 2, 3]],
  ["broadcast", () => ops.broadcast(x(3, 1), [2, 3, 4]), [2, 3, 4]],
  ["slice", () => ops.slice(x(4, 5), [1, 0], [2, 5]), [1, 5]],
  ["sliceAxis", () => ops.sliceAxis(x(4, 5), -1, { start: 3 }), [4, 2]],
  ["pad", () => ops.pad(x(4, 5), [0, 1], [2, 0]), [6, 6]],
  ["concat", () => ops.concat([x(2, 3), x(2, 1)], -1), [2, 4]],
  ["matmul", () => ops.matmul(x(7, 2, 3), x(7, 3, 5)), [7, 2, 5]],
  ["matmul, both turned", () => ops.matmul(x(3, 2), x(5, 3), { transA: true, transB: true }), [
    2,
    5,
  ]],
  ["gather", () => ops.gather(x(9, 4), ids(2, 3)), [2, 3, 4]],
  ["takeAlong", () => ops.takeAlong(x(2, 9), ids(2, 3)), [2, 3]],
  ["scatterAdd", () => ops.scatterAdd(ids(2, 3), x(2, 3, 4), 9), [9, 4]],
  ["topK", () => ops.topK(x(2, 9), 4), [2, 4], "i32"],
];

for (const [name, build, shape, dtype = "f32"] of shapes) {
  Deno.test(`shape of ${name}`, () => {
    const node = build();
    assert.deepEqual([...node.shape], shape);
    assert.equal(node.dtype, dtype);
  });
}

const refusals: [() => unknown, string][] = [
  [
    () => ops.input("w", [2, 0]),
    "Cannot declare input w [2,0]: every size must be a positive integer",
  ],
  [
    () => ops.constant(Float32Array.of(1, 2, 3), [2]),
    "Cannot make a constant [2] from 3 values: wanted 2",
  ],
  [() => ops.exp(ids(2)), "Cannot apply exp to i32: wanted f32"],
  [
    () => ops.add(x(2), ids(2)),
    "Cannot add f32 and i32: wanted the same type on both sides, f32 or i32",
  ],
  [() => ops.add(x(2, 3), x(4)), "Cannot add [2,3] and [4]: sizes 3 and 4 differ and neither is 1"],
  [
    () => ops.compare("lt", x(3), x(2)),
    "Cannot compare [3] and [2]: sizes 3 and 2 differ and neither is 1",
  ],
  [() => ops.compare("eq", x(3), ids(3)), "Cannot compare f32 with i32"],
  [() => ops.where(x(2), 1, 0), "Cannot choose by a condition of type f32: wanted bool"],
  [() => ops.where(choice, x(2, 1), ids(2, 1)), "Cannot choose between f32 and i32"],
  [() => ops.sum(x(2), [1]), "Cannot reduce axis 1 of a value with 1 dimensions"],
  [() => ops.sum(ids(2)), "Cannot reduce i32: wanted f32"],
  [() => ops.reshape(x(2, 3), [4]), "Cannot reshape [2,3] to [4]: 6 elements against 4"],
  [() => ops.reshape(x(2, 3), [4, -1]), "Cannot reshape [2,3] to [4,-1]: 6 elements against 4"],
  [
    () => ops.transpose(x(2, 3), [0, 0]),
    "Cannot transpose [2,3] by [0,0]: wanted each of its dimensions once",
  ],
  [() => ops.broadcast(x(2, 3), [3]), "Cannot broadcast [2,3] to [3]"],
  [() => ops.broadcast(x(2, 3), [1, 3]), "Cannot broadcast [2,3] to [1,3]"],
  [() => ops.slice(x(4), [2], [2]), "Cannot slice [4] from [2] to [2]"],
  [() => ops.slice(x(4), [0], [5]), "Cannot slice [4] from [0] to [5]"],
  [() => ops.pad(x(4), [1], [-1]), "Cannot pad [4] by [1] and [-1]"],
  [() => ops.concat([], 0), "Cannot concatenate nothing: wanted at least one value"],
  [() => ops.concat([x(2, 3), x(3, 2)], 0), "Cannot concatenate [2,3] and [3,2] along axis 0"],
  [
    () => ops.matmul(x(3, 4), x(5, 6)),
    "Cannot multiply [3,4] by [5,6]: inner sizes are 4 and 5",
  ],
  [
    () => ops.matmul(x(3, 4), x(5, 3), { transA: true }),
    "Cannot multiply [3,4] transposed by [5,3]: inner sizes are 3 and 5",
  ],
  [
    () => ops.matmul(x(2, 3, 4), x(4, 5)),
    "Cannot multiply [2,3,4] by [4,5]: wanted equal leading dimensions and at least two",
  ],
  [() => ops.gather(x(3, 4), x(2)), "Cannot gather by ids of type f32: wanted i32"],
  [
    () => ops.takeAlong(x(3, 4), ids(2, 1)),
    "Cannot take from [3,4] by ids [2,1] of type i32 along axis 1: wanted i32 and equal sizes elsewhere",
  ],
  [() => ops.scatterAdd(ids(2), x(3, 4), 9), "Cannot scatter [3,4] by ids [2] of type i32"],
  [() => ops.topK(x(2, 3), 4), "Cannot take the top 4 of [2,3]: wanted 1 to 3"],
  [
    () => ops.transpose(half(2, 3), [1, 0]),
    "Cannot apply transpose to f16 [2,3]: f16 is storage, wanted one of cast, gather, slice, halfMatmul",
  ],
  [
    () => ops.matmul(x(1, 2), half(2, 3)),
    "Cannot apply matmul to f16 [2,3]: f16 is storage, wanted one of cast, gather, slice, halfMatmul",
  ],
  [
    () => ops.mul(half(2), half(2)),
    "Cannot mul f16 and f16: wanted the same type on both sides, f32 or i32",
  ],
  [() => ops.compare("lt", half(2), 0), "Cannot compare f16 with f32"],
  [() => ops.neg(half(2)), "Cannot apply neg to f16: wanted f32"],
  [() => ops.fill(0, [2], "f16"), "Cannot fill f16: it is storage, wanted another type"],
  [() => ops.cast(half(2), "i32"), "Cannot cast f16 to i32: f16 is storage, wanted f16 to f32"],
  [() => ops.cast(x(2), "f16"), "Cannot cast f32 to f16: f16 is storage, wanted f16 to f32"],
  [() => ops.pick(x(2), 0), "Cannot pick result 0 of input: it has 1"],
];

for (const [build, message] of refusals) {
  Deno.test(`refused: ${message}`, () => {
    assert.throws(build, { message });
  });
}

Deno.test("ops that change nothing make no node", () => {
  const a = x(2, 3);
  assert.equal(ops.reshape(a, [2, -1]), a);
  assert.equal(ops.transpose(a, [0, 1]), a);
  assert.equal(ops.broadcast(a, [2, 3]), a);
  assert.equal(ops.sliceAxis(a, 1), a);
  assert.equal(ops.pad(a, [0, 0], [0, 0]), a);
  assert.equal(ops.concat([a], 0), a);
  assert.equal(ops.cast(a, "f32"), a);
});

Deno.test("broadcastShapes follows NumPy from the last dimension", () => {
  assert.deepEqual(broadcastShapes([], [], "add"), []);
  assert.deepEqual(broadcastShapes([], [2, 3], "add"), [2, 3]);
  assert.deepEqual(broadcastShapes([4, 1, 3], [2, 1], "add"), [4, 2, 3]);
});

Deno.test("filledWith finds the number of a fill only", () => {
  assert.equal(ops.filledWith(ops.fill(3, [2])), 3);
  assert.equal(ops.filledWith(x(2)), undefined);
});
