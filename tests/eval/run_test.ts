/** An evaluation on a tiny random model: what is recorded, in which order, and that a seed repeats it. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import type { Suite } from "../../lib/data/suites.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { isIdentical, type PromptResult } from "../../lib/eval/metrics.ts";
import { evaluate, type EvaluateOptions, record } from "../../lib/eval/run.ts";
import type { GenerationEvent } from "../../lib/report/events.ts";
import type { Tokenizer } from "../../lib/text/tokenizer.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { countingBackend } from "./counting.ts";

/** A character a token. */
const TOKENIZER: Tokenizer = {
  folder: "letters",
  vocabulary: TINY.vocabulary,
  bosToken: undefined,
  eosToken: undefined,
  chatTemplate: "{{ messages[0].content }}:",
  encode: (text) => Int32Array.from(text, (c) => c.charCodeAt(0) % TINY.vocabulary),
  decode: (ids) => Array.from(ids).join(" "),
};

const SUITE: Suite = {
  name: "letters",
  questions: [
    { id: "first", category: "a", text: "some letters" },
    { id: "second", category: "b", text: "other ones" },
  ],
};

/** Runs `use` with a tiny target and draft. */
async function withTiny(
  use: (
    run: (suite: Suite, changes?: Partial<EvaluateOptions>) => AsyncGenerator<PromptResult>,
  ) => Promise<void>,
): Promise<void> {
  using backend = await openOnnxBackend();
  const loaded = tinyTarget(backend);
  using target = new TargetDecoder(loaded, { backend });
  const growth = dynamicGrowth({ depth: 2, width: 2, budget: 4 });
  const settings = { backend, target: loaded, growth, bits: 32 as const };
  using drafter = new TreeDrafter(tinyDraft(tinyDraftConfig()), settings);
  await use((suite, changes) =>
    evaluate(target, suite, { tokenizer: TOKENIZER, drafter, maxTokens: 9, ...changes })
  );
}

async function* events(...all: GenerationEvent[]): AsyncGenerator<GenerationEvent> {
  yield* all;
}

Deno.test("a recording adds up its events", async () => {
  const times = { draftMs: 1, verifyMs: 2, sampleMs: 0.5, hostMs: 3.5 };
  const found = await record(events(
    { type: "prefill", tokens: [5], ms: 8 },
    { type: "round", tokens: [6, 7], drafted: 3, depth: 2, accepted: 2, ...times },
    { type: "round", tokens: [8], drafted: 4, depth: 3, accepted: 0, ...times },
    { type: "end", reason: "length limit" },
  ));
  assert.deepEqual(found, {
    tokens: [5, 6, 7, 8],
    prefillMs: 8,
    decodeMs: 14,
    rounds: [
      { emitted: 2, drafted: 3, depth: 2, accepted: 2, ...times },
      { emitted: 1, drafted: 4, depth: 3, accepted: 0, ...times },
    ],
  });
});

Deno.test("every question is decoded both ways, in order; greedy texts are the same", async () => {
  await withTiny(async (run) => {
    const results = await Array.fromAsync(run(SUITE));
    assert.deepEqual(results.map((r) => [r.id, r.category, r.promptTokens]), [
      ["first", "a", 13],
      ["second", "b", 11],
    ]);
    for (const result of results) {
      assert.ok(isIdentical(result), JSON.stringify(result));
      for (const { tokens, rounds, prefillMs, decodeMs } of [result.plain, result.speculative]) {
        assert.equal(tokens.length, 9);
        assert.equal(rounds.reduce((n, r) => n + r.emitted, 1), 9);
        assert.ok(prefillMs > 0 && decodeMs > 0);
      }
      assert.ok(result.plain.rounds.every((r) => r.drafted === 0 && r.emitted === 1));
      assert.ok(result.speculative.rounds.every((r) => r.drafted === 3 && r.depth >= 1));
    }
  });
});

Deno.test("a seed repeats a sampled run, question by question", async () => {
  await withTiny(async (run) => {
    const sampled = (suite: Suite, seed: number) =>
      Array.fromAsync(run(suite, { seed, sampling: { temperature: 1, topK: 0, topP: 1 } }));
    const texts = (results: PromptResult[]) =>
      results.map((r) => [r.plain.tokens, r.speculative.tokens]);
    const once = texts(await sampled(SUITE, 1));
    assert.deepEqual(texts(await sampled(SUITE, 1)), once);
    assert.notDeepEqual(texts(await sampled(SUITE, 2)), once);
    // A question's numbers do not depend on the questions before it.
    const second = { ...SUITE, questions: SUITE.questions.slice(1) };
    assert.deepEqual(texts(await sampled(second, 1)), once.slice(1));
    assert.notDeepEqual(once[0][0], once[0][1]);
  });
});

Deno.test("an aborted run yields whole prompts only", async () => {
  await withTiny(async (run) => {
    assert.deepEqual(await Array.fromAsync(run(SUITE, { signal: AbortSignal.abort() })), []);
    const abort = new AbortController(), results: PromptResult[] = [];
    for await (const result of run(SUITE, { signal: abort.signal })) {
      results.push(result);
      abort.abort();
    }
    assert.deepEqual(results.map((r) => r.id), ["first"]);
  });
});

Deno.test("nothing is compiled once the first result is being made", async () => {
  using backend = await openOnnxBackend();
  const { counting, compiled } = countingBackend(backend);
  const loaded = tinyTarget(backend);
  using target = new TargetDecoder(loaded, { backend: counting });
  const growth = dynamicGrowth({ depth: 2, width: 2, budget: 6 });
  const settings = { backend: counting, target: loaded, growth, bits: 32 as const };
  using drafter = new TreeDrafter(tinyDraft(), settings);
  // Prompts of 5 to 70 tokens need several sizes, one of them two chunks.
  const questions = [5, 9, 30, 70].map((n) => ({ id: `${n}`, category: "", text: "a".repeat(n) }));
  const run = evaluate(target, { name: "lengths", questions }, {
    tokenizer: TOKENIZER,
    drafter,
    maxTokens: 6,
  });
  await run.next();
  const before = compiled();
  assert.ok(before > 0);
  for await (const _ of run);
  assert.equal(compiled(), before);
});

Deno.test("a question beyond the positions is refused by name before anything is decoded", async () => {
  await withTiny(async (run) => {
    const long = { id: "long", category: "c", text: "x".repeat(TINY.positions - 1) };
    const suite = { ...SUITE, questions: [...SUITE.questions, long] };
    await assert.rejects(
      run(suite).next(),
      /Cannot ask question long of suite letters: it has 96 tokens, tiny knows 96 positions/,
    );
  });
});
