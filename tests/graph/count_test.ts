/** Operations and bytes of a program, against hand counts. */
import assert from "node:assert/strict";
import { bytesOfValue, countFlops } from "../../lib/graph/count.ts";
import { quantizedMatmul, streamAttention } from "../../lib/graph/composites.ts";
import { pullback } from "../../lib/graph/gradients.ts";
import { input, matmul, neg } from "../../lib/graph/ops.ts";
import { program } from "../../lib/graph/program.ts";
import { targetProgram } from "../../lib/model/llama.ts";
import { TINY } from "../model/tiny.ts";

Deno.test("products count twice their sizes, whatever is transposed; other ops nothing", () => {
  const a = input("a", [2, 3, 5]), b = input("b", [2, 7, 5]), c = input("c", [2, 5, 3]);
  const nt = matmul(a, b, { transB: true }), tt = matmul(c, b, { transA: true, transB: true });
  assert.equal(countFlops(program({ y: neg(nt) })), 2 * 2 * 3 * 5 * 7);
  assert.equal(countFlops(program({ nt, tt })), 2 * 2 * (2 * 3 * 5 * 7));
  const packed = input("w", [9, 2, 16], "u8"), scales = input("s", [9, 2]);
  const y = quantizedMatmul(input("x", [4, 32]), packed, scales);
  assert.equal(countFlops(program({ y })), 2 * 4 * 32 * 9);
  assert.equal(bytesOfValue(packed), 9 * 32);
  assert.equal(bytesOfValue(scales), 4 * 18);
});

Deno.test("attention over streams counts stream 0, and its gradient twice as much", () => {
  const rows = [2, 4, 5, 8], few = [2, 2, 5, 8], q = input("q", rows);
  const keys = [input("k0", few), input("k1", few)], values = [input("v0", few), input("v1", few)];
  const y = streamAttention({ q, keys, values }, { gap: 1, backs: [0] });
  const [dq] = pullback([y], [input("dy", y.shape)], { wrt: [q] });
  const forward = 2 * 2 * (2 * 4 * 5 * 5 * 8);
  assert.equal(countFlops(program({ y })), forward);
  assert.equal(countFlops(program({ dq: dq! })), 3 * forward);
});

Deno.test("a target's row is two operations a weight, and attention over its capacity", () => {
  const { width: d, inner, heads, kvHeads, headSize: k, vocabulary, layers } = TINY, capacity = 32;
  const weights = layers * (d * (heads + 2 * kvHeads) * k + heads * k * d + 3 * d * inner) +
    vocabulary * d;
  const attention = layers * 4 * heads * capacity * k;
  const found = countFlops(targetProgram(TINY, { rows: 1, capacity }));
  assert.equal(found, 2 * weights + attention);
});
