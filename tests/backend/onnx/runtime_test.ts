/**
 * The contract of a runner, on both: each element type computes the same, weights from outside count as
 * weights inside, mistakes are refused in words that name them, and disposal is safe in any order. What only
 * the FFI runner promises (memory) is in `ffi_test.ts`.
 */
import assert from "node:assert/strict";
import { openRuntime } from "../../../lib/backend/onnx/runtime.ts";
import {
  f32,
  inputNames,
  modelOf,
  type OneOp,
  runIn,
  RUNNERS,
  runOnce,
  weightNames,
  zeros,
} from "./small_models.ts";

const i64 = (...data: bigint[]) =>
  ({ data: BigInt64Array.from(data), shape: [data.length], type: "i64" }) as const;

const ADD: OneOp = {
  op: "Add",
  inputs: [f32([2, 2], 1, 2, 3, 4), f32([2], 10, 20)],
  output: { shape: [2, 2], type: "f32" },
};

/** Name, operator, and what it must give (bits for f16). */
const CASES: [string, OneOp, (number | bigint)[]][] = [
  ["Add, broadcast", ADD, [11, 22, 13, 24]],
  ["MatMul", {
    op: "MatMul",
    inputs: [f32([2, 3], 1, 2, 3, 4, 5, 6)],
    weights: [f32([3, 2], 1, 0, 0, 1, 1, 1)],
    output: { shape: [2, 2], type: "f32" },
  }, [4, 5, 10, 11]],
  ["FusedMatMul, transposed and scaled", {
    op: "FusedMatMul",
    domain: "com.microsoft",
    attributes: { transB: { int: 1 }, alpha: { float: 0.5 } },
    inputs: [f32([1, 1, 1, 2], 2, 4), f32([1, 1, 3, 2], 1, 0, 0, 1, 1, 1)],
    output: { shape: [1, 1, 1, 3], type: "f32" },
  }, [1, 2, 3]],
  ["Gather, i64 indices of i64 data", {
    op: "Gather",
    inputs: [i64(5n, -(2n ** 60n), 7n), i64(2n, 1n)],
    output: { shape: [2], type: "i64" },
  }, [7n, -(2n ** 60n)]],
  ["Add, f16 as bits", {
    op: "Add",
    inputs: [{ data: Uint16Array.of(0x3c00, 0xc400), shape: [2], type: "f16" }, {
      data: Uint16Array.of(0x3c00, 0x4000),
      shape: [2],
      type: "f16",
    }],
    output: { shape: [2], type: "f16" },
  }, [0x4000, 0xc000]],
  ["Not, bool", {
    op: "Not",
    inputs: [{ data: Uint8Array.of(1, 0), shape: [2], type: "bool" }],
    output: { shape: [2], type: "bool" },
  }, [0, 1]],
  ["Cast, i8 to i32", {
    op: "Cast",
    attributes: { to: { int: 6 } },
    inputs: [{ data: Int8Array.of(-128, 127), shape: [2], type: "i8" }],
    output: { shape: [2], type: "i32" },
  }, [-128, 127]],
  ["Transpose, u8", {
    op: "Transpose",
    inputs: [{ data: Uint8Array.of(1, 2, 254, 255), shape: [2, 2], type: "u8" }],
    output: { shape: [2, 2], type: "u8" },
  }, [1, 254, 2, 255]],
  ["Neg of nothing", {
    op: "Neg",
    inputs: [f32([0])],
    output: { shape: [0], type: "f32" },
  }, []],
  ["Neg of a scalar", { op: "Neg", inputs: [f32([], 3)], output: { shape: [], type: "f32" } }, [
    -3,
  ]],
];

for (const [name, x, wanted] of CASES) {
  Deno.test(`both runners: ${name}`, async () => {
    for (const runner of RUNNERS) {
      assert.deepEqual([...await runOnce(x, runner)], wanted, runner);
    }
  });
}

Deno.test("both runners are the same ONNX Runtime", async () => {
  using ffi = await openRuntime({ runner: "ffi" });
  using binding = await openRuntime({ runner: "binding" });
  assert.equal(ffi.version, binding.version);
  assert.deepEqual([ffi.name, binding.name], ["ffi", "binding"]);
  assert.equal(binding.fallbackFrom, undefined);
});

Deno.test("the runners may be opened and disposed of in any order", async () => {
  // They share the library's one environment, whose threads only the FFI runner sets up.
  const wanted = [...await runOnce(ADD, "ffi")];
  for (const runner of ["binding", "ffi", "ffi", "binding", "ffi"] as const) {
    assert.deepEqual([...await runOnce(ADD, runner)], wanted, runner);
  }
});

Deno.test("without FFI the binding stands in and says why", async () => {
  const dlopen = Deno.dlopen;
  Deno.dlopen = () => {
    throw new Error("no libraries today");
  };
  try {
    using runtime = await openRuntime();
    assert.equal(runtime.name, "binding");
    assert.match(`${runtime.fallbackFrom}`, /no libraries today/);
    await assert.rejects(openRuntime({ runner: "ffi" }), /no libraries today/);
  } finally {
    Deno.dlopen = dlopen;
  }
});

const WEIGHED: OneOp = {
  op: "MatMul",
  inputs: [f32([1, 2], 3, 5)],
  weights: [f32([2, 2], 1, 2, 3, 4)],
  output: { shape: [1, 2], type: "f32" },
};
const names = { inputs: inputNames(WEIGHED), outputs: ["y"] };

