/** Programs as files that stand alone: operators, names, weights inside, sizes. Drafts: tests/model/export_onnx_test.ts. */
import assert from "node:assert/strict";
import { embedModel } from "../../../lib/backend/onnx/export.ts";
import { referenceBackend } from "../../../lib/backend/reference.ts";
import { rmsNorm, rope, silu } from "../../../lib/graph/composites.ts";
import { type Node, sizeOf } from "../../../lib/graph/node.ts";
import { add, input, matmul } from "../../../lib/graph/ops.ts";
import { program } from "../../../lib/graph/program.ts";
import { random } from "../../../lib/random.ts";
import { assertClose } from "../../tolerance.ts";
import { mentions, openExported } from "./exported_models.ts";

function noise(name: string, shape: readonly number[]): Float32Array {
  const from = random(6, name);
  return Float32Array.from({ length: sizeOf(shape) }, () => from.normal());
}

const A = [2, 3, 5] as const;
/** Every op whose ONNX form differs between the standard and ONNX Runtime's own operators. */
const CASES: [string, Record<string, Node>, Node][] = (() => {
  const a = input("a", A), b = input("b", [2, 5, 4]), w = input("w", [5]);
  const x = input("x", [1, 2, 3, 8]), cos = input("cos", [3, 4]), sin = input("sin", [3, 4]);
  const aT = input("aT", [2, 5, 3]), bT = input("bT", [2, 4, 5]);
  return [
    ["matmul", { a, b }, matmul(a, b)],
    ["matmul, right transposed and scaled", { a, bT }, matmul(a, bT, { transB: true, alpha: 0.3 })],
    ["matmul, both transposed", { aT, bT }, matmul(aT, bT, { transA: true, transB: true })],
    ["silu", { a }, silu(a)],
    ["rmsNorm", { a, w }, rmsNorm(a, w, { epsilon: 1e-5 })],
    ["rope", { x, cos, sin }, rope(x, cos, sin)],
  ];
})();

for (const [name, inputs, y] of CASES) {
  for (const fused of [false, true]) {
    Deno.test(`${name}, ${fused ? "fused" : "standard"}: as defined, in another's hands`, async () => {
      const whole = program({ y }), given = Object.entries(inputs);
      const data = Object.fromEntries(given.map(([n, x]) => [n, noise(n, x.shape)]));
      const { bytes } = embedModel(whole, { weights: {}, fused });
      if (!fused) assert.ok(!mentions(bytes, "com.microsoft"), "an operator of com.microsoft");
      assert.ok(fused || !mentions(bytes, "SimplifiedLayerNormalization"));
      await using model = await openExported(bytes);
      const feeds = given.map(([n, x]) => [n, { data: data[n], shape: x.shape }]);
      const found = await model.run(Object.fromEntries(feeds));
      const backend = referenceBackend();
      using run = await backend.compile(whole);
      const wanted = await run.run(
        Object.fromEntries(given.map(([n, x]) => [n, backend.tensor(data[n], x.shape)])),
      );
      assertClose(found.y, wanted.y.host!, { what: name, shape: y.shape, a: 1e-5 });
    });
  }
}

Deno.test("weights are inside, equal ones once, names are the reader's", async () => {
  const x = input("x", [1, 4]), v = input("layer.v", [4, 4]), w = input("layer.w", [4, 4]);
  const state = input("state.0", [1, 4]);
  const whole = program(
    { y: add(matmul(x, v), matmul(x, w)) },
    { updates: { "state.0": add(state, x) } },
  );
  const matrix = noise("w", [4, 4]),
    bytesOf = (half: boolean, other = matrix) =>
      embedModel(whole, {
        weights: { "layer.v": matrix, "layer.w": other },
        names: { "state.0": "state", "new:state.0": "next" },
        half,
      });
  const { bytes, inputs, outputs } = bytesOf(false);
  assert.deepEqual(inputs.map((i) => i.name).toSorted(), ["state", "x"]);
  assert.deepEqual(outputs.map((o) => o.name), ["y", "next"]);
  assert.equal(bytesOf(false, matrix.slice()).bytes.length > bytes.length + 60, true);
  await using model = await openExported(bytes);
  assert.deepEqual([...model.inputs].toSorted(), ["state", "x"]);
  const data = Float32Array.of(1, 2, 3, 4), ones = new Float32Array(4).fill(1);
  const feeds = { x: { data, shape: [1, 4] }, state: { data: ones, shape: [1, 4] } };
  const found = await model.run(feeds);
  const times = (m: ArrayLike<number>) =>
    [0, 1, 2, 3].map((j) => 2 * data.reduce((sum, d, i) => sum + d * m[4 * i + j], 0));
  assertClose(found.y, times(matrix), { what: "y", shape: [4], a: 1e-5 });
  assert.deepEqual([...Array.from(found.next)], [2, 3, 4, 5]);

  await using small = await openExported(bytesOf(true).bytes);
  const rounded = await small.run(feeds);
  assertClose(rounded.y, times(new Float16Array(matrix) as ArrayLike<number>), {
    what: "y from f16",
    shape: [4],
    a: 1e-5,
  });
});

Deno.test("weights of another size, and more than a file can hold, are refused", () => {
  const x = input("x", [1, 4]), w = input("w", [4, 4]);
  assert.throws(
    () => embedModel(program({ y: matmul(x, w) }), { weights: { w: new Float32Array(12) } }),
    /Cannot embed w \[4,4\]: found 12 values, wanted 16/,
  );
  const wide = input("wide", [2 ** 15, 2 ** 14]), long = input("long", [1, 2 ** 15]);
  // Says that it is 2 GiB without being it.
  const claimed = Object.defineProperty(new Float32Array(0), "byteLength", { value: 2 ** 31 });
  assert.throws(
    () => embedModel(program({ y: matmul(long, wide) }), { weights: { wide: claimed } }),
    /Cannot write an ONNX model of 2.00 GiB: wanted less than 2 GiB.*f16 take half/,
  );
});
