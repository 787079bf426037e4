/** Answers in memory: the prompt, then what the target says greedily, and the rows that train. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { answerPrompts } from "../../lib/data/answers.ts";
import { takePrompts } from "../../lib/data/prompts.ts";
import { generate } from "../../lib/decode/generate.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { record } from "../../lib/eval/run.ts";
import { loadTarget } from "../../lib/model/load.ts";
import { checkMask, encodePrompt } from "../../lib/text/chat.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";

Deno.test("a text is the prompt and the target's greedy answer, masked as its reply", async () => {
  using backend = await openOnnxBackend();
  const loaded = await loadTarget("data/target", { backend });
  const tokenizer = await loadTokenizer("data/target");
  using target = new TargetDecoder(loaded, { backend });
  const prompts = takePrompts("train", { count: 2 });
  const texts = await Array.fromAsync(answerPrompts(target, prompts, { tokenizer, maxTokens: 9 }));
  assert.equal(texts.length, 2);
  for (const [i, { id, ids, mask }] of texts.entries()) {
    const prompt = encodePrompt(tokenizer, prompts[i].messages);
    const { tokens } = await record(generate(target, prompt, { maxTokens: 9 }));
    assert.equal(id, prompts[i].id);
    assert.deepEqual([...ids], [...prompt, ...tokens]);
    checkMask(mask, [{ start: prompt.length, end: ids.length }]);
  }
});
