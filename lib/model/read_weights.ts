/**
 * Weights of a target as its Program names them, read from files that have published names: matrices that the Program
 * reads side by side are joined as they are read, straight into the memory that they are to have. Who places them:
 * `load.ts`.
 */
import { sameShape, type Shape, sizeOf } from "../graph/node.ts";
import type { TensorSource } from "../io/safetensors.ts";
import type { TargetConfig } from "./config.ts";
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

/** @throws when a tensor of a file has another shape than is wanted. */
export function checkShape(file: TensorSource, name: string, wanted: Shape): void {
  const { shape } = file.info(name);
  if (!sameShape(shape, wanted)) {
    throw new Error(
      `Cannot use ${file.path}: ${name} is [${shape}], config.json wants [${wanted}]`,
    );
  }
}

/** Gives a weight of the Program by name; `into` is memory for it, at least as large, of which a part is returned. */
export type ReadWeight = (name: string, shape: Shape, into?: Float32Array) => Float32Array;

/** Reads weights of a target's Program from files. @throws when one is missing or contradicts `config`. */
export function weightReader(file: TensorSource, config: TargetConfig): ReadWeight {
  return (name, shape, into = new Float32Array(sizeOf(shape))) => {
    let at = 0;
    for (const [part, wanted] of sourcesOf(name, { shape, config })) {
      checkShape(file, part, wanted);
      file.readFloat32(part, into.subarray(at, at += sizeOf(wanted)));
    }
    return into.subarray(0, at);
  };
}
