/** What becomes a dispatch: eight a layer while decoding, additions inside products, chains inside whoever reads them. */
import assert from "node:assert/strict";
import { lower } from "../../../lib/backend/webgpu/lower.ts";
import { printShaders } from "../../../lib/backend/webgpu/print.ts";
import { halfMatmul, silu } from "../../../lib/graph/composites.ts";
import type { Node } from "../../../lib/graph/node.ts";
import * as ops from "../../../lib/graph/ops.ts";
import { program } from "../../../lib/graph/program.ts";
import { targetProgram } from "../../../lib/model/llama.ts";
import { TINY } from "../../model/tiny.ts";

const names = (outputs: Record<string, Node>) =>
  lower(program(outputs), { bindings: 8 }).dispatches.map(({ name }) => name);

Deno.test("a decoder's layer is eight dispatches for a few rows", () => {
  const count = (layers: number) =>
    lower(targetProgram({ ...TINY, layers }, { rows: 8, capacity: 64 }), { bindings: 16 })
      .dispatches.length;
  assert.equal(count(3) - count(2), 8);
});

Deno.test("no shader of a decoder binds more slots than the adapter allows", () => {
  for (const bindings of [8, 9, 16]) {
    const { dispatches } = lower(targetProgram(TINY, { rows: 8, capacity: 64 }), { bindings });
    assert.ok(dispatches.every((d) => d.bindings.length <= bindings), `${bindings}`);
    const attended = dispatches.filter(({ name }) => name === "tree_attention").length;
    assert.equal(attended, bindings >= 9 ? TINY.layers : 0);
  }
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

Deno.test("a matrix in f16 is read in vectors, by rows and by columns, through movements too", () => {
  const w = ops.input("w", [16, 8], "f16");
  const products = {
    rows: halfMatmul(ops.input("x", [16, 8]), w),
    columns: halfMatmul(ops.input("x", [16, 16]), w, { transB: false }),
    few: halfMatmul(ops.input("x", [2, 8]), ops.slice(w, [4, 0], [16, 8])),
  };
  for (const [what, product] of Object.entries(products)) {
    const [{ wgsl }, ...more] = printShaders(program({ y: product }));
    assert.deepEqual(more, [], what);
    assert.match(wgsl, /array<vec2u>; \/\/ w/, what);
  }
});

Deno.test("f32 made of f16 is memory of its own, whatever is done with its shape", () => {
  const wide = ops.cast(ops.input("w", [4, 6], "f16"), "f32");
  const y = ops.reshape(ops.transpose(ops.sliceAxis(wide, 1, { start: 2 }), [1, 0]), [2, 8]);
  const { dispatches, outputs } = lower(program({ wide, y }), { bindings: 8 });
  assert.deepEqual(Object.values(outputs).map(({ dtype }) => dtype), ["f32", "f32"]);
  assert.equal(dispatches.length, 2);
});

Deno.test("a program is printed as the shaders that would run it", () => {
  const x = ops.input("x", [16, 8]), w = ops.input("w", [8, 4]);
  const [one, ...more] = printShaders(program({ y: ops.matmul(x, w) }));
  assert.deepEqual(more, []);
  assert.equal(one.kernel, "matmul");
  assert.equal(one.workgroups, 1);
  assert.equal(one.binds, "matmul [16,4]*, x [16,8], w [8,4]");
  assert.match(one.wgsl, /const M = 16u;[\s\S]*@compute/);
});
