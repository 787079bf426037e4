/** 8-bit and 4-bit matrices: how far values move, and which block sizes divide every row. */
import assert from "node:assert/strict";
import { draftMatrices } from "../../lib/model/draft.ts";
import { dequantize, quantBlock, quantize } from "../../lib/model/quantize.ts";
import { random } from "../../lib/random.ts";
import { tinyDraftConfig } from "./tiny.ts";

/** LLaMA-2-7B's sizes. */
const LLAMA = tinyDraftConfig(undefined, {
  width: 4096,
  inner: 11008,
  heads: 32,
  kvHeads: 32,
  headSize: 128,
  vocabulary: 32000,
});

Deno.test("8-bit values are within half a step of their block's largest value", () => {
  const from = random(4, "weights"), block = 16;
  const w = Float32Array.from({ length: 12 * block }, (_, i) => from.normal() * 10 ** (i / 50 - 2));
  w.fill(0, 2 * block, 3 * block);
  const { packed, scales } = quantize(w, block);
  assert.equal(packed.length, w.length);
  assert.equal(scales.length, 12);
  for (let b = 0; b < 12; b++) {
    const values = w.subarray(b * block, (b + 1) * block);
    const largest = Math.max(...values.map(Math.abs)), step = largest / 127;
    values.forEach((value, i) => {
      const restored = (packed[b * block + i] - 128) * scales[b];
      assert.ok(
        Math.abs(restored - value) <= 0.5001 * step,
        `block ${b}: ${value} became ${restored}, step ${step}`,
      );
      if (Math.abs(value) === largest) assert.ok(Math.abs(restored - value) <= 1e-6 * largest);
    });
  }
});

Deno.test("what 8 bits stand for is kept by being rounded again", () => {
  const from = random(5, "weights"), block = 32;
  const w = Float32Array.from({ length: 9 * block }, () => from.normal());
  w.fill(0, block, 2 * block);
  const once = quantize(w, block), values = dequantize(once), twice = quantize(values, block);
  values.forEach((value, i) => {
    assert.ok(Math.abs(value - w[i]) <= 0.5001 * once.scales[Math.floor(i / block)], `${i}`);
  });
  assert.deepEqual(twice.packed, once.packed);
  assert.deepEqual(dequantize(twice), values);
});

Deno.test("4-bit values are two a byte, each as near as a step lets it be", () => {
  const from = random(6, "weights"), block = 32;
  const w = Float32Array.from({ length: 20 * block }, () => from.normal());
  w.fill(0, block, 2 * block);
  const { packed, scales } = quantize(w, block, 4),
    values = dequantize({ packed, scales }, w.length);
  assert.equal(packed.length, w.length / 2);
  values.forEach((value, i) => {
    const scale = scales[Math.floor(i / block)], q = value / scale, step = Math.abs(scale);
    // The largest of the other sign may be cut to 7 steps.
    const cut = Math.abs(w[i]) > 7 * step;
    assert.ok(Number.isInteger(Math.round(q * 1e6) / 1e6) && q >= -8.001 && q <= 7.001, `${q}`);
    assert.ok(Math.abs(value - w[i]) <= (cut ? 1.001 : 0.5001) * step, `${w[i]} became ${value}`);
  });
  // Low half first.
  const [low, high] = [packed[0] & 15, packed[0] >> 4].map((q) => Math.fround((q - 8) * scales[0]));
  assert.deepEqual([low, high], [...values.subarray(0, 2)]);
  // Either sign of the scale is used, and what is kept is kept again.
  assert.ok(scales.some((s) => s < 0) && scales.some((s) => s > 0));
  assert.deepEqual(dequantize(quantize(values, block, 4), w.length), values);
});

Deno.test("blocks divide every row, or there are none", () => {
  const block = quantBlock(draftMatrices(LLAMA));
  assert.equal(block, 128);
  assert.equal(quantBlock(draftMatrices(LLAMA), 4), 32);
  assert.equal(quantBlock(draftMatrices(tinyDraftConfig())), 16);
  assert.equal(quantBlock(draftMatrices(tinyDraftConfig(undefined, { inner: 20 }))), 0);
  for (const [name, [, inner]] of Object.entries(draftMatrices(LLAMA))) {
    assert.equal(inner % block, 0, name);
  }
});
