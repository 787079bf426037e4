/** Batches: which examples stand where, and what their rows hold. */
import assert from "node:assert/strict";
import type { Examples } from "../../lib/data/features.ts";
import { type BatchPlan, fillBatch, planEpoch, planRun } from "../../lib/train/batches.ts";
import { madeUp } from "./tiny_run.ts";

const LENGTHS = [3, 64, 65, 130, 20, 64, 300, 2, 127, 128, 129, 63, 90, 40, 9, 11, 33];
const PLANNING = { epoch: 0, seed: 1, rows: 256, maxLength: 192 };

Deno.test("an epoch holds every example once, in batches that fit", () => {
  for (let epoch = 0; epoch < 5; epoch++) {
    const plans = planEpoch(LENGTHS, { ...PLANNING, epoch });
    const all = plans.flatMap((p) => p.rows.flat()).sort((a, b) => a - b);
    assert.deepEqual(all, LENGTHS.map((_, i) => i));
    for (const { batch, length, rows } of plans) {
      assert.ok(rows.length >= 1 && rows.length <= batch);
      assert.ok(batch * length <= PLANNING.rows);
      assert.equal(length % 64, 0);
      for (const [i] of rows) {
        const real = Math.min(LENGTHS[i], PLANNING.maxLength);
        assert.ok(real <= length && real > length - 64, `${real} tokens in ${length} rows`);
      }
    }
  }
});

Deno.test("one example longer than the rows of a batch still makes a batch", () => {
  const plans = planEpoch([500, 500], { ...PLANNING, maxLength: 512 });
  assert.deepEqual(plans.map(({ batch, length }) => [batch, length]), [[1, 512], [1, 512]]);
});

Deno.test("the order is a function of seed and epoch, and of nothing else", () => {
  const plan = (changes: { epoch?: number; seed?: number }) =>
    planEpoch(LENGTHS, { ...PLANNING, ...changes });
  assert.deepEqual(plan({}), plan({}));
  assert.notDeepEqual(plan({}), plan({ epoch: 1 }));
  assert.notDeepEqual(plan({}), plan({ seed: 2 }));
  // Shapes do not depend on the order: programs are compiled once.
  const shapes = (plans: BatchPlan[]) => plans.map((p) => `${p.batch}x${p.length}`).sort();
  assert.deepEqual(shapes(plan({})), shapes(plan({ epoch: 1 })));
});

const NOISE = { seed: 1, noise: 0.1 };

Deno.test("row t holds feature t, token t + 1 and whether it is trained; the last row never is", async () => {
  const lengths = [5, 9], width = 4, examples = madeUp(lengths, { width });
  const plan = { batch: 3, length: 12, rows: [[1], [0]] };
  const batch = await fillBatch(examples, { plan, epoch: 0 }, { ...NOISE, noise: 0 });
  let trained = 0;
  for (const [b, index] of [1, 0].entries()) {
    const example = await examples.read(index), n = lengths[index];
    const { features } = example;
    for (let t = 0; t < 12; t++) {
      const row = b * 12 + t, what = `example ${index}, row ${t}`;
      assert.equal(batch.ids[row], t + 1 < n ? example.ids[t + 1] : 0, what);
      assert.equal(batch.mask[row], t + 1 < n ? example.mask[t] : 0, what);
      assert.deepEqual(
        batch.features.slice(row * width, (row + 1) * width),
        t < n ? features.slice(t * width, (t + 1) * width) : new Float32Array(width),
        what,
      );
      trained += batch.mask[row];
    }
  }
  assert.deepEqual([batch.trained, batch.tokens], [trained, 14]);
  assert.ok(trained > 5);
  // The third place is empty.
  assert.ok(batch.ids.subarray(24).every((x) => x === 0));
  assert.ok(batch.mask.subarray(24).every((x) => x === 0));
  assert.deepEqual(batch.noisy, batch.features);
});

Deno.test("an example that is too long is cut, and its last row not trained", async () => {
  const examples = madeUp([100]), example = await examples.read(0);
  const plan = { batch: 1, length: 64, rows: [[0]] };
  const batch = await fillBatch(examples, { plan, epoch: 0 }, NOISE);
  assert.equal(batch.tokens, 64);
  assert.deepEqual(batch.ids.slice(0, 63), example.ids.slice(1, 64));
  assert.deepEqual([batch.ids[63], batch.mask[63]], [0, 0]);
});

Deno.test("noise is uniform of the given half-width, on the input features only", async () => {
  const examples = madeUp([60, 64], { width: 32 });
  const plan = { plan: { batch: 2, length: 64, rows: [[0], [1]] }, epoch: 0 };
  const { noisy, features } = await fillBatch(examples, plan, { ...NOISE, noise: 0.2 });
  // Of the real rows: f32 rounding of feature plus noise is far below the bounds.
  const noise = Array.from(noisy, (x, i) => x - features[i]).slice(0, 60 * 32);
  const mean = noise.reduce((a, b) => a + b) / noise.length;
  const square = noise.reduce((a, b) => a + b * b, 0) / noise.length;
  assert.ok(noise.every((x) => Math.abs(x) <= 0.2 + 1e-6));
  assert.ok(Math.max(...noise) > 0.19 && Math.min(...noise) < -0.19);
  assert.ok(Math.abs(mean) < 0.2 * 0.05, `mean ${mean}`);
  assert.ok(Math.abs(square / (0.2 * 0.2 / 3) - 1) < 0.1, `variance ${square}`);
  const clean = await fillBatch(examples, plan, { ...NOISE, noise: 0 });
  assert.deepEqual(features, clean.features);
});

