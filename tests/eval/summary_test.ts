/** A suite's summary: it holds what the metrics say, its intervals enclose its values, JSON keeps it. */
import assert from "node:assert/strict";
import type { PromptResult } from "../../lib/eval/metrics.ts";
import { summarize } from "../../lib/eval/summary.ts";
import { generation, plainGeneration, promptResult } from "./recordings.ts";

const times = { prefillMs: 100, roundMs: 100 };
const RESULTS: PromptResult[] = [
  promptResult(plainGeneration(9, times), generation([[3, 2, 4], [1, 0, 4], [5, 4, 4]], times)),
  promptResult(plainGeneration(3, times), generation([[2, 1, 2], [1, 3, 3]], times)),
];

Deno.test("the summary's numbers by hand", () => {
  const s = summarize("ours", RESULTS);
  assert.equal(s.suite, "ours");
  assert.equal(s.prompts, 2);
  assert.equal(s.tokens, 14);
  assert.deepEqual([s.tau_numerator, s.tau_denominator, s.tau], [12, 5, 2.4]);
  assert.deepEqual([s.tau_upstream, s.tau_vllm, s.tau_specforge], [5, 3, 2.8]);
  assert.equal(s.identical, 2);
  // 12 rounds' time of plain decoding against 5, prefill twice 100 ms beside each.
  assert.ok(Math.abs(s.speedup - 12 / 5) < 1e-9);
  assert.ok(Math.abs(s.speedup_with_prefill - 14 / 7) < 1e-9);
  assert.ok(Math.abs(s.tokens_per_second - 24) < 1e-9);
  assert.ok(Math.abs(s.plain_tokens_per_second - 10) < 1e-9);
  assert.ok(Math.abs(s.tokens_per_second_with_prefill - 20) < 1e-9);
  assert.ok(Math.abs(s.plain_tokens_per_second_with_prefill - 10) < 1e-9);
  assert.deepEqual(s.acceptance_by_depth.map((d) => [d.depth, d.accepted, d.reached]), [
    [1, 4, 5],
    [2, 3, 4],
    [3, 2, 3],
    [4, 1, 1],
  ]);
});

Deno.test("intervals enclose their values and span what the prompts alone give", () => {
  const s = summarize("ours", RESULTS);
  const [low, high] = s.tau_ci;
  assert.deepEqual([low, high], [1.5, 3]);
  for (
    const [value, [from, to]] of [
      [s.tau, s.tau_ci],
      [s.speedup, s.speedup_ci],
      [s.speedup_with_prefill, s.speedup_with_prefill_ci],
    ] as const
  ) {
    assert.ok(from <= value && value <= to, `${value} outside [${from}, ${to}]`);
  }
});

Deno.test("the summary is plain data", () => {
  const s = summarize("ours", RESULTS);
  assert.deepEqual(JSON.parse(JSON.stringify(s)), s);
});

Deno.test("depths that no round reached are left out", () => {
  const refused = generation([[1, 0, 4], [1, 0, 4]], times);
  const s = summarize("ours", [promptResult(plainGeneration(2, times), refused)]);
  assert.deepEqual(s.acceptance_by_depth, [{ depth: 1, share: 0, accepted: 0, reached: 2 }]);
});

Deno.test("no results are refused", () => {
  assert.throws(() => summarize("ours", []), /Cannot summarise ours: no prompt was completed/);
});

Deno.test("a prompt that ended with its first token leaves every other number in place", () => {
  const none = { tokens: [1], prefillMs: 100, decodeMs: 0, rounds: [] };
  const s = summarize("ours", [...RESULTS, promptResult(none, none)]);
  assert.equal(s.prompts, 3);
  assert.equal(s.tau, 2.4);
  assert.ok(Math.abs(s.speedup - 2.4) < 1e-9);
  assert.ok(s.tau_ci.every(Number.isFinite) && s.speedup_ci.every(Number.isFinite));
});
