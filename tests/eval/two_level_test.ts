/**
 * Two-level intervals: equal to closed forms on normal data, narrower when paired, and holding the true value as
 * often as they say, with prompts, seeds or both as the cause of noise.
 */
import assert from "node:assert/strict";
import {
  type Counts,
  type CountTable,
  estimateDifference,
  estimateRatio,
  seedStretch,
} from "../../lib/eval/two_level.ts";
import { insideNoise, smallestDetectable, Z80, Z975 } from "../../lib/eval/stats.ts";
import { random } from "../../lib/random.ts";

interface Noise {
  seeds: number;
  prompts: number;
  /** Standard deviations of what a seed, a prompt, and a prompt under a seed add. */
  ofSeed?: number;
  ofPrompt?: number;
  ofBoth?: number;
  /** Added to every count. */
  mean?: number;
}

/** A table of means: every denominator 1. `stream` names the arm; prompts' part is the same for all arms. */
function table(
  { seeds, prompts, ofSeed = 0, ofPrompt = 0, ofBoth = 0, mean = 0 }: Noise,
  ...stream: (number | string)[]
): CountTable {
  const shared = random(1, "prompt", ...stream.slice(0, 1)), own = random(1, "own", ...stream);
  const prompt = Array.from({ length: prompts }, () => ofPrompt * shared.normal());
  return Array.from({ length: seeds }, () => {
    const seed = ofSeed * own.normal();
    return prompt.map((x): Counts => [mean + x + seed + ofBoth * own.normal(), 1]);
  });
}

const near = (found: number, wanted: number, share: number) =>
  assert.ok(Math.abs(found / wanted - 1) < share, `${found}, wanted ${wanted}`);

Deno.test("the value is the ratio of sums over all seeds and prompts", () => {
  const arm: CountTable = [[[6, 2], [1, 1]], [[9, 3], [4, 4]]];
  const { value, low, high } = estimateRatio(arm);
  assert.equal(value, 20 / 10);
  assert.ok(low <= value && value <= high);
  const base: CountTable = [[[1, 1], [1, 1]], [[1, 1], [1, 1]]];
  assert.equal(estimateDifference({ arm, base }).value, 1);
});

Deno.test("a seed of the draws gives one interval, another one another", () => {
  const arm = table({ seeds: 3, prompts: 20, ofBoth: 1 }, 1);
  assert.deepEqual(estimateRatio(arm, { seed: 4 }), estimateRatio(arm, { seed: 4 }));
  assert.notDeepEqual(estimateRatio(arm, { seed: 4 }), estimateRatio(arm, { seed: 5 }));
});

Deno.test("one seed: the standard error of a mean over prompts", () => {
  const arm = table({ seeds: 1, prompts: 300, ofPrompt: 2 }, 2);
  const values = arm[0].map(([x]) => x), mean = values.reduce((a, b) => a + b) / 300;
  const error = Math.sqrt(values.reduce((s, x) => s + (x - mean) ** 2, 0) / 300 / 300);
  const { low, high, spread } = estimateRatio(arm);
  near(spread.prompts, error, 0.03);
  assert.equal(spread.seeds, 0);
  near(high - low, 2 * Z975 * error, 0.05);
});

Deno.test("the interval of a ratio of sums is that of its linearisation", () => {
  const from = random(3, "ratio"), n = 400;
  const row = Array.from({ length: n }, (): Counts => {
    const rounds = 10 + from.integer(20);
    return [rounds * (3 + 0.4 * from.normal()), rounds];
  });
  const { value, spread } = estimateRatio([row]);
  const mean = row.reduce((s, [, d]) => s + d, 0) / n;
  const residuals = row.reduce((s, [x, d]) => s + (x - value * d) ** 2, 0) / n;
  near(spread.prompts, Math.sqrt(residuals / n) / mean, 0.05);
});

Deno.test("many seeds and no noise of prompts: the standard error of a mean over seeds", () => {
  const arm = table({ seeds: 60, prompts: 5, ofSeed: 1 }, 4);
  const { low, high, spread } = estimateRatio(arm), means = arm.map((row) => row[0][0]);
  const mean = means.reduce((a, b) => a + b) / 60;
  const error = Math.sqrt(means.reduce((s, x) => s + (x - mean) ** 2, 0) / 59 / 60);
  assert.ok(spread.prompts < 1e-9);
  // t with 59 degrees of freedom: 2.0010.
  near(high - low, 2 * 2.001 * error, 0.05);
});

