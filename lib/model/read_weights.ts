/**
 * From the tensors of a published checkpoint to the weights of the target's Program: some stand side by side there,
 * and what a file holds in 16 bits can stay so. Used by `load.ts`.
 */
import { sameShape, type Shape, sizeOf } from "../graph/node.ts";
import { toHalf } from "../io/float16.ts";
import type { TensorSource } from "../io/safetensors.ts";
import type { TargetConfig } from "./config.ts";
import { alternateRows } from "./experts.ts";
import { targetShapes } from "./llama.ts";

/** Published names of matrices that the target Program reads side by side. */
const MERGED: Record<string, string[]> = {
  "self_attn.qkv_proj": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  "mlp.gate_up_proj": ["mlp.gate_proj", "mlp.up_proj"],
  ".w13.": [".w1.", ".w3."],
};

/** The published matrices behind one of the Program's, top first, and the shape of each. */
function sourcesOf(
  name: string,
  { shape, config }: { shape: Shape; config: TargetConfig },
): [name: string, shape: Shape][] {
  if (shape.length === 3) { // experts, one behind the other
    const [count, ...own] = shape, apart = { shape: own, config };
    return Array.from(
      { length: count },
      (_, e) => sourcesOf(name.replace(".experts.", `.experts.${e}.`), apart),
    ).flat();
  }
  const merged = Object.keys(MERGED).find((m) => name.includes(m));
  if (merged === undefined) return [[name, shape]];
  const { heads, kvHeads, headSize: k, inner } = config;
  const rows = merged.startsWith("self_attn")
    ? [heads * k, kvHeads * k, kvHeads * k]
    : [inner, inner];
  return MERGED[merged].map((part, i) => [
    name.replace(merged, part),
    [rows[i], ...shape.slice(1)],
  ]);
}

/** Published names and shapes of all weights of a target. */
export function publishedShapes(config: TargetConfig): Record<string, Shape> {
  const all = Object.entries(targetShapes(config));
  return Object.fromEntries(all.flatMap(([name, shape]) => sourcesOf(name, { shape, config })));
}

/** @throws when a tensor of a file has another shape than the configuration says. */
export function checkShape(file: TensorSource, name: string, wanted: Shape): void {
  const { shape } = file.info(name);
  if (!sameShape(shape, wanted)) {
    throw new Error(
      `Cannot use ${file.path}: ${name} is [${shape}], config.json wants [${wanted}]`,
    );
  }
}

/** Bits as f16 of a tensor that its file holds in 16 bits; undefined where it holds more, or f16 cannot. */
function storedHalf(file: TensorSource, name: string): Uint16Array | undefined {
  const { dtype } = file.info(name);
  if (dtype === "F16") return file.readHalf(name);
  if (dtype !== "BF16") return undefined;
  const bits = toHalf(file.readFloat32(name));
  return bits.some((b) => (b & 0x7fff) >= 0x7c00) ? undefined : bits;
}

/** Gives a weight of the Program by name; `into` is memory for it, at least as large, of which a part is returned. */
export type ReadWeight = (name: string, shape: Shape, into?: Float32Array) => Float32Array;

/** Reads the Program's weights by name, with the shape that its configuration gives. */
export interface WeightReader {
  /** Straight into the memory that the weight is to have. */
  read: ReadWeight;
  /** As bits of f16; undefined where the file holds more than 16 bits of a part, or f16 cannot. */
  readHalf(name: string, shape: Shape): Uint16Array | undefined;
}

/** Reads weights of a target's Program from files. @throws when one is missing or contradicts `config`. */
export function weightReader(file: TensorSource, config: TargetConfig): WeightReader {
  const partsOf = (name: string, shape: Shape) => {
    const parts = sourcesOf(name, { shape, config });
    for (const [part, wanted] of parts) checkShape(file, part, wanted);
    return parts;
  };
  return {
    read(name, shape, into = new Float32Array(sizeOf(shape))) {
      let at = 0;
      for (const [part, wanted] of partsOf(name, shape)) {
        file.readFloat32(part, into.subarray(at, at += sizeOf(wanted)));
      }
      const whole = into.subarray(0, at);
      if (shape.length === 3 && name.includes(".w13.")) alternateRows(whole, shape);
      return whole;
    },
    readHalf(name, shape) {
      const parts = partsOf(name, shape).map(([part]) => storedHalf(file, part));
      if (!parts.every((part) => part !== undefined)) return undefined;
      if (parts.length === 1) return parts[0];
      const whole = new Uint16Array(sizeOf(shape));
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.length;
      }
      return whole;
    },
  };
}
