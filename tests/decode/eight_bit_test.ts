/**
 * The shipped target in 8 bits: what holds of it and what does not. Its logits are near those of f32. A row's
 * logits depend on the company it is run in, so speculative and plain text may part; where they do, it is
 * between tokens that the target finds almost equally good.
 */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { loadSuite } from "../../lib/data/suites.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { record } from "../../lib/eval/run.ts";
import { loadTarget, readDraft } from "../../lib/model/load.ts";
import { encodePrompt } from "../../lib/text/chat.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";

const TARGET = "data/target", PROMPTS = 8, TOKENS = 40;

/** Logits differ by this much at most between ways to run the same rows; measured: 0.13 over 40 prompts. */
const COMPANY = 0.25;

async function shippedPrompts(): Promise<Int32Array[]> {
  const tokenizer = await loadTokenizer(TARGET);
  const { questions } = await loadSuite("ours", { count: PROMPTS });
  return questions.map(({ text }) => encodePrompt(tokenizer, [{ role: "user", content: text }]));
}

/** Logits [n V] of `text` behind `prompt`, run in chains of `size` rows. */
async function logitsOf(
  target: TargetDecoder,
  { prompt, text, size }: { prompt: Int32Array; text: readonly number[]; size: number },
): Promise<Float32Array> {
  const { vocabulary } = target.target.config, all = new Float32Array(text.length * vocabulary);
  using cache = target.newCache();
  await target.prefill(prompt, cache);
  for (let at = 0; at < text.length; at += size) {
    const { logits } = await target.forwardChain(text.slice(at, at + size), cache);
    all.set(logits, at * vocabulary);
  }
  return all;
}

const furthest = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

Deno.test("8 bits: texts part where the target hardly minds, logits are near f32's", async (t) => {
  using backend = await openOnnxBackend();
  const loaded = await loadTarget(TARGET, { backend, bits: 8 });
  const draft = await readDraft("data/draft", { target: loaded });
  using target = new TargetDecoder(loaded, { backend });
  using drafter = new TreeDrafter(draft, {
    backend,
    target: loaded,
    growth: dynamicGrowth({ depth: 6, width: 2, budget: 8 }),
  });
  const prompts = await shippedPrompts(), v = loaded.config.vocabulary, texts: number[][] = [];
  let same = 0;
  for (const prompt of prompts) {
    const plain = (await record(generate(target, prompt, { maxTokens: TOKENS }))).tokens;
    const fast = (await record(speculate(target, prompt, { drafter, maxTokens: TOKENS }))).tokens;
    texts.push(plain);
    const at = plain.findIndex((token, i) => token !== fast[i]);
    if (at < 0) {
      same++;
      assert.deepEqual(fast, plain);
      continue;
    }
    // The first token comes from prefill, which both share.
    assert.ok(at > 0);
    const logits = await logitsOf(target, { prompt, text: plain.slice(0, at), size: 1 });
    const last = logits.subarray((at - 1) * v), gap = last[plain[at]] - last[fast[at]];
    // Both logits may have moved, each by as much as company moves them.
    assert.ok(gap >= 0 && gap <= 2 * COMPANY, `parted at ${at} with a gap of ${gap}`);
  }
  await t.step(`${same} of ${PROMPTS} texts are the same`, () => assert.ok(same > PROMPTS / 4));

  await t.step("a row alone and rows in chains", async () => {
    for (const [i, prompt] of prompts.slice(0, 3).entries()) {
      const text = texts[i], alone = await logitsOf(target, { prompt, text, size: 1 });
      for (const size of [2, 9]) {
        const moved = furthest(await logitsOf(target, { prompt, text, size }), alone);
        assert.ok(moved <= COMPANY, `chains of ${size}: ${moved}`);
      }
    }
  });

  await t.step("against f32", async () => {
    using exact = new TargetDecoder(await loadTarget(TARGET, { backend }), { backend });
    let error = 0, length = 0;
    for (const [i, prompt] of prompts.entries()) {
      const rows = { prompt, text: texts[i], size: 16 };
      const found = await logitsOf(target, rows), wanted = await logitsOf(exact, rows);
      found.forEach((x, j) => error += (x - wanted[j]) ** 2);
      wanted.forEach((x) => length += x ** 2);
    }
    const share = Math.sqrt(error / length);
    assert.ok(share > 1e-4 && share < 0.05, `logits are ${share} of their length apart`);
  });
});