Deno.test("seeds are stretched as Student's t says: 2.69 for three, towards 1 for many, 0 for one", () => {
  near(seedStretch(3), Math.sqrt(3 / 2) * 4.3027 / 1.96, 0.001);
  near(seedStretch(10), Math.sqrt(10 / 9) * 2.2622 / 1.96, 0.001);
  near(seedStretch(11), Math.sqrt(11 / 10) * 2.2281 / 1.96, 0.002);
  near(seedStretch(31), Math.sqrt(31 / 30) * 2.0423 / 1.96, 0.001);
  near(seedStretch(10_000), 1, 0.001);
  assert.equal(seedStretch(1), 0);
});

Deno.test("pairing takes out what both arms share", () => {
  const noise = { seeds: 2, prompts: 50, ofPrompt: 3 };
  const arm = table({ ...noise, mean: 0.25 }, 5, "arm"), base = table(noise, 5, "base");
  const { value, low, high } = estimateDifference({ arm, base });
  for (const x of [value, low, high]) assert.ok(Math.abs(x - 0.25) < 1e-9, `${x}`);
  const alone = estimateRatio(arm);
  assert.ok(alone.high - alone.low > 1);
});

/** How often the interval of a difference holds the true one, 0. */
function coverage(noise: Noise, repetitions: number): number {
  let held = 0;
  for (let i = 0; i < repetitions; i++) {
    const arm = table(noise, i, "arm"), base = table(noise, i, "base");
    if (insideNoise(estimateDifference({ arm, base }, { draws: 300, seed: i }))) held++;
  }
  return held / repetitions;
}

const CASES: [name: string, noise: Noise, least: number, most: number][] = [
  // 400 repetitions of 95 %: a standard deviation is 1.1 %.
  ["one seed, noise of prompts", { seeds: 1, prompts: 40, ofPrompt: 1, ofBoth: 1 }, 0.91, 0.98],
  ["three seeds, noise of seeds", { seeds: 3, prompts: 40, ofSeed: 1 }, 0.91, 0.985],
  // Prompts count in both parts, so the interval is on the safe side.
  ["three seeds, noise of each run", { seeds: 3, prompts: 40, ofPrompt: 1, ofBoth: 1 }, 0.95, 1],
  ["three seeds, both", { seeds: 3, prompts: 40, ofSeed: 0.2, ofBoth: 1 }, 0.94, 1],
  ["ten seeds, both", { seeds: 10, prompts: 40, ofSeed: 0.2, ofBoth: 1 }, 0.93, 1],
];
for (const [name, noise, least, most] of CASES) {
  Deno.test(`95 of 100 intervals hold the true difference, or more: ${name}`, () => {
    const share = coverage(noise, 400);
    assert.ok(share >= least && share <= most, `${share}`);
  });
}

Deno.test("the smallest detectable difference is found in 80 of 100 repetitions", () => {
  const noise = { seeds: 1, prompts: 60, ofBoth: 1 }, error = Math.sqrt(2 / 60);
  const spread = { prompts: error, seeds: 0 };
  const mean = smallestDetectable(spread, { measured: 60 });
  near(mean, (Z975 + Z80) * error, 1e-6);
  let found = 0;
  for (let i = 0; i < 1000; i++) {
    const arm = table({ ...noise, mean }, i, "arm"), base = table(noise, i, "base");
    if (!insideNoise(estimateDifference({ arm, base }, { draws: 300, seed: i }))) found++;
  }
  // A standard deviation of the count is 13.
  assert.ok(found > 760 && found < 840, `${found} of 1000`);
});

Deno.test("ratios of nothing are NaN, and inside the noise", () => {
  const { value, low, high } = estimateRatio([[[0, 0], [0, 0]]]);
  assert.deepEqual([value, low, high], [NaN, NaN, NaN]);
  assert.ok(insideNoise({ low, high }));
});

Deno.test("what cannot be paired is refused", () => {
  const one: CountTable = [[[1, 1], [2, 1]]];
  assert.throws(() => estimateRatio([]), /no seeds or no prompts/);
  assert.throws(() => estimateRatio([[]]), /no seeds or no prompts/);
  assert.throws(() => estimateRatio([one[0], [[1, 1]]]), /Cannot pair 1 prompts with 2/);
  assert.throws(
    () => estimateDifference({ arm: one, base: [...one, ...one] }),
    /Cannot pair 2 seeds with 1/,
  );
});
