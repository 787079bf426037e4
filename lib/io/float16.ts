/**
 * 16-bit floating point in bulk: IEEE half (f16) through the engine's Float16Array, bfloat16 (bf16) by
 * shifting bits. Rounds to nearest, ties to even. Used by `safetensors.ts` and the feature shards.
 */

/** f16 bit patterns to f32. */
export function fromHalf(bits: Uint16Array): Float32Array {
  return new Float32Array(new Float16Array(bits.buffer, bits.byteOffset, bits.length));
}

/** f32 to f16 bit patterns; too large becomes infinity. */
export function toHalf(values: Float32Array): Uint16Array {
  return new Uint16Array(new Float16Array(values).buffer);
}

/** bf16 bit patterns to f32: the upper half of its bits. */
export function fromBrain(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i] << 16;
  return new Float32Array(out.buffer);
}

/** f32 to bf16 bit patterns. */
export function toBrain(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i];
    const nan = (b & 0x7fffffff) > 0x7f800000;
    out[i] = nan ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
  return out;
}
