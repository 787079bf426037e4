/** The processed distribution by hand values, settings refused, argmax and draws. */
import assert from "node:assert/strict";
import { argmax, checkSampling, draw, GREEDY, processLogits } from "../../lib/decode/sample.ts";
import { random } from "../../lib/random.ts";

/** Logits whose softmax at temperature 1 is `p`. */
const logitsOf = (p: number[]) => Float64Array.from(p, Math.log);

function processed(
  p: number[],
  { temperature = 1, topK = 0, topP = 1 }: { temperature?: number; topK?: number; topP?: number },
): number[] {
  const out = new Float64Array(p.length).fill(7);
  processLogits(logitsOf(p), { temperature, topK, topP }, out);
  return Array.from(out);
}

function close(found: number[], wanted: number[]): void {
  assert.equal(found.length, wanted.length);
  found.forEach((x, i) => assert.ok(Math.abs(x - wanted[i]) < 1e-12, `${found} is not ${wanted}`));
}

Deno.test("temperature, top-k and top-p give hand values", () => {
  const p = [0.1, 0.4, 0.2, 0.3];
  close(processed(p, {}), p);
  // Temperature 1/2 squares the probabilities: 1, 16, 4, 9 of 30.
  close(processed(p, { temperature: 0.5 }), [1 / 30, 16 / 30, 4 / 30, 9 / 30]);
  close(processed(p, { topK: 2 }), [0, 4 / 7, 0, 3 / 7]);
  close(processed(p, { topK: 1 }), [0, 1, 0, 0]);
  close(processed(p, { topK: 9 }), p);
  // The smallest set that reaches 0.65 is 0.4 + 0.3.
  close(processed(p, { topP: 0.65 }), [0, 4 / 7, 0, 3 / 7]);
  close(processed(p, { topP: 0.75 }), [0, 4 / 9, 2 / 9, 3 / 9]);
  close(processed(p, { topP: 1e-9 }), [0, 1, 0, 0]);
  // Temperature comes first: at 1/2, 16/30 + 9/30 reach 0.75. Top-k comes before top-p: 4/7 reaches 0.55.
  close(processed(p, { temperature: 0.5, topP: 0.75 }), [0, 16 / 25, 0, 9 / 25]);
  close(processed(p, { topK: 2, topP: 0.55 }), [0, 1, 0, 0]);
  close(processed(p, { temperature: 0 }), [0, 1, 0, 0]);
});

Deno.test("ties: greedy and top-p take the lowest id, top-k keeps all tied with its last", () => {
  const p = [0.25, 0.25, 0.25, 0.25];
  close(processed(p, { temperature: 0 }), [1, 0, 0, 0]);
  close(processed(p, { topP: 0.5 }), [0.5, 0.5, 0, 0]);
  close(processed([0.1, 0.3, 0.3, 0.3], { topK: 2 }), [0, 1 / 3, 1 / 3, 1 / 3]);
});

Deno.test("extreme logits stay finite; logits without a distribution are refused", () => {
  const out = new Float64Array(3), sampling = { temperature: 0.1, topK: 0, topP: 0.9 };
  processLogits(Float32Array.of(3e38, -3e38, -Infinity), sampling, out);
  assert.deepEqual(Array.from(out), [1, 0, 0]);
  for (const bad of [[NaN, 0, 0], [Infinity, 0, 0], [-Infinity, -Infinity, -Infinity]]) {
    assert.throws(
      () => processLogits(Float32Array.from(bad), sampling, out),
      /Cannot sample from logits whose largest is .*: wanted finite/,
    );
  }
});

Deno.test("processing agrees with its definition on random logits", () => {
  const from = random(5, "sample"), size = 61;
  for (let trial = 0; trial < 200; trial++) {
    const spread = 6 * from.uniform();
    const logits = Float32Array.from({ length: size }, () => spread * from.normal());
    const temperature = 0.2 + 2 * from.uniform(), topK = from.integer(size + 3);
    const topP = from.integer(4) === 0 ? 1 : 1 - 0.99 * from.uniform();
    const out = new Float64Array(size);
    processLogits(logits, { temperature, topK, topP }, out);
    // By definition: rank, keep a prefix of the ranking, normalise.
    const rank = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
    let kept = rank.slice(0, topK === 0 ? size : topK);
    const weight = (i: number) => Math.exp((logits[i] - logits[rank[0]]) / temperature);
    const sum = (ids: number[]) => ids.reduce((total, i) => total + weight(i), 0);
    let n = 1;
    while (topP < 1 && n < kept.length && sum(kept.slice(0, n)) < topP * sum(kept)) n++;
    if (topP < 1) kept = kept.slice(0, n);
    const wanted = new Array<number>(size).fill(0);
    for (const i of kept) wanted[i] = weight(i) / sum(kept);
    close(Array.from(out), wanted);
  }
});

Deno.test("argmax reads its part and the lowest index wins", () => {
  assert.equal(argmax([1, 3, 3, 2]), 1);
  assert.equal(argmax(Float32Array.of(9, 1, 2, 5, 5, 8), 1, 4), 2);
  assert.equal(argmax([-Infinity, -Infinity]), 0);
});

Deno.test("draw inverts the cumulative sum and never takes probability 0", () => {
  const p = Float64Array.of(0, 0.25, 0, 0.5, 0.25, 0);
  const drawn = [0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2 ** -32].map((u) => draw(p, u));
  assert.deepEqual(drawn, [1, 1, 3, 3, 4, 4]);
  // Not normalised: the same shares.
  assert.deepEqual(
    [0, 0.2499, 0.25, 0.75].map((u) => draw(p.map((x) => 6 * x), u)),
    [1, 1, 3, 4],
  );
  assert.equal(draw(Float64Array.of(0.1, 0.2, 0), 1), 1);
});

Deno.test("settings out of range are refused one by one", () => {
  checkSampling(GREEDY);
  checkSampling({ temperature: 1.5, topK: 3, topP: 0.1 });
  const refused = (change: Partial<typeof GREEDY>, message: RegExp) =>
    assert.throws(() => checkSampling({ ...GREEDY, ...change }), message);
  refused({ temperature: -0.1 }, /temperature -0\.1: wanted 0 \(greedy\) or more/);
  refused({ temperature: NaN }, /temperature NaN/);
  refused({ temperature: Infinity }, /temperature Infinity/);
  refused({ topK: -1 }, /top-k -1: wanted a whole number/);
  refused({ topK: 1.5 }, /top-k 1\.5: wanted a whole number/);
  refused({ topP: 0 }, /top-p 0: wanted more than 0 and at most 1/);
  refused({ topP: 1.01 }, /top-p 1\.01/);
  refused({ topP: NaN }, /top-p NaN/);
});
