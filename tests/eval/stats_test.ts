/**
 * The bootstrap: the same for a seed, paired, and as wide as the theory says; what is inside the noise, and what
 * prompts can show. Both at once and by simulation: `two_level_test.ts`.
 */
import assert from "node:assert/strict";
import { bootstrap, insideNoise, smallestDetectable } from "../../lib/eval/stats.ts";
import { random } from "../../lib/random.ts";

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

function normals(n: number, seed: number): number[] {
  const from = random(seed, "test");
  return Array.from({ length: n }, () => from.normal());
}

Deno.test("a seed gives one interval, another seed another", () => {
  const values = normals(30, 1);
  assert.deepEqual(bootstrap(values, mean, { seed: 4 }), bootstrap(values, mean, { seed: 4 }));
  assert.notDeepEqual(bootstrap(values, mean, { seed: 4 }), bootstrap(values, mean, { seed: 5 }));
});

Deno.test("equal items have an interval of no width, one item too", () => {
  assert.deepEqual(bootstrap([2, 2, 2], mean), { low: 2, high: 2 });
  assert.deepEqual(bootstrap([7], mean), { low: 7, high: 7 });
});

Deno.test("two items: the mean's 95 % interval is the whole range", () => {
  // Both draws are the smaller item with chance 1/4, so 2.5 % and 97.5 % fall on the ends.
  assert.deepEqual(bootstrap([0, 1], mean), { low: 0, high: 1 });
});

Deno.test("the width of a mean's interval is 2 x 1.96 standard errors", () => {
  const values = normals(400, 2), m = mean(values);
  const error = Math.sqrt(mean(values.map((x) => (x - m) ** 2)) / values.length);
  const { low, high } = bootstrap(values, mean);
  assert.ok(Math.abs((high - low) / (2 * 1.96 * error) - 1) < 0.1, `${high - low}`);
  assert.ok(low < m && m < high);
});

Deno.test("about 95 of 100 intervals hold the true value", () => {
  let held = 0;
  for (let seed = 0; seed < 100; seed++) {
    const { low, high } = bootstrap(normals(40, seed), mean, { draws: 400, seed });
    if (low <= 0 && 0 <= high) held++;
  }
  assert.ok(held >= 88 && held <= 99, `${held} of 100`);
});

Deno.test("items are drawn whole: a statistic of pairs that never varies has no width", () => {
  const pairs = normals(20, 3).map((x) => ({ a: x, b: x + 0.25 }));
  const difference = (drawn: readonly { a: number; b: number }[]) =>
    mean(drawn.map((p) => p.b)) - mean(drawn.map((p) => p.a));
  const { low, high } = bootstrap(pairs, difference);
  assert.ok(Math.abs(low - 0.25) < 1e-9 && Math.abs(high - 0.25) < 1e-9);
});

Deno.test("draws without a value are left out of the interval", () => {
  // The ratio has no value when only the prompt without rounds is drawn.
  const prompts = [{ n: 3, d: 1 }, { n: 0, d: 0 }];
  const ratio = (drawn: readonly { n: number; d: number }[]) => {
    const d = drawn.reduce((s, p) => s + p.d, 0);
    return drawn.reduce((s, p) => s + p.n, 0) / d;
  };
  assert.deepEqual(bootstrap(prompts, ratio), { low: 3, high: 3 });
});

Deno.test("a statistic without any value has an interval of NaN", () => {
  assert.deepEqual(bootstrap([1, 2], () => NaN), { low: NaN, high: NaN });
});

Deno.test("nothing to draw from is refused", () => {
  assert.throws(() => bootstrap([], mean), /Cannot make an interval from no prompts/);
});

Deno.test("a difference is inside the noise when its interval holds 0, or when there is no interval", () => {
  assert.ok(insideNoise({ low: -0.1, high: 0.2 }));
  assert.ok(insideNoise({ low: 0, high: 0.2 }) && insideNoise({ low: -0.2, high: 0 }));
  assert.ok(insideNoise({ low: NaN, high: NaN }));
  assert.ok(!insideNoise({ low: 0.01, high: 0.2 }) && !insideNoise({ low: -0.2, high: -0.01 }));
});

Deno.test("four times the prompts show half the difference, as far as prompts are the cause", () => {
  const once = smallestDetectable({ prompts: 1, seeds: 0 }, { measured: 40 });
  assert.ok(Math.abs(once - 2.8016) < 1e-3);
  assert.equal(
    smallestDetectable({ prompts: 1, seeds: 0 }, { measured: 40, wanted: 160 }),
    once / 2,
  );
  assert.equal(smallestDetectable({ prompts: 0, seeds: 1 }, { measured: 40, wanted: 160 }), once);
  const both = smallestDetectable({ prompts: 3, seeds: 4 }, { measured: 40 });
  assert.ok(Math.abs(both - 5 * once) < 1e-9);
  assert.throws(
    () => smallestDetectable({ prompts: 1, seeds: 0 }, { measured: 0 }),
    /wanted 1 or more/,
  );
});
