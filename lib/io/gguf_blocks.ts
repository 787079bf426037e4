/**
 * Element types of GGUF files by their number: how many bytes a block of values takes, and for those that can be read,
 * their values. Layouts: the format's specification and ggml's block structures. The file itself: `gguf.ts`.
 */
import { fromBrain, fromHalf } from "./float16.ts";

/** Reads `count` values of whole blocks. */
type ReadBlocks = (data: Uint8Array<ArrayBuffer>, count: number) => Float32Array;

/** A type: values of a block, its bytes, and how blocks become f32 where that is known here. */
interface BlockType {
  name: string;
  values: number;
  bytes: number;
  read?: ReadBlocks;
}

const half = (data: Uint8Array<ArrayBuffer>, at: number): number =>
  new DataView(data.buffer).getFloat16(data.byteOffset + at, true);

/** A reader of blocks: `unpack` writes the values of the block at `at` to `out` from `to` on. */
const blocks = (
  { values, bytes }: { values: number; bytes: number },
  unpack: (data: Uint8Array<ArrayBuffer>, at: number, out: Float32Array, to: number) => void,
) =>
(data: Uint8Array<ArrayBuffer>, count: number): Float32Array => {
  const out = new Float32Array(count);
  for (let to = 0, at = 0; to < count; to += values, at += bytes) unpack(data, at, out, to);
  return out;
};

const Q8_0 = { values: 32, bytes: 34 }, Q4_0 = { values: 32, bytes: 18 };
const Q4_K = { values: 256, bytes: 144 }, Q6_K = { values: 256, bytes: 210 };

/** A scale in f16, then 32 signed bytes. */
const readQ8_0: ReadBlocks = blocks(Q8_0, (data, at, out, to) => {
  const scale = half(data, at);
  for (let i = 0; i < 32; i++) out[to + i] = scale * (data[at + 2 + i] << 24 >> 24);
});

/** A scale in f16, then 16 bytes: their low halves are the first 16 values, the high halves the others; 8 is zero. */
const readQ4_0: ReadBlocks = blocks(Q4_0, (data, at, out, to) => {
  const scale = half(data, at);
  for (let i = 0; i < 16; i++) {
    const byte = data[at + 2 + i];
    out[to + i] = scale * ((byte & 15) - 8);
    out[to + 16 + i] = scale * ((byte >> 4) - 8);
  }
});

/**
 * Eight groups of 32 values, each with a scale and a minimum of 6 bits: the first four of each in the low bits of their
 * bytes, the upper bits of the others in those bytes' high bits. A value is scale * 4 bits - minimum.
 */
const readQ4_K: ReadBlocks = blocks(Q4_K, (data, at, out, to) => {
  const scale = half(data, at), least = half(data, at + 2), packed = at + 4, bits = at + 16;
  for (let g = 0; g < 8; g++) {
    const low = data[packed + g % 4],
      high = data[packed + 4 + g % 4],
      rest = data[packed + 8 + g % 4];
    const s = g < 4 ? low & 63 : (rest & 15) | (low >> 6) << 4;
    const m = g < 4 ? high & 63 : (rest >> 4) | (high >> 6) << 4;
    // f32 after each product, as the format's own reader has it.
    const by = Math.fround(scale * s), minus = Math.fround(least * m);
    for (let i = 0; i < 32; i++) {
      const byte = data[bits + 32 * (g >> 1) + i], q = g % 2 === 0 ? byte & 15 : byte >> 4;
      out[to + 32 * g + i] = Math.fround(by * q) - minus;
    }
  }
});

/** 6 bits a value, 4 in one place and 2 in another, 32 being zero; a signed scale for each 16 of them. */
const readQ6_K: ReadBlocks = blocks(Q6_K, (data, at, out, to) => {
  const low = at, high = at + 128, scales = at + 192, scale = half(data, at + 208);
  for (let i = 0; i < 256; i++) {
    const part = i >> 7, within = i & 127, row = within >> 5, column = within & 31; // halves of 4 rows of 32
    const byte = data[low + 64 * part + 32 * (row & 1) + column];
    const four = row < 2 ? byte & 15 : byte >> 4;
    const two = (data[high + 32 * part + column] >> (2 * row)) & 3;
    const by = Math.fround(scale * (data[scales + (i >> 4)] << 24 >> 24));
    out[to + i] = by * ((four | two << 4) - 32);
  }
});

const words = (data: Uint8Array<ArrayBuffer>) => new Uint16Array(data.buffer);

/** Types by number. Those without a reader are known by their size, so that the rest of a file can be read. */
const TYPES = {
  0: {
    name: "F32",
    values: 1,
    bytes: 4,
    read: (data: Uint8Array<ArrayBuffer>): Float32Array => new Float32Array(data.buffer),
  },
  1: {
    name: "F16",
    values: 1,
    bytes: 2,
    read: (data: Uint8Array<ArrayBuffer>): Float32Array => fromHalf(words(data)),
  },
  2: { name: "Q4_0", ...Q4_0, read: readQ4_0 },
  3: { name: "Q4_1", values: 32, bytes: 20 },
  6: { name: "Q5_0", values: 32, bytes: 22 },
  7: { name: "Q5_1", values: 32, bytes: 24 },
  8: { name: "Q8_0", ...Q8_0, read: readQ8_0 },
  9: { name: "Q8_1", values: 32, bytes: 40 },
  10: { name: "Q2_K", values: 256, bytes: 84 },
  11: { name: "Q3_K", values: 256, bytes: 110 },
  12: { name: "Q4_K", ...Q4_K, read: readQ4_K },
  13: { name: "Q5_K", values: 256, bytes: 176 },
  14: { name: "Q6_K", ...Q6_K, read: readQ6_K },
  15: { name: "Q8_K", values: 256, bytes: 292 },
  16: { name: "IQ2_XXS", values: 256, bytes: 66 },
  17: { name: "IQ2_XS", values: 256, bytes: 74 },
  18: { name: "IQ3_XXS", values: 256, bytes: 98 },
  19: { name: "IQ1_S", values: 256, bytes: 50 },
  20: { name: "IQ4_NL", values: 32, bytes: 18 },
  21: { name: "IQ3_S", values: 256, bytes: 110 },
  22: { name: "IQ2_S", values: 256, bytes: 82 },
  23: { name: "IQ4_XS", values: 256, bytes: 136 },
  28: {
    name: "F64",
    values: 1,
    bytes: 8,
    read: (data: Uint8Array<ArrayBuffer>): Float32Array =>
      Float32Array.from(new Float64Array(data.buffer)),
  },
  29: { name: "IQ1_M", values: 256, bytes: 56 },
  30: {
    name: "BF16",
    values: 1,
    bytes: 2,
    read: (data: Uint8Array<ArrayBuffer>): Float32Array => fromBrain(words(data)),
  },
  39: { name: "MXFP4", values: 32, bytes: 17 },
} as const satisfies Record<number, BlockType>;

/** Names of types as the format has them. */
export type BlockName = typeof TYPES[keyof typeof TYPES]["name"];

/** The same by any number that a file may hold. */
export const BLOCK_TYPES: Readonly<Record<number, BlockType>> = TYPES;

/** Names of the types whose values can be read. */
export const READABLE_BLOCKS: readonly string[] = Object.values(BLOCK_TYPES)
  .filter(({ read }) => read !== undefined).map(({ name }) => name);
