/** A program as ONNX operators: what composites become, and that operators which no result needs are left out. */
import assert from "node:assert/strict";
import { lower } from "../../../lib/backend/onnx/lower.ts";
import { argmaxRows, streamAttention } from "../../../lib/graph/composites.ts";
import { pullback } from "../../../lib/graph/gradients.ts";
import { input } from "../../../lib/graph/ops.ts";
import { type Program, program } from "../../../lib/graph/program.ts";

function operators(p: Program): Record<string, number> {
  const count: Record<string, number> = {};
  for (const { op } of lower(p).model.nodes) count[op] = (count[op] ?? 0) + 1;
  return count;
}

Deno.test("attention over streams shares one softmax with its gradient, and takes no logarithm", () => {
  const rows = [1, 2, 5, 4], q = input("q", rows);
  const keys = [input("k0", rows), input("k1", rows)];
  const values = [input("v0", rows), input("v1", rows)];
  const y = streamAttention({ q, keys, values }, { gap: 1, backs: [0] });
  const wrt = [q, ...keys, ...values], dy = input("dy", y.shape);
  const slopes = pullback([y], [dy], { wrt }).map((g, i) => [`g${i}`, g!]);
  const found = operators(program({ y, ...Object.fromEntries(slopes) }));
  assert.equal(found.Softmax, 1);
  assert.equal(found.FusedMatMul, 6);
  assert.equal(found.Log, undefined);
  assert.equal(found.Exp, undefined);
});

Deno.test("the largest of rows is ArgMax, as i32", () => {
  const found = operators(program({ y: argmaxRows(input("x", [2, 3])) }));
  assert.equal(found.ArgMax, 1);
  assert.equal(found.Cast, 1);
  assert.equal(found.TopK, undefined);
});