for (const runner of RUNNERS) {
  Deno.test(`${runner}: weights from outside give the same as weights inside`, async () => {
    using runtime = await openRuntime({ runner, threads: 1 });
    const { data, shape, type } = WEIGHED.weights![0];
    using w = runtime.value(data, shape, type);
    const weights = new Map([[weightNames(WEIGHED)[0], w]]);
    const model = modelOf(WEIGHED, { supplied: true });
    using one = await runtime.session(model, { ...names, weights });
    using two = await runtime.session(model, { ...names, weights });
    const wanted = [...await runOnce(WEIGHED, runner)];
    assert.deepEqual(wanted, [18, 26]);
    for (const session of [one, two]) {
      assert.deepEqual([...await runIn(runtime, { session, x: WEIGHED })], wanted);
    }
  });

  Deno.test(`${runner}: a weight missing, misshapen or of another type is refused`, async () => {
    using runtime = await openRuntime({ runner, threads: 1 });
    const model = modelOf(WEIGHED, { supplied: true });
    // Without this ONNX Runtime multiplies by the bytes of a file.
    await assert.rejects(runtime.session(model, names), /weight w0 was not supplied/);
    using flat = runtime.value(new Float32Array(4), [4], "f32");
    await assert.rejects(
      runtime.session(model, { ...names, weights: new Map([["w0", flat]]) }),
      /weight w0 is f32 \[4\], wanted f32 \[2,2\]/,
    );
    using whole = runtime.value(new Int32Array(4), [2, 2], "i32");
    await assert.rejects(
      runtime.session(model, { ...names, weights: new Map([["w0", whole]]) }),
      /weight w0 is i32 \[2,2\], wanted f32 \[2,2\]/,
    );
  });

  Deno.test(`${runner}: a bad model is refused in the runner's name`, async () => {
    using runtime = await openRuntime({ runner, threads: 1 });
    const bad = modelOf({ ...ADD, op: "Nonesuch" });
    const refused = new RegExp(`^Error: ONNX Runtime \\(${runner}\\): .*Nonesuch`, "s");
    await assert.rejects(runtime.session(bad, { inputs: ["a", "b"], outputs: ["y"] }), refused);
  });

  Deno.test(`${runner}: a run of the wrong shape, type or number is refused`, async () => {
    using runtime = await openRuntime({ runner, threads: 1 });
    using session = await runtime.session(modelOf(ADD), { inputs: ["a", "b"], outputs: ["y"] });
    const { inputs, output } = ADD;
    const [a, b] = inputs.map((v) => runtime.value(v.data, v.shape, v.type));
    const y = runtime.value(zeros(output), output.shape, output.type);
    const inRunnersName = new RegExp(`^Error: ONNX Runtime \\(${runner}\\): .`);
    // Run after run: each failure's status is released, and the session stays good.
    for (let i = 0; i < 50; i++) await assert.rejects(session.run([b, b], [y]), inRunnersName);
    for (
      const [data, shape, type] of [
        [new Float32Array(8), [2, 4], "f32"],
        [new Float32Array(2), [1, 2], "f32"],
        [new Int32Array(4), [2, 2], "i32"],
      ] as const
    ) {
      using wrong = runtime.value(data, shape, type);
      await assert.rejects(session.run([a, b], [wrong]), inRunnersName);
      assert.ok(data.every((v) => v === 0), "a refused output was written");
    }
    await assert.rejects(session.run([a], [y]), /found 1 inputs and 1 outputs, wanted 2 and 1/);
    await assert.rejects(session.run([a, b, a], [y]), /found 3 inputs/);
    await assert.rejects(session.run([a, b], [y, y]), /found 2 inputs and 2 outputs/);
    await session.run([a, b], [y]);
    assert.deepEqual([...y.data], [11, 22, 13, 24]);
    for (const v of [a, b, y]) v[Symbol.dispose]();
  });

  Deno.test(`${runner}: memory must fit its shape and type`, async () => {
    using runtime = await openRuntime({ runner });
    assert.throws(() => runtime.value(new Float32Array(2), [4], "f32"), /2 elements: .* with 4/);
    assert.throws(() => runtime.value(new Float32Array(4), [2], "f32"), /4 elements: .* with 2/);
    assert.throws(
      () => runtime.value(new Int32Array(1), [1], "f32"),
      /of Int32Array .*Float32Array/,
    );
  });

  Deno.test(`${runner}: disposing twice is harmless, using afterwards is refused`, async () => {
    const runtime = await openRuntime({ runner, threads: 1 });
    const session = await runtime.session(modelOf(ADD), { inputs: ["a", "b"], outputs: ["y"] });
    const { inputs, output } = ADD;
    const [a, b] = inputs.map((v) => runtime.value(v.data, v.shape, v.type));
    const y = runtime.value(zeros(output), output.shape, output.type);
    for (let i = 0; i < 2; i++) b[Symbol.dispose]();
    await assert.rejects(session.run([a, b], [y]), /Cannot use a disposed ONNX value/);
    for (let i = 0; i < 2; i++) session[Symbol.dispose]();
    await assert.rejects(session.run([a, a], [y]), /Cannot use a disposed ONNX session/);
    for (const v of [a, y]) v[Symbol.dispose]();
    for (let i = 0; i < 2; i++) runtime[Symbol.dispose]();
    const use = /Cannot use a disposed ONNX runtime/;
    assert.throws(() => runtime.value(new Float32Array(1), [1], "f32"), use);
    await assert.rejects(
      runtime.session(modelOf(ADD), { inputs: ["a", "b"], outputs: ["y"] }),
      use,
    );
  });
}
