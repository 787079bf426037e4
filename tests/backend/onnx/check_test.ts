/**
 * What is refused before native code sees it, and what is let through. That both runners ask is tested in
 * `runtime_test.ts`.
 */
import assert from "node:assert/strict";
import { checkRun, checkValue, checkWeights } from "../../../lib/backend/onnx/check.ts";
import type { OrtArray, OrtType, OrtValue } from "../../../lib/backend/onnx/runtime.ts";
import { f32, type Given, modelOf, zeros } from "./small_models.ts";

const held = (x: Given): OrtValue => ({ ...x, [Symbol.dispose]() {} });

Deno.test("checkValue takes each element type in its own kind of array only", () => {
  const kinds: OrtType[] = ["f32", "f16", "i32", "i64", "bool", "u8", "i8"];
  const arrays: [OrtType, OrtArray][] = kinds.map((k) => [k, zeros({ shape: [2, 3], type: k })]);
  for (const type of kinds) {
    for (const [kind, data] of arrays) {
      const check = () => checkValue(data, { shape: [2, 3], type });
      // bool and u8 are both bytes.
      const same = data.constructor === zeros({ shape: [], type }).constructor;
      if (same) check();
      else assert.throws(check, /Cannot make an ONNX value/, `${kind} as ${type}`);
    }
  }
});

Deno.test("checkValue wants one element for each place", () => {
  checkValue(new Float32Array(1), { shape: [], type: "f32" });
  checkValue(new Float32Array(0), { shape: [3, 0], type: "f32" });
  for (const n of [0, 5, 7]) {
    assert.throws(
      () => checkValue(new Float32Array(n), { shape: [2, 3], type: "f32" }),
      new RegExp(`f32 \\[2,3\\] of Float32Array with ${n} elements: wanted Float32Array with 6`),
    );
  }
});

Deno.test("checkWeights asks only for initialisers without data", () => {
  const x = {
    op: "Add",
    inputs: [f32([2], 0, 0)],
    weights: [f32([2], 1, 2)],
    output: { shape: [2], type: "f32" },
  } as const;
  checkWeights(modelOf(x), undefined);
  const model = modelOf(x, { supplied: true });
  checkWeights(model, new Map([["w0", held(f32([2], 1, 2))], ["unknown", held(f32([1], 0))]]));
  assert.throws(() => checkWeights(model, undefined), /weight w0 was not supplied/);
  const misshapen = new Map([["w0", held(f32([1, 2], 1, 2))]]);
  assert.throws(() => checkWeights(model, misshapen), /f32 \[1,2\], wanted f32 \[2\]/);
  const whole = new Map([["w0", held({ data: new Int32Array(2), shape: [2], type: "i32" })]]);
  assert.throws(() => checkWeights(model, whole), /i32 \[2\], wanted f32 \[2\]/);
});

Deno.test("checkRun counts values against names", () => {
  const v = held(f32([1], 0)), names = { inputs: ["a", "b"], outputs: ["y"] };
  checkRun(names, { inputs: [v, v], outputs: [v] });
  for (const [inputs, outputs] of [[1, 1], [3, 1], [2, 0], [2, 2]]) {
    const given = { inputs: Array(inputs).fill(v), outputs: Array(outputs).fill(v) };
    assert.throws(
      () => checkRun(names, given),
      new RegExp(`found ${inputs} inputs and ${outputs} outputs, wanted 2 and 1`),
    );
  }
});
