/**
 * Matrices in 8 bits, one scale for each block of a row: how values are rounded, and which block fits. Decoding
 * only. A draft may always be rounded, what the target accepts does not depend on it; a rounded target is
 * another target (`Target` in `load.ts` says what it promises). Matrices to round: `draft.ts`, `llama.ts`.
 */
import type { Shape } from "../graph/node.ts";

/** Block that suits all matrices [O, I]: the largest power of two from 16 to 128 that divides every row, else 0. */
export function quantBlock(matrices: Record<string, Shape>): number {
  const rows = Object.values(matrices).map(([, i]) => i);
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

/** The matrix [O, I] that 8 bits stand for: (q - 128) scale. */
export function dequantize({ packed, scales }: Quantized): Float32Array {
  const block = packed.length / scales.length;
  return Float32Array.from(packed, (q, i) => (q - 128) * scales[Math.floor(i / block)]);
}
