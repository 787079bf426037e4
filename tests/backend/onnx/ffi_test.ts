/**
 * What only the FFI runner promises: results in the caller's own memory, updates in place, one packed copy of
 * the weights for all sessions of a runtime, memory given back, and no free while native code still reads.
 * A wrong slot of the function table ends the process here rather than in an experiment.
 */
import assert from "node:assert/strict";
import type { OnnxModel } from "../../../lib/backend/onnx/protobuf.ts";
import {
  openRuntime,
  type OrtRuntime,
  type OrtSession,
} from "../../../lib/backend/onnx/runtime.ts";
import { f32, modelOf } from "./small_models.ts";

const MIB = 2 ** 20;
const DOUBLE = modelOf({
  op: "Mul",
  inputs: [f32([4], 1, 2, 3, 4)],
  weights: [f32([], 2)],
  output: { shape: [4], type: "f32" },
});

Deno.test("an elementwise result may be written over its input", async () => {
  using runtime = await openRuntime({ runner: "ffi", threads: 1 });
  using session = await runtime.session(DOUBLE, { inputs: ["a"], outputs: ["y"] });
  const data = Float32Array.of(1, 2, 3, 4);
  using x = runtime.value(data, [4], "f32");
  for (let i = 0; i < 3; i++) await session.run([x], [x]);
  assert.deepEqual([...data], [8, 16, 24, 32]);
  assert.equal(x.data, data);
});

Deno.test("a value sees what is written into its memory later", async () => {
  using runtime = await openRuntime({ runner: "ffi", threads: 1 });
  using session = await runtime.session(DOUBLE, { inputs: ["a"], outputs: ["y"] });
  const memory = new Float32Array(12), data = memory.subarray(4, 8);
  using x = runtime.value(data, [4], "f32");
  using y = runtime.value(memory.subarray(8, 12), [4], "f32");
  data.set([5, 6, 7, 8]);
  await session.run([x], [y]);
  assert.deepEqual([...memory], [0, 0, 0, 0, 5, 6, 7, 8, 10, 12, 14, 16]);
});

Deno.test("runs may overlap, and everything be disposed of while they last", async () => {
  const n = 2 ** 20;
  const sum = modelOf({
    op: "Add",
    inputs: [f32([n]), f32([n])],
    output: { shape: [n], type: "f32" },
  });
  const runtime = await openRuntime({ runner: "ffi", threads: 1 });
  const session = await runtime.session(sum, { inputs: ["a", "b"], outputs: ["y"] });
  const x = runtime.value(new Float32Array(n).fill(1.5), [n], "f32");
  const ys = [0, 1, 2].map(() => runtime.value(new Float32Array(n), [n], "f32"));
  const runs = ys.map((y) => session.run([x, x], [y]));
  // Twice: the second time must not count for a user that is left.
  for (let i = 0; i < 2; i++) {
    for (const used of [runtime, x, ...ys, session]) used[Symbol.dispose]();
  }
  await Promise.all(runs);
  for (const y of ys) assert.ok((y.data as Float32Array).every((v) => v === 3));
});

const K = 1024, N = 8192, WEIGHT_MIB = K * N * 4 / MIB;

/** x [rows,K] times w [K,N]; w is supplied to the session, or inside when data is given. */
const product = (rows: number, data?: Float32Array): OnnxModel => ({
  nodes: [{ op: "MatMul", domain: "", inputs: ["x", "w"], outputs: ["y"], attributes: {} }],
  initializers: [{ name: "w", type: "f32", shape: [K, N], data }],
  inputs: [{ name: "x", type: "f32", shape: [rows, K] }],
  outputs: [{ name: "y", type: "f32", shape: [rows, N] }],
});
const NAMES = { inputs: ["x"], outputs: ["y"] };
const someWeights = () => Float32Array.from({ length: K * N }, (_, i) => i % 13 - 6);

