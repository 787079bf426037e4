/**
 * A draft's matrices in 8 bits, one scale for each block of a row. Decoding only: what a draft proposes may be
 * rounded, what the target accepts does not depend on it. Used by `draft.ts` (graph) and `load.ts` (values).
 */
import type { Shape } from "../graph/node.ts";
import type { DraftConfig } from "./config.ts";
import { draftShapes } from "./draft.ts";

/** Matrices of a decoding Program that `quantize` may replace: name -> [O, I]. */
export function draftMatrices(config: DraftConfig): Record<string, Shape> {
  const shapes = Object.entries(draftShapes(config)).filter(([, s]) => s.length === 2);
  return { "lm_head.weight": [config.vocabulary, config.width], ...Object.fromEntries(shapes) };
}

/** Block of the 8-bit draft weights: the largest power of two up to 128 that divides every row. */
export function quantBlock(config: DraftConfig): number {
  const rows = Object.values(draftMatrices(config)).map(([, i]) => i);
  return [128, 64, 32, 16].find((block) => rows.every((i) => i % block === 0)) ?? 0;
}

/** A block-quantised matrix as {@link quantizedMatmul} takes it. */
export interface Quantized {
  packed: Uint8Array;
  scales: Float32Array;
}

/** Rounds w [O, I] to 8 bits with one scale for each block of a row: q = round(w / scale) + 128. */
export function quantize(w: Float32Array, block: number): Quantized {
  const packed = new Uint8Array(w.length), scales = new Float32Array(w.length / block);
  for (let b = 0; b < scales.length; b++) {
    let largest = 0;
    for (let i = b * block; i < (b + 1) * block; i++) largest = Math.max(largest, Math.abs(w[i]));
    const scale = largest / 127 || 1;
    scales[b] = scale;
    for (let i = b * block; i < (b + 1) * block; i++) packed[i] = Math.round(w[i] / scale) + 128;
  }
  return { packed, scales };
}
