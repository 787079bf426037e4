/** Batches: which examples stand where, and what their rows hold. */
import assert from "node:assert/strict";
import { type BatchPlan, fillBatch, planEpoch, planRun } from "../../lib/train/batches.ts";
import { random } from "../../lib/random.ts";
import { examplesOf, madeUp } from "./tiny_run.ts";

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

Deno.test("a fraction of an epoch is the first part of its batches, the next run takes the rest", () => {
  const run = (start: number, epochs: number) => planRun(LENGTHS, { ...PLANNING, start, epochs });
  const whole = [0, 1, 2].flatMap((epoch) =>
    planEpoch(LENGTHS, { ...PLANNING, epoch }).map((plan) => ({ plan, epoch }))
  );
  const per = whole.length / 3;
  assert.deepEqual(run(0, 3), whole);
  assert.deepEqual(run(0, 0.5), whole.slice(0, Math.round(0.5 * per)));
  assert.deepEqual(run(1, 0.25), whole.slice(per, per + Math.round(0.25 * per)));
  assert.deepEqual(run(0, 1e-3), []);
  for (const parts of [[1.5, 1.5], [0.3, 0.9, 1.8], [0.1, 0.2, 0.7, 1.95, 0.05], [2, 1]]) {
    let start = 0;
    const found = parts.flatMap((epochs) => {
      const plans = run(start, epochs);
      start += epochs;
      return plans;
    });
    assert.deepEqual(found, whole, `${parts}`);
  }
});

Deno.test("packing lays every example into one row, no row overflows, and less is padded", () => {
  const from = random(3, "lengths");
  const sets = [
    LENGTHS,
    [192],
    [2, 2, 2],
    Array.from({ length: 300 }, () => 2 + from.integer(250)),
  ];
  for (const lengths of sets) {
    for (const epoch of [0, 1]) {
      const sizes = { ...PLANNING, rows: 512, epoch };
      const packed = planEpoch(lengths, { ...sizes, packing: true });
      const all = packed.flatMap((p) => p.rows.flat()).sort((a, b) => a - b);
      assert.deepEqual(all, lengths.map((_, i) => i));
      for (const { batch, length, rows } of packed) {
        assert.deepEqual([batch, length], [2, 192], "one shape, so one Program");
        assert.ok(rows.length >= 1 && rows.length <= batch);
        for (const held of rows) {
          const used = held.reduce((sum, i) => sum + Math.min(lengths[i], 192), 0);
          assert.ok(held.length > 0 && used <= length, `${used} tokens in a row of ${length}`);
        }
      }
      const places = (plans: BatchPlan[]) =>
        plans.reduce((sum, { batch, length }) => sum + batch * length, 0);
      if (lengths.length > 3) assert.ok(places(packed) < places(planEpoch(lengths, sizes)));
      // With many examples hardly anything is padded: less than a tenth.
      const tokens = lengths.reduce((sum, n) => sum + Math.min(n, 192), 0);
      if (lengths.length > 100) assert.ok(places(packed) < 1.1 * tokens);
    }
  }
});

Deno.test("examples that share a row stand one behind the other as each would alone", async () => {
  const width = 4, lengths = [5, 9, 3], examples = madeUp(lengths, { width });
  const plan = { batch: 1, length: 20, rows: [[2, 0, 1]] };
  const batch = await fillBatch(examples, { plan, epoch: 3 }, NOISE);
  let at = 0;
  for (const index of plan.rows[0]) {
    const n = lengths[index], alone = { batch: 1, length: n, rows: [[index]] };
    const one = await fillBatch(examples, { plan: alone, epoch: 3 }, NOISE);
    for (const key of ["ids", "mask", "place"] as const) {
      assert.deepEqual(batch[key].slice(at, at + n), one[key], `${key} of example ${index}`);
    }
    for (const key of ["features", "noisy"] as const) {
      assert.deepEqual(batch[key].slice(at * width, (at + n) * width), one[key], key);
    }
    assert.deepEqual([...one.place], Array.from({ length: n }, (_, t) => t));
    assert.deepEqual([one.ids[n - 1], one.mask[n - 1]], [0, 0], "the last row has no next token");
    at += n;
  }
  assert.equal(batch.tokens, 17);
  assert.equal(batch.trained, batch.mask.reduce((a, b) => a + b));
  assert.ok(batch.place.subarray(17).every((x) => x === 0));
});

Deno.test("length-scaled noise has half-width 0.1 * 512 / L", async () => {
  const lengths = [64, 256], width = 32, examples = madeUp(lengths, { width });
  const plan = { batch: 2, length: 256, rows: [[0], [1]] };
  const recipe = { seed: 1, noise: "length-scaled" } as const;
  const { noisy, features } = await fillBatch(examples, { plan, epoch: 0 }, recipe);
  for (const [row, length] of lengths.entries()) {
    const at = row * 256 * width,
      noise = Array.from(noisy, (x, i) => x - features[i])
        .slice(at, at + length * width);
    const largest = Math.max(...noise.map(Math.abs)), half = 51.2 / length;
    assert.ok(largest <= half + 1e-6 && largest > 0.98 * half, `${largest} at length ${length}`);
    const rest = noisy.subarray(at + length * width, at + 256 * width);
    assert.ok(rest.every((x) => x === 0), "padding has no noise");
  }
});

Deno.test("with taps the draft reads the tapped layers with noise, and learns the last feature", async () => {
  const width = 4, lengths = [6, 3], plain = madeUp(lengths, { width });
  const list = await Promise.all(lengths.map(async (length, i) => {
    const from = random(5, "tapped", i);
    const tapped = Float32Array.from({ length: length * 2 * width }, () => from.normal());
    return { ...await plain.read(i), tapped };
  }));
  const examples = examplesOf(list, { ...plain.of, taps: [0, 1] });
  const plan = { batch: 2, length: 8, rows: [[1], [0]] };
  const clean = await fillBatch(examples, { plan, epoch: 0 }, { seed: 1, noise: 0 });
  const noisy = await fillBatch(examples, { plan, epoch: 0 }, { seed: 1, noise: 0.1 });
  assert.equal(clean.noisy.length, 2 * 8 * 2 * width);
  for (const [row, index] of [1, 0].entries()) {
    const at = row * 8 * 2 * width, wide = lengths[index] * 2 * width;
    assert.deepEqual(clean.noisy.slice(at, at + wide), list[index].tapped);
    assert.ok(clean.noisy.subarray(at + wide, at + 16 * width).every((x) => x === 0));
    const start = row * 8 * width, { features } = list[index];
    assert.deepEqual(clean.features.slice(start, start + features.length), features);
  }
  assert.deepEqual(noisy.features, clean.features);
  const noise = Array.from(noisy.noisy, (x, i) => Math.abs(x - clean.noisy[i]));
  assert.ok(Math.max(...noise) > 0.09 && Math.max(...noise) <= 0.1 + 1e-6);
});
