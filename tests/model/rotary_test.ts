/** Rotary tables: angles by the formula, and what makes them useful, that scores see distances only. */
import assert from "node:assert/strict";
import { rope } from "../../lib/graph/composites.ts";
import type { Node } from "../../lib/graph/node.ts";
import { constant, matmul } from "../../lib/graph/ops.ts";
import { rotaryTables } from "../../lib/model/rotary.ts";
import { valueOf } from "../graph/evaluate.ts";
import { assertClose } from "../tolerance.ts";

const data = (n: Node) => (n as Node<"constant">).attrs.data;

Deno.test("tables hold the angles t theta^(-2i/K), rounded once", () => {
  const { cos, sin } = rotaryTables(300, { headSize: 6, ropeTheta: 500 });
  assert.deepEqual([cos.shape, sin.shape], [[300, 3], [300, 3]]);
  for (const t of [0, 1, 7, 299]) {
    for (let i = 0; i < 3; i++) {
      const angle = t / 500 ** (2 * i / 6);
      assertClose(
        [data(cos)[t * 3 + i], data(sin)[t * 3 + i]],
        [Math.cos(angle), Math.sin(angle)],
        {
          what: `row ${t}, pair ${i}`,
          shape: [2],
          a: 1e-7,
        },
      );
    }
  }
  assert.deepEqual([...data(cos).subarray(0, 3), ...data(sin).subarray(0, 3)], [1, 1, 1, 0, 0, 0]);
});

Deno.test("products of rows rotated by the tables depend on their distance only", async () => {
  const { cos, sin } = rotaryTables(128, { headSize: 4, ropeTheta: 10000 });
  const all = (row: number[]) =>
    constant(Float32Array.from({ length: 128 * 4 }, (_, i) => row[i % 4]), [128, 4]);
  const q = rope(all([0.3, -1, 2, 0.7]), cos, sin), k = rope(all([1, 0.2, -0.4, 1.5]), cos, sin);
  const scores = await valueOf(matmul(q, k, { transB: true }));
  const score = (at: number, to: number) => scores[at * 128 + to];
  assert.ok(Math.abs(score(9, 4) - score(105, 100)) < 1e-6);
  assert.ok(Math.abs(score(9, 4) - score(9, 6)) > 0.1);
});
