/**
 * Questions of several turns on a tiny random model: a conversation beside one that is held here by hand, greedy texts
 * plain and drafted, what a seed repeats, and turns that do not fit.
 */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import type { Suite } from "../../lib/data/suites.ts";
import { generate } from "../../lib/decode/generate.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { isIdentical, type PromptResult, turnsOf } from "../../lib/eval/metrics.ts";
import { evaluate, type EvaluateOptions, record } from "../../lib/eval/run.ts";
import { summarize } from "../../lib/eval/summary.ts";
import type { Tokenizer } from "../../lib/text/tokenizer.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { countingBackend } from "./counting.ts";

/** A letter a token, and a template that shows who said what. */
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const TOKENIZER: Tokenizer = {
  folder: "letters",
  vocabulary: TINY.vocabulary,
  bosToken: undefined,
  eosToken: undefined,
  chatTemplate: "{% for m in messages %}{{ m.role[0] + m.content }}{% endfor %}>",
  encode: (text) => Int32Array.from(text, (c) => c.charCodeAt(0) % TINY.vocabulary),
  // With blanks around it, which do not enter a conversation.
  decode: (ids) => ` ${Array.from(ids, (id) => LETTERS[id % 26]).join("")} `,
};

const SUITE: Suite = {
  name: "talks",
  questions: [
    { id: "first", category: "a", text: "hello", later: ["and", "or"] },
    { id: "second", category: "b", text: "other" },
    { id: "third", category: "a", text: "some", later: ["more"] },
  ],
};
const TOKENS = 9;

async function withTiny(
  use: (at: {
    run: (suite: Suite, changes?: Partial<EvaluateOptions>) => AsyncGenerator<PromptResult>;
    target: TargetDecoder;
    compiled: () => number;
  }) => Promise<void>,
): Promise<void> {
  using backend = await openOnnxBackend();
  const { counting, compiled } = countingBackend(backend);
  const loaded = tinyTarget(backend);
  using target = new TargetDecoder(loaded, { backend: counting });
  const growth = dynamicGrowth({ depth: 2, width: 2, budget: 4 });
  const settings = { backend: counting, target: loaded, growth, bits: 32 as const };
  using drafter = new TreeDrafter(tinyDraft(tinyDraftConfig()), settings);
  const run = (suite: Suite, changes: Partial<EvaluateOptions> = {}) =>
    evaluate(target, suite, { tokenizer: TOKENIZER, drafter, maxTokens: TOKENS, ...changes });
  await use({ run, target, compiled });
}

/** Tokens of the turns of a conversation held by hand: the template written out, each turn decoded alone. */
async function byHand(target: TargetDecoder, turns: string[], before = ""): Promise<number[][]> {
  const answers: number[][] = [];
  let said = before;
  for (const turn of turns) {
    said += `u${turn}`;
    const prompt = TOKENIZER.encode(`${said}>`);
    const { tokens } = await record(generate(target, prompt, { maxTokens: TOKENS }));
    answers.push(tokens);
    said += `a${Array.from(tokens, (id) => LETTERS[id % 26]).join("")}`;
  }
  return answers;
}

const tokensOf = ({ plain, speculative }: PromptResult) =>
  [plain, speculative].map((g) => turnsOf(g).map((t) => t.tokens));

Deno.test("each turn is answered after the answers before it; greedy texts are the same", async () => {
  await withTiny(async ({ run, target, compiled }) => {
    const results: PromptResult[] = [];
    let before = 0;
    for await (const result of run(SUITE)) {
      if (results.push(result) === 1) before = compiled();
    }
    assert.equal(compiled(), before, "all sizes were compiled before the first result");
    assert.deepEqual(results.map((r) => r.promptTokens), [7, 7, 6]);
    for (const [i, turns] of [["hello", "and", "or"], ["other"], ["some", "more"]].entries()) {
      const wanted = await byHand(target, turns);
      assert.deepEqual(tokensOf(results[i]), [wanted, wanted]);
      assert.ok(isIdentical(results[i]));
    }
    const rounds = results.flatMap((r) => r.speculative.rounds), { tau } = summarize("s", results);
    assert.equal(tau, (6 * TOKENS - 6) / rounds.length);
    assert.ok(results[0].speculative.turns!.every((t) => t.rounds > 0 && t.prefillMs > 0));
  });
});

Deno.test("a conversation opens with the system's message", async () => {
  await withTiny(async ({ run, target }) => {
    const [first] = await Array.fromAsync(run(SUITE, { system: "be kind" }));
    const wanted = await byHand(target, ["hello", "and", "or"], "sbe kind");
    assert.deepEqual(tokensOf(first), [wanted, wanted]);
    assert.equal(first.promptTokens, 7 + 8);
  });
});

Deno.test("a seed repeats conversations; sampled ones go their own ways, each with its answers", async () => {
  await withTiny(async ({ run }) => {
    const sampled = (seed: number, questions = SUITE.questions) =>
      Array.fromAsync(
        run({ ...SUITE, questions }, { seed, sampling: { temperature: 1, topK: 0, topP: 1 } }),
      );
    const once = (await sampled(1)).map(tokensOf);
    assert.deepEqual((await sampled(1)).map(tokensOf), once);
    assert.notDeepEqual((await sampled(2)).map(tokensOf), once);
    assert.deepEqual(once.map(([p, s]) => [p.length, s.length]), [[3, 3], [1, 1], [2, 2]]);
    assert.notDeepEqual(once[0][0], once[0][1]);
    // The first turn does not depend on the later ones.
    const short = SUITE.questions.map((q) => ({ ...q, later: undefined }));
    const alone = (await sampled(1, short)).map(tokensOf);
    assert.deepEqual(alone.map(([p]) => p[0]), once.map(([p]) => p[0]));
  });
});

Deno.test("a later turn that does not fit is not asked", async () => {
  await withTiny(async ({ run }) => {
    const later = ["y".repeat(60), "never asked"], long = "x".repeat(TINY.positions - 40);
    const questions = [{ id: "long", category: "", text: long, later }];
    const [{ plain, speculative }] = await Array.fromAsync(run({ name: "long", questions }));
    assert.deepEqual([turnsOf(plain).length, turnsOf(speculative).length], [1, 1]);
    assert.equal(speculative.turns, undefined);
  });
});

Deno.test("traces name the turn; an abort within a conversation leaves it out", async () => {
  await withTiny(async ({ run }) => {
    const seen: string[] = [], abort = new AbortController();
    const results = await Array.fromAsync(run(SUITE, {
      signal: abort.signal,
      watch: (events, { id }) => {
        if (seen.push(id) === 5) abort.abort();
        return events;
      },
    }));
    assert.deepEqual(seen, ["first", "first, turn 2", "first, turn 3", "second", "third"]);
    assert.deepEqual(results.map((r) => r.id), ["first", "second"]);
  });
});
