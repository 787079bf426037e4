/** Every reported number against values computed by hand from two small recordings. */
import assert from "node:assert/strict";
import {
  acceptanceByDepth,
  type Generation,
  isIdentical,
  joinTurns,
  speedup,
  tau,
  tauUpstream,
  timeSplit,
  tokensPerSecond,
  turnsOf,
} from "../../lib/eval/metrics.ts";
import { generation, plainGeneration, promptResult } from "./recordings.ts";

/** Rounds (emitted, accepted, depth): the second recording was cut at an end token in its last round. */
const A = generation([[3, 2, 4], [1, 0, 4], [5, 4, 4]], { prefillMs: 100, roundMs: 100 });
const B = generation([[2, 1, 2], [1, 3, 3]], { prefillMs: 50, roundMs: 50 });

Deno.test("tau pools emitted tokens over forwards, cut tokens not counted", () => {
  assert.deepEqual(tau([A]), { numerator: 9, denominator: 3, value: 3 });
  // (3 + 1 + 5 + 2 + 1) / 5, not the mean 2.25 of 3 and 1.5.
  assert.deepEqual(tau([A, B]), { numerator: 12, denominator: 5, value: 2.4 });
});

Deno.test("tau of plain decoding is 1", () => {
  assert.equal(tau([plainGeneration(7, { prefillMs: 1, roundMs: 1 })]).value, 1);
});

Deno.test("tauUpstream counts tokens after the end and one forward less", () => {
  // A: 3 + 1 + 5 over 2 forwards. B: 2 + 4 (three of them after the end) over 1.
  assert.deepEqual(tauUpstream([A]), { numerator: 9, denominator: 2, value: 4.5 });
  assert.deepEqual(tauUpstream([A, B]), { numerator: 15, denominator: 3, value: 5 });
});

Deno.test("acceptance by depth counts rounds that reached the depth and had it drafted", () => {
  // accepted/depth: 2/4, 0/4, 4/4, 1/2, 3/3.
  const shares = acceptanceByDepth([A, B]).map((r) => [r.numerator, r.denominator]);
  // Depth 1: 4 of 5. Depth 2: of those 4 the three with 2 or more. Depth 3: of 2/4, 4/4 and 3/3 two.
  // Depth 4: 4/4 alone got there; 3/3 had accepted three, but had no fourth level drafted.
  assert.deepEqual(shares, [[4, 5], [3, 4], [2, 3], [1, 1]]);
  assert.equal(acceptanceByDepth([A, B])[1].value, 0.75);
});

Deno.test("without rounds there is no tau and no depth, and nothing throws", () => {
  const none: Generation = { tokens: [1], prefillMs: 5, decodeMs: 0, rounds: [] };
  assert.ok(Number.isNaN(tau([none]).value));
  assert.ok(Number.isNaN(tauUpstream([none]).value));
  assert.deepEqual(acceptanceByDepth([none]), []);
  assert.deepEqual(timeSplit([none]), {
    draftMs: 0,
    verifyMs: 0,
    sampleMs: 0,
    hostMs: 0,
  });
});

Deno.test("tokens a second come from totals; without prefill the first token does not count", () => {
  // A: 10 tokens, 100 ms + 300 ms. B: 4 tokens, 50 ms + 100 ms.
  const rate = tokensPerSecond([A, B]);
  assert.equal(A.tokens.length, 10);
  assert.equal(B.tokens.length, 4);
  assert.ok(Math.abs(rate.withoutPrefill - 12 / 0.4) < 1e-9, String(rate.withoutPrefill));
  assert.ok(Math.abs(rate.withPrefill - 14 / 0.55) < 1e-9, String(rate.withPrefill));
});

Deno.test("speedup is speculative over plain, from totals, prefill out and in", () => {
  const plain = plainGeneration(9, { prefillMs: 100, roundMs: 100 }); // 10 tokens in 100 + 900 ms
  const gain = speedup([promptResult(plain, A)]);
  assert.ok(Math.abs(gain.withoutPrefill - 3) < 1e-9); // 900 / 300
  assert.ok(Math.abs(gain.withPrefill - 2.5) < 1e-9); // 1000 / 400
});

Deno.test("a round's time is split into means over all rounds", () => {
  // Parts are 20 : 70 : 4 : 6 of a round: 100 ms three times, 50 ms twice.
  const { draftMs, verifyMs, sampleMs, hostMs } = timeSplit([A, B]);
  assert.ok(Math.abs(draftMs - 16) < 1e-9);
  assert.ok(Math.abs(verifyMs - 56) < 1e-9);
  assert.ok(Math.abs(sampleMs - 3.2) < 1e-9);
  assert.ok(Math.abs(hostMs - 4.8) < 1e-9);
});

Deno.test("texts are identical only token for token and to the same end", () => {
  const says = (tokens: number[]): Generation => ({ ...A, tokens });
  assert.ok(isIdentical(promptResult(says([1, 2]), says([1, 2]))));
  assert.ok(!isIdentical(promptResult(says([1, 2]), says([1, 3]))));
  assert.ok(!isIdentical(promptResult(says([1, 2]), says([1, 2, 3]))));
  assert.ok(!isIdentical(promptResult(says([1, 2, 3]), says([1, 2]))));
});

Deno.test("a conversation counts as its turns would, one by one", () => {
  const both = joinTurns([A, B]);
  assert.deepEqual(joinTurns([A]), A);
  assert.deepEqual(turnsOf(both), [A, B]);
  assert.deepEqual(turnsOf(A), [A]);
  assert.deepEqual([both.tokens, both.prefillMs], [[...A.tokens, ...B.tokens], 150]);
  for (const count of [tau, tauUpstream, acceptanceByDepth, tokensPerSecond, timeSplit]) {
    assert.deepEqual(count([both]), count([A, B]), count.name);
    assert.deepEqual(count([B, both]), count([B, A, B]), count.name);
  }
  const plain = [10, 4].map((n) => plainGeneration(n, { prefillMs: 80, roundMs: 120 }));
  const turns = [A, B].map((speculative, i) => promptResult(plain[i], speculative));
  assert.deepEqual(speedup([promptResult(joinTurns(plain), both)]), speedup(turns));
});
