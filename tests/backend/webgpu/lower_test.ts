/** What becomes a dispatch: eight a layer while decoding, additions inside products, chains inside whoever reads them. */
import assert from "node:assert/strict";
import { lower } from "../../../lib/backend/webgpu/lower.ts";
import { silu } from "../../../lib/graph/composites.ts";
import type { Node } from "../../../lib/graph/node.ts";
import * as ops from "../../../lib/graph/ops.ts";
import { program } from "../../../lib/graph/program.ts";
import { targetProgram } from "../../../lib/model/llama.ts";
import { TINY } from "../../model/tiny.ts";

const names = (outputs: Record<string, Node>) =>
  lower(program(outputs), { bindings: 8 }).dispatches.map(({ name }) => name);

Deno.test("a decoder's layer is eight dispatches for a few rows", () => {
  const count = (layers: number) =>
    lower(targetProgram({ ...TINY, layers }, { rows: 8, capacity: 64 }), { bindings: 8 })
      .dispatches.length;
  assert.equal(count(3) - count(2), 8);
});

Deno.test("a product is added to what is known by then, not to what comes later or is read twice", () => {
  const x = ops.input("x", [16, 16]), w = ops.input("w", [16, 16]), y = ops.input("y", [16, 16]);
  assert.deepEqual(names({ s: ops.add(y, ops.matmul(x, w)) }), ["matmul"]);
  const product = ops.matmul(x, w);
  assert.deepEqual(names({ s: ops.add(y, product), product }), ["matmul", "pointwise"]);
  const two = ops.add(ops.matmul(x, w), ops.matmul(w, x));
  assert.deepEqual(names({ two }), ["matmul", "matmul"], "the second is added to the first");
  assert.deepEqual(names({ s: ops.sub(y, ops.matmul(x, w)) }), ["matmul", "pointwise"]);
});

Deno.test("a chain stands in the kernel that reads it; what several read is computed once", () => {
  const x = ops.input("x", [5, 7]), chain = silu(ops.mul(ops.transpose(x, [1, 0]), 3));
  assert.deepEqual(names({ total: ops.sum(chain, [0]) }), ["reduce"]);
  const both = { total: ops.sum(chain, [0]), largest: ops.reduce("max", chain, { axes: [0] }) };
  assert.deepEqual(names(both), ["pointwise", "reduce", "reduce"]);
});
