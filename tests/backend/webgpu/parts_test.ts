/**
 * Tensors in parts, made by an artificially small binding: what reads them computes what it does of one buffer, bit
 * for bit except where the rows are what is summed over. Decoding and training with such weights are in
 * `parts_models_test.ts`.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../../lib/backend/backend.ts";
import { openWebGpuBackend } from "../../../lib/backend/webgpu/backend.ts";
import { lower } from "../../../lib/backend/webgpu/lower.ts";
import { rowsOfParts } from "../../../lib/backend/webgpu/parts.ts";
import { halfMatmul, quantizedMatmul, silu } from "../../../lib/graph/composites.ts";
import type { DType, HostArray, Node, Shape } from "../../../lib/graph/node.ts";
import * as ops from "../../../lib/graph/ops.ts";
import { type Program, program } from "../../../lib/graph/program.ts";
import { testOnWebGpu } from "../../adapter.ts";
import { assertClose } from "../../tolerance.ts";
import { dataOf } from "../agreement_cases.ts";

/** One way to read weights: those in `parts` lie in so many buffers of `limit` bytes at most. */
interface Reading {
  y: Node;
  limit: number;
  parts: Record<string, number>;
  /** Rows are what is summed over. */
  reordered?: boolean;
  data?: Record<string, HostArray>;
}

const x = (...shape: number[]) => ops.input("x", shape);
const w = (...shape: number[]) => ops.input("w", shape);
const half = (...shape: number[]) => ops.input("w", shape, "f16");
const ids = (...shape: number[]) => ops.input("ids", shape, "i32");
const nt = (a: Node, b: Node) => ops.matmul(a, b, { transB: true });

function quantized(rows: number, [outer, blocks, block]: Shape): Node {
  const packed = ops.input("packed", [outer, blocks, block], "u8");
  return quantizedMatmul(x(rows, blocks * block), packed, ops.input("scales", [outer, blocks]));
}

/** Ids beyond both ends read the nearest row. */
const IDS = { ids: Int32Array.of(0, 199, 7, -3, 150, 500, 64, 63) };

const READINGS: Record<string, Reading> = {
  "a product of few rows": { y: nt(x(3, 12), w(65, 12)), limit: 1024, parts: { w: 4 } },
  "a product of many rows": { y: nt(x(17, 40), w(131, 40)), limit: 9000, parts: { w: 3 } },
  "a product of odd sizes": { y: nt(x(9, 31), w(67, 31)), limit: 3000, parts: { w: 3 } },
  "a product with a chain on both sides": {
    y: ops.mul(nt(silu(x(9, 40)), ops.mul(w(64, 40), 3)), 2),
    ...{ limit: 5120, parts: { w: 2 } },
  },
  "a product that is added to": {
    y: ops.add(ops.input("r", [3, 40]), nt(x(3, 8), w(40, 8))),
    ...{ limit: 500, parts: { w: 3 } },
  },
  "products in a batch": { y: nt(x(5, 3, 8), w(5, 7, 8)), limit: 600, parts: { w: 3 } },
  "a sum over the rows": {
    ...{ y: ops.matmul(x(9, 64), w(64, 40)), limit: 5200, parts: { w: 2 }, reordered: true },
  },
  "a sum over the rows, transposed, added to": {
    y: ops.add(
      ops.input("r", [5, 9]),
      ops.matmul(x(64, 5), w(64, 9), { transA: true, alpha: 0.5 }),
    ),
    ...{ limit: 1300, parts: { w: 2 }, reordered: true },
  },
  "halves": { y: halfMatmul(x(3, 20), half(65, 20)), limit: 1000, parts: { w: 3 } },
  "halves of odd rows": { y: halfMatmul(x(11, 41), half(65, 41)), limit: 3000, parts: { w: 2 } },
  "halves, a sum over the rows": {
    y: halfMatmul(x(11, 65), half(65, 63), { transB: false }),
    ...{ limit: 3000, parts: { w: 4 }, reordered: true },
  },
  "8 bits, few rows": {
    ...{ y: quantized(2, [66, 3, 16]), limit: 2000, parts: { packed: 2, scales: 1 } },
  },
  "8 bits and scales apart, many rows": {
    ...{ y: quantized(9, [100, 20, 8]), limit: 6000, parts: { packed: 3, scales: 2 } },
  },
  "rows by ids": { y: ops.gather(w(200, 3), ids(8)), limit: 700, parts: { w: 4 }, data: IDS },
  "rows by ids, in more parts than a shader binds": {
    ...{ y: ops.gather(w(320, 4), ids(2, 4)), limit: 128, parts: { w: 40 }, data: IDS },
  },
  "halves by ids": {
    y: ops.cast(ops.gather(half(200, 5), ids(8)), "f32"),
    ...{ limit: 700, parts: { w: 3 }, data: IDS },
  },
  "the table by ids and the product": {
    y: nt(ops.gather(w(200, 32), ids(8)), w(200, 32)),
    ...{ limit: 9000, parts: { w: 3 }, data: IDS },
  },
  "a product with rows by ids": {
    y: nt(x(3, 8), ops.gather(w(200, 8), ids(8))),
    ...{ limit: 3000, parts: { w: 3 }, data: IDS },
  },
  "some of the rows": {
    y: ops.slice(w(60, 8), [17, 2], [45, 7]),
    ...{ limit: 700, parts: { w: 3 } },
  },
  "elementwise, few parts": {
    y: ops.sum(ops.mul(w(60, 8), 2), [0]),
    ...{ limit: 700, parts: { w: 3 } },
  },
};

