/**
 * Writes an ONNX model file from plain data: just the messages a Program needs. The wire format is
 * `lib/io/protobuf.ts`. It knows nothing of our ops (`lower.ts` does) nor of running (`runtime.ts`).
 * Field numbers: onnx.proto3 of ONNX IR version 10.
 */
import { Message } from "../../io/protobuf.ts";
import type { OrtType } from "./runtime.ts";

export type OnnxAttribute =
  | { int: number }
  | { float: number }
  | { ints: readonly number[] }
  | { string: string };

export interface OnnxNode {
  op: string;
  domain: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxValueInfo {
  name: string;
  type: OrtType;
  shape: readonly number[];
  /** Sizes as a file states them, where some have a name because they vary from run to run. */
  dims?: readonly (number | string)[];
}

/** A value fixed in the model; without `data` it is supplied when the session is made. */
export interface OnnxInitializer extends OnnxValueInfo {
  data?: ArrayBufferView;
}

export interface OnnxModel {
  nodes: readonly OnnxNode[];
  initializers: readonly OnnxInitializer[];
  inputs: readonly OnnxValueInfo[];
  outputs: readonly OnnxValueInfo[];
  /** Operator sets beside the standard one; com.microsoft's if not said. */
  domains?: readonly string[];
}

/** Element type codes of TensorProto.DataType. */
export const ONNX_TYPE: Record<OrtType, number> = {
  f32: 1,
  u8: 2,
  i8: 3,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
};

/**
 * Nominal file of initialisers without data. ONNX Runtime insists that it exists (in the folder named by the
 * session option below) although every such value is supplied by name before it would be read.
 */
export const SUPPLIED_LATER = "package.json";

/** Operator set of the default domain; 21 is the newest that every fused form here was checked with. */
const OPSET = 21, IR_VERSION = 10;

function attribute(name: string, value: OnnxAttribute): Message {
  const m = new Message().string(1, name);
  if ("int" in value) return m.int(3, value.int).int(20, 2);
  if ("float" in value) return m.float(2, value.float).int(20, 1);
  if ("string" in value) return m.string(4, value.string).int(20, 3);
  for (const v of value.ints) m.int(8, v);
  return m.int(20, 7);
}

function node({ op, domain, inputs, outputs, attributes }: OnnxNode): Message {
  const m = new Message();
  for (const name of inputs) m.string(1, name);
  for (const name of outputs) m.string(2, name);
  m.string(3, `${op} ${outputs[0]}`).string(4, op);
  for (const [name, value] of Object.entries(attributes)) m.message(5, attribute(name, value));
  return domain === "" ? m : m.string(7, domain);
}

function tensor({ name, type, shape, data }: OnnxInitializer): Message {
  const m = new Message();
  for (const d of shape) m.int(1, d);
  m.int(2, ONNX_TYPE[type]).string(8, name);
  if (data !== undefined) {
    return m.bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  // Declared as external and never read: the session is given the value by name.
  m.message(13, new Message().string(1, "location").string(2, SUPPLIED_LATER));
  return m.int(14, 1);
}

function valueInfo({ name, type, shape, dims = shape }: OnnxValueInfo): Message {
  const sizes = new Message();
  for (const d of dims) {
    sizes.message(1, typeof d === "string" ? new Message().string(2, d) : new Message().int(1, d));
  }
  const tensorType = new Message().int(1, ONNX_TYPE[type]).message(2, sizes);
  return new Message().string(1, name).message(2, new Message().message(1, tensorType));
}

/** The bytes of the model file. */
export function encodeModel(model: OnnxModel): Uint8Array<ArrayBuffer> {
  const graph = new Message();
  for (const n of model.nodes) graph.message(1, node(n));
  graph.string(2, "program");
  for (const t of model.initializers) graph.message(5, tensor(t));
  for (const v of model.inputs) graph.message(11, valueInfo(v));
  for (const v of model.outputs) graph.message(12, valueInfo(v));
  const opset = (domain: string, version: number) =>
    new Message().string(1, domain).int(2, version);
  const whole = new Message().int(1, IR_VERSION).message(7, graph).message(8, opset("", OPSET));
  for (const domain of model.domains ?? ["com.microsoft"]) whole.message(8, opset(domain, 1));
  return whole.finish();
}
