/**
 * How rows of features are stored: 16-bit floats, 8-bit integers with one f32 scale a row and layer, or not
 * at all. Arrays in, arrays out; it knows no files. Those: `shards.ts`.
 */
import { fromHalf, toHalf } from "../io/float16.ts";

/** Ways to store features; with "none" they are computed when they are read (`online.ts`). */
export const STORAGES = ["f16", "i8", "none"] as const;
export type Storage = (typeof STORAGES)[number];

/** Largest magnitude of an 8-bit value; -128 is not used, so that both signs reach as far. */
const LARGEST = 127;

/** 8-bit rows: element i of row r stands for `values[r width + i] * scales[r]`. */
export interface ByteRows {
  values: Int8Array;
  scales: Float32Array;
}

/** Rounds rows of `width` values to 8 bits; the largest of a row becomes 127. Rows of zeros have scale 0. */
export function toBytes(rows: Float32Array, width: number): ByteRows {
  const values = new Int8Array(rows.length), scales = new Float32Array(rows.length / width);
  for (let r = 0; r < scales.length; r++) {
    const start = r * width, end = start + width;
    let largest = 0;
    for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(rows[i]));
    scales[r] = largest / LARGEST;
    // Divided by the scale that is stored, not by the one before its rounding. Rows too small for any scale
    // become zeros.
    const scale = scales[r];
    if (scale === 0) continue;
    for (let i = start; i < end; i++) {
      values[i] = Math.max(-LARGEST, Math.min(LARGEST, Math.round(rows[i] / scale)));
    }
  }
  return { values, scales };
}

/** The rows that bytes stand for. */
export function fromBytes({ values, scales }: ByteRows): Float32Array {
  const rows = new Float32Array(values.length), width = values.length / (scales.length || 1);
  for (let r = 0; r < scales.length; r++) {
    const scale = scales[r], end = (r + 1) * width;
    for (let i = r * width; i < end; i++) rows[i] = values[i] * scale;
  }
  return rows;
}

/** Mean over the rows that are not zero of |found - wanted| / |wanted|, both [R, width]. */
export function rowError(
  found: Float32Array,
  { wanted, width }: { wanted: Float32Array; width: number },
): number {
  let sum = 0, count = 0;
  for (let start = 0; start < wanted.length; start += width) {
    let off = 0, size = 0;
    for (let i = start; i < start + width; i++) {
      off += (found[i] - wanted[i]) ** 2;
      size += wanted[i] ** 2;
    }
    if (size === 0) continue;
    sum += Math.sqrt(off / size);
    count++;
  }
  return sum / Math.max(1, count);
}

/** Arrays of one example as its shard's columns hold them, by column. */
export type Packed = Record<string, Uint16Array | Int8Array | Float32Array>;

/** Packs features [L, D] and tapped [L, n D] for a storage. */
export function pack(
  { features, tapped }: { features: Float32Array; tapped: Float32Array },
  { storage, width }: { storage: Storage; width: number },
): Packed {
  if (storage === "none") return {};
  if (storage === "f16") return { features: toHalf(features), tapped: toHalf(tapped) };
  // Every tapped layer has a scale of its own: early layers are much smaller than late ones.
  const own = toBytes(features, width), others = toBytes(tapped, width);
  return {
    scales: own.scales,
    tapped_scales: others.scales,
    features: own.values,
    tapped: others.values,
  };
}

/** The reverse of {@link pack}: features and tapped values exactly as they are stored. */
export function unpack(packed: Packed): { features: Float32Array; tapped: Float32Array } {
  const { features, tapped, scales, tapped_scales } = packed;
  if (features instanceof Uint16Array) {
    const none = new Uint16Array(0);
    return { features: fromHalf(features), tapped: fromHalf((tapped ?? none) as Uint16Array) };
  }
  const rows = (values: Packed[string] | undefined, by: Packed[string] | undefined) =>
    fromBytes({
      values: (values ?? new Int8Array(0)) as Int8Array,
      scales: (by ?? new Float32Array(0)) as Float32Array,
    });
  return { features: rows(features, scales), tapped: rows(tapped, tapped_scales) };
}
