/**
 * Models of one operator, for the tests beside: each needs a line to say and ONNX Runtime to judge. Not a
 * test itself, and not `lower.ts`, which makes models from Programs. Next: `runtime_test.ts`.
 */
import type {
  OnnxAttribute,
  OnnxModel,
  OnnxValueInfo,
} from "../../../lib/backend/onnx/protobuf.ts";
import {
  openRuntime,
  type OrtArray,
  type OrtRuntime,
  type OrtType,
  type RunnerName,
} from "../../../lib/backend/onnx/runtime.ts";

export const RUNNERS: readonly RunnerName[] = ["ffi", "binding"];

/** A value with its data, as an input, a weight or a wanted output. */
export interface Given {
  data: OrtArray;
  shape: readonly number[];
  type: OrtType;
}

export const f32 = (shape: readonly number[], ...data: number[]): Given => ({
  data: Float32Array.from(data),
  shape,
  type: "f32",
});

export interface OneOp {
  op: string;
  domain?: string;
  attributes?: Record<string, OnnxAttribute>;
  /** Run-time inputs, in the operator's order, named a, b, c ... */
  inputs: readonly Given[];
  /** Initialisers after the inputs, named w0, w1 ... */
  weights?: readonly Given[];
  output: { shape: readonly number[]; type: OrtType };
}

export const inputNames = (x: OneOp) => x.inputs.map((_, i) => "abcdef"[i]);
export const weightNames = (x: OneOp) => (x.weights ?? []).map((_, i) => `w${i}`);

/** The model of one operator; `supplied` leaves its weights to the session. */
export function modelOf(x: OneOp, { supplied = false } = {}): OnnxModel {
  const info = (name: string, { shape, type }: OnnxValueInfo | Given) => ({ name, shape, type });
  const ins = inputNames(x), ws = weightNames(x);
  return {
    nodes: [{
      op: x.op,
      domain: x.domain ?? "",
      inputs: [...ins, ...ws],
      outputs: ["y"],
      attributes: x.attributes ?? {},
    }],
    initializers: (x.weights ?? []).map((w, i) => ({
      ...info(ws[i], w),
      data: supplied ? undefined : w.data,
    })),
    inputs: x.inputs.map((v, i) => info(ins[i], v)),
    outputs: [{ name: "y", ...x.output }],
  };
}

/** Zeros of a shape and type. */
export function zeros({ shape, type }: { shape: readonly number[]; type: OrtType }): OrtArray {
  const size = shape.reduce((a, b) => a * b, 1);
  if (type === "f32") return new Float32Array(size);
  if (type === "f16") return new Uint16Array(size);
  if (type === "i32") return new Int32Array(size);
  if (type === "i64") return new BigInt64Array(size);
  if (type === "i8") return new Int8Array(size);
  return new Uint8Array(size);
}

/** Opens a runner, loads the model with its weights in it, runs it once. */
export async function runOnce(x: OneOp, runner: RunnerName): Promise<OrtArray> {
  using runtime = await openRuntime({ runner, threads: 1 });
  using session = await runtime.session(modelOf(x), { inputs: inputNames(x), outputs: ["y"] });
  return await runIn(runtime, { session, x });
}

/** Runs a loaded model of one operator on its inputs. */
export async function runIn(
  runtime: OrtRuntime,
  { session, x }: { session: Awaited<ReturnType<OrtRuntime["session"]>>; x: OneOp },
): Promise<OrtArray> {
  const given = x.inputs.map((v) => runtime.value(v.data, v.shape, v.type));
  const data = zeros(x.output);
  using y = runtime.value(data, x.output.shape, x.output.type);
  await session.run(given, [y]);
  for (const v of given) v[Symbol.dispose]();
  return data;
}
