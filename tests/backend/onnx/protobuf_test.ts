/**
 * The model writer: its bytes where they can be written down by hand, and otherwise what ONNX Runtime reads
 * in them. Each kind of attribute decides a result here, so that a wrong field number cannot pass.
 */
import assert from "node:assert/strict";
import { encodeModel, type OnnxAttribute } from "../../../lib/backend/onnx/protobuf.ts";
import { f32, type OneOp, runOnce } from "./small_models.ts";

const hex = (bytes: Uint8Array) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join(" ");

Deno.test("an empty model is these bytes", () => {
  const found = encodeModel({ nodes: [], initializers: [], inputs: [], outputs: [] });
  const ir = "08 0a", graph = "3a 09 12 07 70 72 6f 67 72 61 6d";
  const opset = "42 04 0a 00 10 15";
  const microsoft = `42 11 0a 0d ${hex(new TextEncoder().encode("com.microsoft"))} 10 01`;
  assert.equal(hex(found), [ir, graph, opset, microsoft].join(" "));
});

Deno.test("a negative attribute takes ten bytes of two's complement", () => {
  const node = { op: "X", domain: "", inputs: [], outputs: [], attributes: { k: { int: -2 } } };
  const found = hex(encodeModel({ nodes: [node], initializers: [], inputs: [], outputs: [] }));
  assert.match(found, /0a 01 6b 18 fe ff ff ff ff ff ff ff ff 01 a0 01 02/);
});

Deno.test("a weight without data costs a name, not its size", () => {
  const weight = { name: "w", type: "f32", shape: [512, 4096] } as const;
  const model = { nodes: [], inputs: [], outputs: [] };
  const without = encodeModel({ ...model, initializers: [weight] });
  const data = new Float32Array(512 * 4096);
  const inside = encodeModel({ ...model, initializers: [{ ...weight, data }] });
  assert.ok(without.length < 128, `found ${without.length} bytes`);
  assert.ok(inside.length > data.byteLength, `found ${inside.length} bytes`);
});

/** Operator, attributes, input, result: one line for each kind of attribute. */
const ATTRIBUTES: [
  string,
  Record<string, OnnxAttribute>,
  OneOp["inputs"],
  OneOp["output"],
  number[],
][] = [
  ["Concat", { axis: { int: -1 } }, [f32([2, 1], 1, 2), f32([2, 1], 3, 4)], {
    shape: [2, 2],
    type: "f32",
  }, [1, 3, 2, 4]],
  ["LeakyRelu", { alpha: { float: 0.25 } }, [f32([3], -4, 0, 4)], { shape: [3], type: "f32" }, [
    -1,
    0,
    4,
  ]],
  ["Transpose", { perm: { ints: [2, 0, 1] } }, [f32([1, 2, 3], 1, 2, 3, 4, 5, 6)], {
    shape: [3, 1, 2],
    type: "f32",
  }, [1, 4, 2, 5, 3, 6]],
  [
    "ScatterND",
    { reduction: { string: "add" } },
    [f32([2], 1, 2), {
      data: BigInt64Array.of(1n),
      shape: [1, 1],
      type: "i64",
    }, f32([1], 10)],
    { shape: [2], type: "f32" },
    [1, 12],
  ],
];

for (const [op, attributes, inputs, output, wanted] of ATTRIBUTES) {
  Deno.test(`${op} reads its attribute ${Object.keys(attributes)[0]}`, async () => {
    const found = await runOnce({ op, attributes, inputs, output }, "ffi");
    assert.deepEqual([...found as Float32Array], wanted);
  });
}

Deno.test("an initialiser may be a view into larger memory", async () => {
  const memory = Float32Array.from({ length: 2000 + 7 }, (_, i) => i);
  const n = 2000, view = memory.subarray(7);
  const x: OneOp = {
    op: "Add",
    inputs: [{ data: new Float32Array(n).fill(0.5), shape: [n], type: "f32" }],
    weights: [{ data: view, shape: [n], type: "f32" }],
    output: { shape: [n], type: "f32" },
  };
  const found = await runOnce(x, "ffi") as Float32Array;
  assert.deepEqual(found, view.map((v) => v + 0.5));
});
