/**
 * Matrices in 8 or 4 bits, one scale for each block of a row: how values are rounded, and which block fits. Decoding
 * only. A draft may always be rounded, what the target accepts does not depend on it; a rounded target is
 * another target (`Target` in `load.ts` says what it promises). Matrices to round: `draft.ts`, `llama.ts`.
 */
import type { DType, Shape } from "../graph/node.ts";

/** Bits of a value in a matrix; 32: not rounded, as the backend stores it. */
export type Bits = 32 | 8 | 4;

/** Blocks by bits: fewer bits want scales for fewer values. */
const BLOCKS = { 8: [128, 64, 32, 16], 4: [32, 16] } as const;

/**
 * Block that suits all matrices [O, I]: the largest power of two, up to 128 in 8 bits and 32 in 4, that divides every
 * row; 0 where none from 16 on does.
 */
export function quantBlock(matrices: Record<string, Shape>, bits: 8 | 4 = 8): number {
  const rows = Object.values(matrices).map(([, i]) => i);
  return BLOCKS[bits].find((block) => rows.every((i) => i % block === 0)) ?? 0;
}

/** @throws as {@link quantBlock} finds none. `what` is whose matrices they are. */
export function wantedBlock(
  matrices: Record<string, Shape>,
  { bits, what }: { bits: 8 | 4; what: string },
): number {
  const block = quantBlock(matrices, bits);
  if (block > 0) return block;
  throw new Error(`Cannot quantise a ${what} whose rows are not multiples of 16`);
}

/** How weights are held, by name: types, and for rounded matrices `NAME.packed` and `NAME.scales`. */
export type Stored = Readonly<Record<string, { readonly shape: Shape; readonly dtype: DType }>>;

/** How rounded matrices [O, I] are held. */
export function packedShapes(
  matrices: Record<string, Shape>,
  { bits, block }: { bits: 8 | 4; block: number },
): Stored {
  return Object.fromEntries(
    Object.entries(matrices).flatMap(([name, [outer, inner]]) => [
      [`${name}.packed`, { shape: [outer, inner / block, block * bits / 8], dtype: "u8" }],
      [`${name}.scales`, { shape: [outer, inner / block], dtype: "f32" }],
    ]),
  );
}

/** A block-quantised matrix as {@link quantizedMatmul} takes it. */
export interface Quantized {
  packed: Uint8Array;
  scales: Float32Array;
}

/** Rounds w [O, I] with one scale for each block of a row, to 8 bits unless 4 are asked for. */
export function quantize(w: Float32Array, block: number, bits: 8 | 4 = 8): Quantized {
  return bits === 8 ? toBytes(w, block) : toHalves(w, block);
}

/** q = round(w / scale) + 128. */
function toBytes(w: Float32Array, block: number): Quantized {
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

/** Rounds w[from .. from + q.length) to -8 .. 7 times a scale; how far they are from it: the sum of squares. */
function roundBlock(
  w: Float32Array,
  { from, scale, q }: { from: number; scale: number; q: Int8Array },
): number {
  let error = 0;
  for (let i = 0; i < q.length; i++) {
    const rounded = Math.max(-8, Math.min(7, Math.round(w[from + i] / scale)));
    q[i] = rounded;
    error += (rounded * scale - w[from + i]) ** 2;
  }
  return error;
}

/**
 * q = round(w / scale) + 8, two a byte. There is one more value below 0 than above: the largest becomes either -8
 * (with a negative scale where it is positive) or 7, whichever rounds the block better.
 */
function toHalves(w: Float32Array, block: number): Quantized {
  const packed = new Uint8Array(w.length / 2), scales = new Float32Array(w.length / block);
  const wide = new Int8Array(block), even = new Int8Array(block);
  for (let b = 0; b < scales.length; b++) {
    const from = b * block;
    let largest = 0;
    for (let i = from; i < from + block; i++) {
      if (Math.abs(w[i]) > Math.abs(largest)) largest = w[i];
    }
    const low = Math.fround(largest / -8) || 1, high = Math.fround(Math.abs(largest) / 7) || 1;
    const first = roundBlock(w, { from, scale: low, q: wide });
    const better = first <= roundBlock(w, { from, scale: high, q: even });
    const q = better ? wide : even;
    scales[b] = better ? low : high;
    for (let i = 0; i < block; i += 2) packed[(from + i) / 2] = q[i] + 8 | q[i + 1] + 8 << 4;
  }
  return { packed, scales };
}

/** The matrix [O, I] that they stand for; `size` is its number of values. */
export function dequantize({ packed, scales }: Quantized, size = packed.length): Float32Array {
  const block = size / scales.length, bits = 8 * packed.length / size;
  const q = (i: number) => bits === 8 ? packed[i] - 128 : (packed[i >> 1] >> 4 * (i & 1) & 15) - 8;
  return Float32Array.from({ length: size }, (_, i) => q(i) * scales[Math.floor(i / block)]);
}
