/** Perplexity against plain loops, over texts longer than a chunk; comparisons are paired. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { comparePerplexity, perplexity, readTexts } from "../../lib/eval/perplexity.ts";
import { random } from "../../lib/random.ts";
import { tinyTarget } from "../model/tiny.ts";

const from = random(3, "texts");
const TEXTS = [70, 2, 1, 9].map((n) => Int32Array.from({ length: n }, () => from.integer(24)));

Deno.test("losses are those of reading token by token; a text of one token has none", async () => {
  using backend = await openOnnxBackend();
  using target = new TargetDecoder(tinyTarget(backend), { backend });
  const found = await Array.fromAsync(readTexts(target, TEXTS));
  const wanted: { loss: number; tokens: number }[] = [];
  for (const ids of TEXTS.filter((t) => t.length > 1)) {
    using cache = target.newCache();
    let loss = 0;
    for (let i = 0; i < ids.length - 1; i++) {
      const logits = [...(await target.forwardChain([ids[i]], cache)).logits];
      const sum = logits.reduce((n, x) => n + Math.exp(x), 0);
      loss += Math.log(sum) - logits[ids[i + 1]];
    }
    wanted.push({ loss, tokens: ids.length - 1 });
  }
  assert.deepEqual(found.map((f) => f.tokens), [69, 1, 8]);
  found.forEach(({ loss }, i) => assert.ok(Math.abs(loss - wanted[i].loss) < 1e-3, `text ${i}`));
  const sum = wanted.reduce((n, w) => n + w.loss, 0);
  assert.ok(Math.abs(perplexity(found) / Math.exp(sum / 78) - 1) < 1e-4);
});

Deno.test("a ratio is paired: the same excess on every text has no spread; other texts are refused", () => {
  const base = [10, 30, 20, 5].map((loss, i) => ({ loss, tokens: 4 + i }));
  const worse = base.map(({ loss, tokens }) => ({ loss: loss + 0.1 * tokens, tokens }));
  const { ratio, ratioInterval, interval } = comparePerplexity(worse, base);
  for (const value of [ratio, ratioInterval.low, ratioInterval.high]) {
    assert.ok(Math.abs(value / Math.exp(0.1) - 1) < 1e-9);
  }
  assert.ok(interval.low < interval.high);
  assert.throws(
    () => comparePerplexity(base.slice(1), base),
    /3 texts with 4: wanted the same ones/,
  );
});
