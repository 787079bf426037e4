/**
 * What both runners refuse before native code sees it: ONNX Runtime takes memory, weights and names on trust,
 * and answers a mismatch with wrong numbers or a crash. It does not check shapes of a run's inputs and outputs
 * (the library does, readably). Next on the walk: `ffi.ts` and `binding.ts`, which call this.
 */
import type { OnnxModel } from "./protobuf.ts";
import type { OrtArray, OrtType, OrtValue, SessionOptions } from "./runtime.ts";

/** How the host holds each element type. */
const ARRAY = {
  f32: Float32Array,
  f16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  bool: Uint8Array,
  u8: Uint8Array,
  i8: Int8Array,
} as const satisfies Record<OrtType, unknown>;

/** @throws when the array is not of the type's kind or has not one element for each place of the shape. */
export function checkValue(
  data: OrtArray,
  { shape, type }: { shape: readonly number[]; type: OrtType },
): void {
  const size = shape.reduce((a, b) => a * b, 1);
  if (data instanceof ARRAY[type] && data.length === size) return;
  throw new Error(
    `Cannot make an ONNX value ${type} [${shape}] of ${data.constructor.name} with ${data.length} ` +
      `elements: wanted ${ARRAY[type].name} with ${size}`,
  );
}

/**
 * Every initialiser without data must be supplied, with its type and shape. Otherwise ONNX Runtime would read
 * the bytes of the nominal file, or take the given bits for another type, without a word.
 */
export function checkWeights(model: OnnxModel, weights: SessionOptions["weights"]): void {
  for (const { name, type, shape, data } of model.initializers) {
    if (data !== undefined) continue;
    const given = weights?.get(name);
    if (given === undefined) {
      throw new Error(`Cannot load an ONNX model: its weight ${name} was not supplied`);
    }
    if (given.type === type && `${given.shape}` === `${shape}`) continue;
    throw new Error(
      `Cannot load an ONNX model: weight ${name} is ${given.type} [${given.shape}], ` +
        `wanted ${type} [${shape}]`,
    );
  }
}

/** The values of a run must be as many as the names given when the model was loaded. */
export function checkRun(
  { inputs, outputs }: SessionOptions,
  given: { inputs: readonly OrtValue[]; outputs: readonly OrtValue[] },
): void {
  if (given.inputs.length === inputs.length && given.outputs.length === outputs.length) return;
  throw new Error(
    `Cannot run an ONNX model: found ${given.inputs.length} inputs and ${given.outputs.length} ` +
      `outputs, wanted ${inputs.length} and ${outputs.length}`,
  );
}