async function multiply(
  runtime: OrtRuntime,
  { session, rows }: { session: OrtSession; rows: number },
): Promise<Float32Array> {
  const x = Float32Array.from({ length: rows * K }, (_, i) => i % 7 - 3);
  const y = new Float32Array(rows * N);
  using input = runtime.value(x, [rows, K], "f32");
  using output = runtime.value(y, [rows, N], "f32");
  await session.run([input], [output]);
  return y;
}

// Before the tests that leave garbage, whose collection would hide a leak.
Deno.test("disposed sessions and runtimes give their memory back", async () => {
  const model = product(4, someWeights());
  const once = async () => {
    // A runtime each: within one, equal weights are packed once, so that a leak would not show.
    using runtime = await openRuntime({ runner: "ffi", threads: 1 });
    using session = await runtime.session(model, NAMES);
    await multiply(runtime, { session, rows: 4 });
  };
  await once();
  const before = Deno.memoryUsage().rss;
  for (let i = 0; i < 10; i++) await once();
  const grown = (Deno.memoryUsage().rss - before) / MIB;
  // Ten leaked copies would be 320 MiB; the model's bytes are garbage that may not be collected yet.
  assert.ok(grown < 4 * WEIGHT_MIB, `grew by ${grown.toFixed(0)} MiB, weights ${WEIGHT_MIB} MiB`);
});

Deno.test("three sessions over the same weights hold one packed copy", async () => {
  using runtime = await openRuntime({ runner: "ffi", threads: 2 });
  const w = someWeights(), sessions: OrtSession[] = [], grown: number[] = [];
  using value = runtime.value(w, [K, N], "f32");
  const weights = new Map([["w", value]]);
  for (const rows of [1, 4, 16]) {
    const before = Deno.memoryUsage().rss;
    const session = await runtime.session(product(rows), { ...NAMES, weights });
    sessions.push(session);
    const y = await multiply(runtime, { session, rows });
    grown.push((Deno.memoryUsage().rss - before) / MIB);
    // Small whole numbers: every order of summation gives the exact product.
    for (const [row, column] of [[0, 0], [rows - 1, N - 1], [rows >> 1, 4097]]) {
      let wanted = 0;
      for (let k = 0; k < K; k++) wanted += ((row * K + k) % 7 - 3) * w[k * N + column];
      assert.equal(y[row * N + column], wanted, `rows ${rows}, at [${row},${column}]`);
    }
  }
  for (const session of sessions) session[Symbol.dispose]();
  const shown = grown.map((g) => g.toFixed(0)).join(", ");
  assert.ok(grown[1] + grown[2] < WEIGHT_MIB, `grew by ${shown} MiB, weights ${WEIGHT_MIB} MiB`);
});

Deno.test("packed weights outlive their runtime as long as a session needs them", async () => {
  const runtime = await openRuntime({ runner: "ffi", threads: 1 });
  using other = await openRuntime({ runner: "ffi", threads: 1 });
  const value = runtime.value(someWeights(), [K, N], "f32");
  const weights = new Map([["w", value]]);
  using session = await runtime.session(product(4), { ...NAMES, weights });
  const wanted = await multiply(other, { session, rows: 4 });
  weights.clear();
  for (const gone of [value, runtime]) gone[Symbol.dispose]();
  // Memory freed too early is overwritten by now.
  const noise = Array.from({ length: 2 }, () => new Float32Array(K * N).fill(NaN));
  assert.deepEqual(await multiply(other, { session, rows: 4 }), wanted);
  assert.equal(noise.length, 2);
});

Deno.test("short runs on this thread do and refuse the same", async () => {
  using runtime = await openRuntime({ runner: "ffi", threads: 1 });
  const names = { inputs: ["a"], outputs: ["y"] };
  using session = await runtime.session(DOUBLE, { ...names, short: true });
  using x = runtime.value(Float32Array.of(1, 2, 3, 4), [4], "f32");
  const run = session.run([x], [x]);
  assert.deepEqual([...x.data], [2, 4, 6, 8], "not done when the call returned");
  await run;
  using wrong = runtime.value(new Float32Array(2), [2], "f32");
  await assert.rejects(
    session.run([wrong], [x]),
    /^Error: ONNX Runtime \(ffi\): .*Got: 2 Expected: 4/s,
  );
});
