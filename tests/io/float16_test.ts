/** Tests lib/io/float16.ts: known bit patterns, rounding, specials. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { fromBrain, fromHalf, toBrain, toHalf } from "../../lib/io/float16.ts";

Deno.test("half: known patterns, subnormals, infinities, NaN", () => {
  const values = [0, 1, -2, 65504, 2 ** -24, 2 ** -14, Infinity, -Infinity];
  const bits = [0, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x7c00, 0xfc00];
  deepEqual([...toHalf(Float32Array.from(values))], bits);
  deepEqual([...fromHalf(Uint16Array.from(bits))], values);
  ok(Number.isNaN(fromHalf(toHalf(Float32Array.of(NaN)))[0]));
  equal(toHalf(Float32Array.of(70000))[0], 0x7c00);
});

Deno.test("half: all finite patterns survive the round trip", () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((b) =>
    (b & 0x7c00) !== 0x7c00
  );
  deepEqual(toHalf(fromHalf(bits)), bits);
});

Deno.test("half and brain: ties go to even", () => {
  deepEqual([...toHalf(Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11))], [0x3c00, 0x3c02]);
  deepEqual([...toBrain(Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8))], [0x3f80, 0x3f82]);
});

Deno.test("brain: round trip of all patterns but NaN, and NaN stays NaN", () => {
  const isNan = (b: number) => (b & 0x7fff) > 0x7f80;
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((b) => !isNan(b));
  deepEqual(toBrain(fromBrain(bits)), bits);
  ok(Number.isNaN(fromBrain(toBrain(Float32Array.of(NaN)))[0]));
});

Deno.test("a view into a larger buffer converts only its part", () => {
  const all = Uint16Array.of(0, 0x3c00, 0x4000, 0);
  deepEqual([...fromHalf(all.subarray(1, 3))], [1, 2]);
});

Deno.test("half: midpoints of all neighbours go to the even one, and just above them up", () => {
  const all = fromHalf(Uint16Array.from({ length: 0x7c00 }, (_, i) => i)); // finite, not negative
  const middles = all.slice(1).map((v, i) => (v + all[i]) / 2);
  deepEqual(toHalf(middles), Uint16Array.from(middles, (_, i) => i + (i & 1)));
  const above = middles.map((m) => m * (1 + 2 ** -22));
  deepEqual(toHalf(above), Uint16Array.from(above, (_, i) => i + 1));
});

Deno.test("brain: the largest f32 rounds to infinity, a NaN of low bits stays one", () => {
  const largest = new Float32Array(Uint32Array.of(0x7f7fffff, 0xff7fffff).buffer);
  deepEqual([...toBrain(largest)], [0x7f80, 0xff80]);
  const low = new Float32Array(Uint32Array.of(0x7f800001).buffer);
  ok(Number.isNaN(fromBrain(toBrain(low))[0]));
  deepEqual([...toBrain(Float32Array.of(9, 1, 9).subarray(1, 2))], [0x3f80]);
});