async function runOn(backend: Backend, p: Program, data: Record<string, HostArray>) {
  const inputs = Object.fromEntries(
    Object.entries(p.inputs).map(([name, n]) => [name, backend.tensor(data[name], n.shape)]),
  );
  using run = await backend.compile(p, { weights: inputs });
  const found = await (await run.run({})).y.read();
  for (const tensor of Object.values(inputs)) tensor[Symbol.dispose]();
  return found;
}

testOnWebGpu("weights in parts are read as whole ones are", async (whole) => {
  for (const [name, { y, limit, parts, reordered, data }] of Object.entries(READINGS)) {
    const p = program({ y }), { inputs } = lower(p, { bindings: 32, bytes: limit });
    const found = Object.fromEntries(Object.keys(parts).map((n) => [n, inputs.get(n)!.length]));
    assert.deepEqual(found, parts, name);
    const given = Object.fromEntries(
      Object.entries(p.inputs).map(([n, { shape, dtype }]) => [
        n,
        data?.[n] ?? dataOf({ shape, dtype }, n),
      ]),
    );
    using split = await openWebGpuBackend({ bindingLimit: limit });
    const one = await runOn(whole, p, given), many = await runOn(split, p, given);
    if (reordered) assertClose(many, one, { what: name, shape: y.shape, a: 1e-5, n: 64 });
    else assert.deepEqual(many, one, name);
  }
});

testOnWebGpu("a tensor in parts is read back, counted, and given back", async () => {
  using backend = await openWebGpuBackend({ bindingLimit: 100 });
  const shapes: [Shape, DType][] = [[[31, 5], "f32"], [[33, 7], "f16"], [[41, 3, 2], "u8"]];
  for (const [shape, dtype] of shapes) {
    const data = dataOf({ shape, dtype }, "t"), tensor = backend.tensor(data, shape);
    assert.deepEqual(await tensor.read(), data);
    assert.ok(backend.bytes >= data.byteLength && backend.bytes < data.byteLength + 4);
    tensor[Symbol.dispose]();
    assert.equal(backend.bytes, 0);
    await assert.rejects(tensor.read(), /was disposed/);
  }
});

Deno.test("rows are spread evenly, in whole vectors of four", () => {
  const rows = (shape: Shape, limit: number, dtype: DType = "f32") =>
    rowsOfParts({ shape, dtype }, limit);
  assert.deepEqual(rows([10, 4], 160), [10]);
  assert.deepEqual(rows([10, 4], 159), [5, 5]);
  assert.deepEqual(rows([10, 4], 64), [4, 4, 2]);
  assert.deepEqual(rows([10, 3], 64), [4, 4, 2]);
  assert.deepEqual(rows([10, 3], 47), [], "four rows of three are 48 bytes");
  assert.deepEqual(rows([10, 2], 15, "f16"), [2, 2, 2, 2, 2]);
  assert.deepEqual(rows([], 4), [1]);
  const [first, ...rest] = rows([128256, 4096], 128 * 2 ** 20, "f16");
  assert.deepEqual([first, rest.length, rest.at(-1)], [16032, 7, 16032]);
});

testOnWebGpu("what cannot lie in parts is one clear error", async () => {
  using backend = await openWebGpuBackend({ bindingLimit: 128 });
  const compile = async (outputs: Record<string, Node>, updates: Record<string, Node> = {}) =>
    (await backend.compile(program(outputs, { updates })))[Symbol.dispose]();
  const large = w(40, 4);
  await assert.rejects(
    compile({}, { w: ops.mul(large, 2) }),
    /Cannot update w \[40,4\]: it has 640 bytes, the adapter binds 128/,
  );
  await assert.rejects(
    compile({ y: ops.mul(large, 2) }),
    /Cannot place y \[40,4\] on .*: it has 640 bytes, the adapter binds 128/,
  );
  await assert.rejects(
    compile({ y: ops.matmul(x(1, 3), w(3, 40)) }),
    /Cannot part w \[3,40\]: it has 480 bytes, .* 128, less than few of its rows take/,
  );
  assert.throws(() => backend.tensor(new Float32Array(120), [3, 40]), /Cannot place a tensor/);
  await assert.rejects(
    compile({ sum: ops.sum(w(400, 4), [0]) }),
    /Cannot launch reduce: input w lies in 50 buffers, wanted 51 in all, the adapter binds \d+/,
  );
});
