/** Tests lib/data/generate.ts on a tiny random target: what is stored, resume, independence of the batch. */
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { openExamples, type TrainingExample } from "../../lib/data/features.ts";
import { generateData } from "../../lib/data/generate.ts";
import { takePrompts } from "../../lib/data/prompts.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { encodePrompt, lossMask } from "../../lib/text/chat.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { tinyTarget } from "../model/tiny.ts";

const tokenizer = await loadTokenizer("data/target");
const prompts = takePrompts("train", { count: 6 });

async function all(folder: string): Promise<Map<string, TrainingExample>> {
  const examples = await openExamples(folder), out = new Map<string, TrainingExample>();
  for (let i = 0; i < examples.count; i++) {
    const e = await examples.read(i);
    out.set(e.id, e);
  }
  return out;
}

Deno.test("answers, masks and features are stored; batch size and interruption change nothing", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const target = tinyTarget(backend, { vocabulary: 4096, positions: 256, headSize: 16, width: 64 });
  const run = async (batch: number, stopAfter = Infinity, folder?: string) => {
    folder ??= await Deno.makeTempDir();
    const abort = new AbortController();
    let events = 0;
    const options = { backend, tokenizer, folder, maxTokens: 12, batch, signal: abort.signal };
    for await (const event of generateData(target, prompts, options)) {
      equal(event.total, prompts.length);
      if (++events >= stopAfter) abort.abort();
    }
    return folder;
  };
  const four = await all(await run(4)), one = await all(await run(1));
  deepEqual([...four.keys()].sort(), prompts.map((p) => p.id).sort());
  const stopped = await run(2, 2);
  const before = (await all(stopped)).size;
  ok(before >= 2 && before < 6, `${before} examples before the interruption`);
  const resumed = await all(await run(2, Infinity, stopped));

  using decoder = new TargetDecoder(target, { backend });
  for (const { id, messages } of prompts) {
    const { ids, mask, features } = four.get(id)!, prompt = encodePrompt(tokenizer, messages);
    deepEqual([...ids.subarray(0, prompt.length)], [...prompt]);
    equal(ids.length, prompt.length + 12);
    deepEqual(mask, lossMask(ids.length, [{ start: prompt.length, end: ids.length }]));
    // The stored features are what the target makes of the whole text at once.
    using cache = decoder.newCache();
    const again = (await decoder.prefill(ids, cache)).features, stored = features;
    for (let i = 0; i < again.length - target.config.width; i++) {
      ok(Math.abs(stored[i] - again[i]) <= 2e-3 * Math.max(1, Math.abs(again[i])), `feature ${i}`);
    }
    deepEqual(one.get(id)!.ids, ids);
    deepEqual(resumed.get(id)!.ids, ids);
  }
});

Deno.test("a target in 8 bits answers with features of its own, and its data are not added to others", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const sizes = { vocabulary: 4096, positions: 256, headSize: 16, width: 64, inner: 48 };
  const folder = await Deno.makeTempDir(), two = prompts.slice(0, 2);
  const options = { backend, tokenizer, folder, maxTokens: 6, batch: 2, greedyShare: 1 };
  const rounded = tinyTarget(backend, { ...sizes, bits: 8 });
  for await (const _ of generateData(rounded, two, options));
  using decoder = new TargetDecoder(rounded, { backend });
  using exact = new TargetDecoder(tinyTarget(backend, sizes), { backend });
  let own = 0, others = 0;
  for (const { ids, features } of (await all(folder)).values()) {
    for (const target of [decoder, exact]) {
      using cache = target.newCache();
      const again = (await target.prefill(ids, cache)).features;
      const last = again.length - sizes.width;
      const error = again.subarray(0, last).reduce((n, x, i) => n + (x - features[i]) ** 2, 0);
      if (target === decoder) own += error;
      else others += error;
    }
  }
  ok(own < others / 2, `error ${own} from its own features, ${others} from those of 32 bits`);
  const mixed = generateData(tinyTarget(backend, sizes), prompts, options);
  await rejects(mixed.next(), /target bits/);
});
