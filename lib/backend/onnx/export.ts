/**
 * A Program as an ONNX file that stands alone: weights inside, names for people, and by default only operators
 * of the ONNX standard, so that any runtime runs it. Not how Programs are run here (`backend.ts`, which
 * supplies weights from outside); `lib/model/export_onnx.ts` says which Programs a draft needs.
 */
import type { HostArray } from "../../graph/node.ts";
import type { Program } from "../../graph/program.ts";
import { lower } from "./lower.ts";
import { encodeModel, ONNX_TYPE, type OnnxInitializer, type OnnxModel } from "./protobuf.ts";
import type { OnnxNode, OnnxValueInfo } from "./protobuf.ts";

/** Protobuf holds at most 2 GiB; the last MiB is for the graph. */
const LARGEST = 2 ** 31 - 2 ** 20;

/** How a Program is embedded. */
export interface EmbedOptions {
  /** Values of inputs that become part of the model, by the Program's names. */
  weights: Readonly<Record<string, HostArray>>;
  /** Other names for what goes in and out: inputs as they are, `out:NAME`, `new:NAME`. */
  names?: Readonly<Record<string, string>>;
  /** Keep ONNX Runtime's own operators (com.microsoft): quicker there, unknown elsewhere. */
  fused?: boolean;
  /** Store matrices in f16; they are cast to f32 before they are used. */
  half?: boolean;
}

/** The file's bytes, and what goes in and out in order. */
export interface EmbeddedModel {
  bytes: Uint8Array<ArrayBuffer>;
  inputs: readonly OnnxValueInfo[];
  outputs: readonly OnnxValueInfo[];
}

/** Weights with their values, equal arrays once; in f16 each is followed by a cast to its name. */
function placeWeights(
  initializers: readonly OnnxInitializer[],
  { weights, half }: { weights: EmbedOptions["weights"]; half: boolean },
): { initializers: OnnxInitializer[]; casts: OnnxNode[]; same: Map<string, string> } {
  const placed: OnnxInitializer[] = [], casts: OnnxNode[] = [];
  const names = new Map<HostArray, string>(), same = new Map<string, string>();
  for (const one of initializers) {
    if (one.data !== undefined) {
      placed.push(one);
      continue;
    }
    const data = weights[one.name], first = names.get(data);
    const size = one.shape.reduce((a, b) => a * b, 1);
    if (data.length !== size) {
      throw new Error(
        `Cannot embed ${one.name} [${one.shape}]: found ${data.length} values, wanted ${size}`,
      );
    }
    if (first !== undefined) {
      same.set(one.name, first);
      continue;
    }
    names.set(data, one.name);
    if (!half || one.type !== "f32" || one.shape.length < 2) {
      placed.push({ ...one, data });
      continue;
    }
    const stored = `${one.name}.f16`;
    placed.push({ ...one, name: stored, type: "f16", data: new Float16Array(data) });
    casts.push({
      op: "Cast",
      domain: "",
      inputs: [stored],
      outputs: [one.name],
      attributes: { to: { int: ONNX_TYPE.f32 } },
    });
  }
  return { initializers: placed, casts, same };
}

/** @throws when the values of a model are more than a file can hold. */
function checkSize(
  initializers: readonly OnnxInitializer[],
  { weights, half }: { weights: EmbedOptions["weights"]; half: boolean },
): void {
  const arrays = new Set<ArrayBufferView>();
  let bytes = 0;
  for (const { name, type, shape, data = weights[name] } of initializers) {
    if (arrays.has(data)) continue;
    arrays.add(data);
    const halved = half && weights[name] !== undefined && type === "f32" && shape.length > 1;
    bytes += halved ? data.byteLength / 2 : data.byteLength;
  }
  if (bytes <= LARGEST) return;
  const size = (bytes / 2 ** 30).toFixed(2);
  throw new Error(
    `Cannot write an ONNX model of ${size} GiB: wanted less than 2 GiB, all that such a file can hold${
      half ? "" : " (weights in f16 take half of it)"
    }`,
  );
}

/**
 * The Program as a model file. Outputs are the Program's, then the new values of what it updates; without
 * other names they are called NAME and `new_NAME`.
 * @throws when weights do not fit their shapes, or are more than 2 GiB.
 */
export function embedModel(
  program: Program,
  { weights, names = {}, fused = false, half = false }: EmbedOptions,
): EmbeddedModel {
  const { model } = lower(program, new Set(Object.keys(weights)), { standard: !fused });
  checkSize(model.initializers, { weights, half });
  const { initializers, casts, same } = placeWeights(model.initializers, { weights, half });
  const rename = (name: string) =>
    same.get(name) ?? names[name] ?? name.replace(/^out:/, "").replace(/^new:/, "new_");
  const renamed = (values: readonly OnnxValueInfo[]) =>
    values.map((v) => ({ ...v, name: rename(v.name) }));
  const nodes = [...casts, ...model.nodes].map((n) => ({
    ...n,
    inputs: n.inputs.map(rename),
    outputs: n.outputs.map(rename),
  }));
  const whole: OnnxModel = {
    nodes,
    initializers,
    inputs: renamed(model.inputs),
    outputs: renamed(model.outputs),
    domains: [...new Set(nodes.map((n) => n.domain))].filter((d) => d !== ""),
  };
  return { bytes: encodeModel(whole), inputs: whole.inputs, outputs: whole.outputs };
}
