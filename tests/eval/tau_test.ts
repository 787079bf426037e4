/** tau by decoding: where a prompt of an example ends, and that the counts are those of the rounds. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { decodePrompts, estimateTau, promptsOf } from "../../lib/eval/tau.ts";
import { tau } from "../../lib/eval/metrics.ts";
import { tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";

const TEXTS = [
  { id: "a", ids: Int32Array.of(5, 6, 7, 8, 9, 1), mask: Uint8Array.of(0, 0, 1, 1, 1, 0) },
  { id: "b", ids: Int32Array.of(2, 3, 4), mask: Uint8Array.of(1, 1, 0) },
];
const examples = { count: 2, readText: (i: number) => TEXTS[i] };

Deno.test("a prompt ends with its first trained row", () => {
  const prompts = promptsOf(examples, { count: 9 }).map((p) => [...p]);
  assert.deepEqual(prompts, [[5, 6, 7], [2]]);
  assert.equal(promptsOf(examples, { count: 1 }).length, 1);
});

Deno.test("every prompt is decoded speculatively, and tau is what its rounds emit", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const target = tinyTarget(backend), prompts = promptsOf(examples, { count: 2 });
  const options = { target, backend, prompts, tree: { depth: 2, width: 2, budget: 5 } };
  const all = await Array.fromAsync(
    decodePrompts(tinyDraft(tinyDraftConfig()), { ...options, maxTokens: 12 }),
  );
  assert.deepEqual(all.map((g) => g.tokens.length), [12, 12]);
  const found = estimateTau(all), { value, numerator, denominator } = tau(all);
  assert.equal(found.value, value);
  assert.deepEqual([found.emitted, found.forwards], [numerator, denominator]);
  // The first token of each is prefill's.
  assert.equal(found.emitted, 22);
  assert.ok(found.low <= value && value <= found.high);

  const none = decodePrompts(tinyDraft(tinyDraftConfig()), {
    ...options,
    signal: AbortSignal.abort(),
  });
  assert.deepEqual(await Array.fromAsync(none), []);
  assert.throws(() => estimateTau([]), /from no prompts/);
});