Deno.test("noise belongs to example and epoch, wherever the example stands", async () => {
  const examples = madeUp([60, 64, 50]), part = 64 * 4;
  const fill = (list: number[], { epoch = 0, seed = 1 } = {}) => {
    const plan = { batch: 3, length: 64, rows: list.map((i) => [i]) };
    return fillBatch(examples, { plan, epoch }, { ...NOISE, seed });
  };
  const one = await fill([2, 0]), two = await fill([0, 1, 2]);
  assert.deepEqual(one.noisy.slice(0, part), two.noisy.slice(2 * part, 3 * part));
  assert.deepEqual(one.noisy.slice(part, 2 * part), two.noisy.slice(0, part));
  const later = await fill([2, 0], { epoch: 1 }), seeded = await fill([2, 0], { seed: 2 });
  for (const other of [later, seeded]) {
    assert.deepEqual(other.features, one.features);
    assert.notDeepEqual(other.noisy, one.noisy);
  }
  // Two examples of a batch do not share their noise.
  const noise = Array.from(one.noisy, (x, i) => x - one.features[i]);
  assert.ok(Math.abs(noise[0] - noise[part]) > 1e-4);
});

const RUN = { seed: 1, rows: 256, maxLength: 192 };

Deno.test("runs that follow one another read what one long run reads, fractions included", () => {
  const whole = planRun(LENGTHS, { ...RUN, start: 0, epochs: 3 });
  const cuts = [0, 0.4, 1, 1.75, 2.2, 3];
  const parts = cuts.slice(1).flatMap((end, i) =>
    planRun(LENGTHS, { ...RUN, start: cuts[i], epochs: end - cuts[i] })
  );
  assert.deepEqual(parts, whole);
  assert.deepEqual([...new Set(whole.map((p) => p.epoch))], [0, 1, 2]);
  for (const epoch of [0, 1, 2]) {
    const read = whole.filter((p) => p.epoch === epoch).flatMap((p) => p.plan.rows.flat());
    assert.deepEqual(read.sort((a, b) => a - b), LENGTHS.map((_, i) => i));
  }
});

Deno.test("packed rows hold every example once, none too much, and pad less", () => {
  const padded = (packing: boolean) => {
    const plans = planEpoch(LENGTHS, { ...PLANNING, packing });
    const all = plans.flatMap((p) => p.rows.flat()).sort((a, b) => a - b);
    assert.deepEqual(all, LENGTHS.map((_, i) => i));
    const real = (i: number) => Math.min(LENGTHS[i], PLANNING.maxLength);
    let waste = 0;
    for (const { length, rows } of plans) {
      for (const row of rows) {
        const used = row.reduce((n, i) => n + real(i), 0);
        assert.ok(used <= length, `${used} tokens in ${length} rows`);
        waste += length - used;
      }
    }
    return waste;
  };
  assert.ok(padded(true) < padded(false), "packing pads more");
});

Deno.test("examples in one row count their rows from 0, each with its own noise", async () => {
  const examples = madeUp([5, 9, 3]), plan = { batch: 1, length: 20, rows: [[2, 0, 1]] };
  const batch = await fillBatch(examples, { plan, epoch: 0 }, NOISE);
  const count = (n: number) => Array.from({ length: n }, (_, t) => t);
  assert.deepEqual([...batch.place], [...count(3), ...count(5), ...count(9), 0, 0, 0]);
  assert.deepEqual([...batch.ids.slice(3, 7)], [...(await examples.read(0)).ids.slice(1)]);
  assert.deepEqual([batch.mask[2], batch.mask[7], batch.mask[16]], [0, 0, 0]);
  const own = { batch: 1, length: 5, rows: [[0]] };
  const alone = await fillBatch(examples, { plan: own, epoch: 0 }, NOISE);
  assert.deepEqual(batch.noisy.slice(3 * 4, 8 * 4), alone.noisy);
});

Deno.test("length-scaled noise is 51.2 over the example's length; tapped layers get it instead of features", async () => {
  const plan = { plan: { batch: 1, length: 64, rows: [[0]] }, epoch: 0 };
  const examples = madeUp([64], { width: 32 });
  const scaled = await fillBatch(examples, plan, { seed: 1, noise: "length-scaled" });
  const fixed = await fillBatch(examples, plan, { seed: 1, noise: 0.8 });
  assert.deepEqual(scaled.noisy, fixed.noisy);
  const tapped = Float32Array.from({ length: 64 * 32 * 2 }, (_, i) => i);
  const tapping: Examples = {
    ...examples,
    of: { ...examples.of, taps: [1, 3] },
    read: async (i) => ({ ...await examples.read(i), tapped }),
  };
  const { noisy, features } = await fillBatch(tapping, plan, { seed: 1, noise: 0 });
  assert.deepEqual(noisy, tapped);
  assert.equal(features.length, 64 * 32);
});
