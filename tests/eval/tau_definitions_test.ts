/** The other definitions of tau by hand, and how they lie to ours. */
import assert from "node:assert/strict";
import { tau, tauUpstream } from "../../lib/eval/metrics.ts";
import { tauSpecForge, tauVllm } from "../../lib/eval/tau_definitions.ts";
import { generation, plainGeneration } from "./recordings.ts";

const times = { prefillMs: 1, roundMs: 1 };
/** Rounds (emitted, accepted, depth): the second generation was cut in its last round. */
const A = generation([[3, 2, 4], [1, 0, 4], [5, 4, 4]], times);
const B = generation([[2, 1, 2], [1, 3, 3]], times);

Deno.test("vLLM: accepted tokens as verified, one more for each draft", () => {
  // 1 + (2 + 0 + 4 + 1 + 3) / 5: what was cut off in the last round counts.
  assert.deepEqual(tauVllm([A, B]), { numerator: 15, denominator: 5, value: 3 });
});

Deno.test("vLLM: rounds in which nothing was drafted are no drafts", () => {
  const mixed = generation([[3, 2, 4], [1, 0, 0], [1, 0, 0]], times);
  assert.deepEqual(tauVllm([mixed]), { numerator: 3, denominator: 1, value: 3 });
  assert.ok(Number.isNaN(tauVllm([plainGeneration(4, times)]).value));
});

Deno.test("SpecForge: all tokens of the texts, those of prefill too, over verifications", () => {
  // 10 and 4 tokens.
  assert.deepEqual(tauSpecForge([A, B]), { numerator: 14, denominator: 5, value: 2.8 });
  const { value } = tau([A, B]);
  assert.ok(Math.abs(tauSpecForge([A, B]).value - (value + 2 / 5)) < 1e-12);
  assert.ok(Number.isNaN(tauSpecForge([{ ...A, rounds: [] }]).value));
});

Deno.test("a text that is cut nowhere: ours and vLLM's agree, the others are higher", () => {
  const whole = [A];
  assert.equal(tauVllm(whole).value, tau(whole).value);
  assert.ok(tauSpecForge(whole).value > tau(whole).value);
  assert.ok(tauUpstream(whole).value > tau(whole).value);
});
