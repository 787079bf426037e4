/** Chosen elements of rows by hand: ties, zeros, the ends of a row, and how often each is drawn. */
import assert from "node:assert/strict";
import { draw, processLogits } from "../../lib/decode/sample.ts";
import {
  argmaxRows,
  expand,
  processRows,
  type RowSampling,
  sampleRows,
} from "../../lib/graph/composites.ts";
import type { Node } from "../../lib/graph/node.ts";
import * as ops from "../../lib/graph/ops.ts";
import { evaluator, valueOf, values } from "./evaluate.ts";

const rows = (...numbers: number[][]) =>
  ops.constant(Float32Array.from(numbers.flat()), [numbers.length, numbers[0].length]);
const row = (...numbers: number[]) => ops.constant(Float32Array.from(numbers), [numbers.length]);
const assertIndices = async (x: Node, wanted: number[]) => {
  assert.equal(x.dtype, "i32");
  assert.deepEqual(await valueOf(x), wanted);
};

Deno.test("argmaxRows: of equal elements the lowest index", async () => {
  const x = rows([0, 3, 1, 3], [-5, -2, -9, -2], [1, 1, 1, 1], [-3e38, -3e38, 0, 9]);
  await assertIndices(argmaxRows(x), [1, 1, 0, 3]);
});

Deno.test("sampleRows: the sum must exceed the target, and zeros are never drawn", async () => {
  const p = [0, 2, 0, 1, 1, 0];
  const drawn = async (u: number[]) =>
    await valueOf(sampleRows(rows(...u.map(() => p)), row(...u)));
  assert.deepEqual(await drawn([0, 0.25, 0.5, 0.74, 0.75, 0.99]), [1, 1, 3, 3, 4, 4]);
  // Beyond the range: the last of positive probability, where no sum exceeds the target.
  assert.deepEqual(await drawn([1, 2]), [4, 4]);
  await assertIndices(sampleRows(rows([0, 0, 0]), row(0.5)), [0]);
  await assertIndices(sampleRows(rows([3]), row(0.999)), [0]);
});

Deno.test("sampleRows draws each index as often as its probability says", async () => {
  const p = [0.125, 0, 0.5, 0.25, 0.0625, 0.0625], count = 64;
  const u = ops.input("u", [count]);
  const run = await evaluator({ i: sampleRows(rows(...Array(count).fill(p)), u) });
  const { i } = await run({ u: Float64Array.from({ length: count }, (_, n) => n / count) });
  assert.deepEqual(p.map((_, v) => i.filter((x) => x === v).length), p.map((x) => count * x));
});

Deno.test("sampleRows of a vocabulary needs triangles of its root only", () => {
  const [drawn] = expand(sampleRows(ops.input("p", [2, 128256]), ops.input("u", [2])));
  const seen = new Set<Node>(), sizes: number[] = [];
  const visit = (n: Node) => {
    if (seen.has(n)) return;
    seen.add(n);
    if (n.op === "constant") sizes.push(n.shape.reduce((a, b) => a * b, 1));
    n.inputs.forEach(visit);
  };
  visit(drawn);
  assert.ok(Math.max(...sizes) < 2 * 128256, `${sizes}`);
});

Deno.test("processRows and sampleRows draw what the host draws by the same numbers", async () => {
  const n = 40, v = 33, logits = values([n, v], "logits", { size: 6 }), u = ops.input("u", [n]);
  const settings: RowSampling[] = [
    { temperature: 1 },
    { temperature: 0.5, topK: 7 },
    { temperature: 2, topK: 12, topP: 0.7 },
    { temperature: 1, topK: 100, topP: 0.3 },
    { temperature: 1.5, topK: 1, topP: 0.9 },
  ];
  for (const setting of settings) {
    const x = ops.input("x", [n, v]), p = processRows(x, setting);
    const run = await evaluator({ i: sampleRows(p, u), p });
    const uniforms = Float64Array.from({ length: n }, (_, i) => ((i * 37) % n + 0.3) / n);
    const found = await run({ x: logits, u: uniforms });
    for (let r = 0; r < n; r++) {
      const wanted = new Float64Array(v);
      processLogits(logits.subarray(r * v, (r + 1) * v), { topK: 0, topP: 1, ...setting }, wanted);
      const own = found.p.subarray(r * v, (r + 1) * v), total = own.reduce((a, b) => a + b);
      own.forEach((value, i) => assert.ok(Math.abs(value / total - wanted[i]) < 1e-12, `${i}`));
      assert.equal(found.i[r], draw(wanted, uniforms[r]), JSON.stringify(setting));
    }
  }
});

Deno.test("rows to choose from: what does not fit is refused", () => {
  const f32 = (...shape: number[]) => ops.input("x", shape);
  assert.throws(() => argmaxRows(f32(3)), {
    message: "Cannot take the largest of rows of f32 [3]: wanted f32 [N,V]",
  });
  assert.throws(() => argmaxRows(ops.input("x", [2, 3], "i32")), /rows of i32 \[2,3\]: wanted f32/);
  assert.throws(() => sampleRows(f32(2, 3), f32(3)), {
    message: "Cannot draw from rows of f32 [2,3] by f32 [3]: wanted f32 [N,V] and f32 [N]",
  });
  assert.throws(() => processRows(f32(2, 3), { temperature: 0 }), {
    message:
      "Cannot process rows at temperature 0, top-k 0, top-p 1: wanted a temperature above 0, " +
      "a whole k, and p above 0 and at most 1",
  });
  assert.throws(() => processRows(f32(2, 3), { temperature: 1, topP: 0.9 }), {
    message:
      "Cannot process rows of 3 with top-p 0.9 alone: wanted top-k too, whose tokens are all that is sorted",
  });
  assert.throws(() => sampleRows(f32(1, 2 ** 24 + 1), f32(1)), /Cannot draw from rows/);
});
