/** Conversations side by side: every step gives each what it gets alone; the same answers on the CPU and a device. */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { openExamples } from "../../lib/data/features.ts";
import { generateData } from "../../lib/data/generate.ts";
import { takePrompts } from "../../lib/data/prompts.ts";
import { openSlots } from "../../lib/data/slots.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { testOnWebGpu } from "../adapter.ts";
import { tinyTarget } from "../model/tiny.ts";

const PROMPTS = [[3, 1, 4], [1, 5], [9, 2, 6, 5]], NEXT = [[7, 8], [2, 3], [4, 4]];

function near(found: Float32Array, wanted: Float32Array, what: string): void {
  assert.equal(found.length, wanted.length, what);
  found.forEach((x, i) =>
    assert.ok(Math.abs(x - wanted[i]) < 1e-4, `${what}, ${i}: ${x}, ${wanted[i]}`)
  );
}

async function stepsAgree(backend: Backend): Promise<void> {
  const taps = [1, 0], target = tinyTarget(backend, { headSize: 16 });
  using slots = await openSlots(target, { backend, batch: 3, taps });
  using alone = new TargetDecoder(target, { backend, taps });
  const own = PROMPTS.map(() => alone.newCache());
  for (const [i, prompt] of PROMPTS.entries()) {
    await slots.decoder.prefill(Int32Array.from(prompt), slots.caches[i]);
    await alone.forwardChain(prompt, own[i]);
  }
  // All three, then without the middle one, whose place stays as it is.
  for (const [step, live] of [[0, 1, 2], [2, 0]].entries()) {
    const tokens = live.map((i) => ({ token: NEXT[i][step], cache: slots.caches[i] }));
    const rows = await slots.step(tokens);
    const found = rows.map((r) => [r.logits.slice(), r.features.slice(), r.tapped.slice()]);
    for (const [at, i] of live.entries()) {
      const wanted = await alone.forwardChain([NEXT[i][step]], own[i]);
      near(found[at][0], wanted.logits, `logits of ${i}, step ${step}`);
      near(found[at][1], wanted.features, `features of ${i}, step ${step}`);
      near(found[at][2], wanted.tapped, `taps of ${i}, step ${step}`);
    }
  }
  assert.deepEqual(slots.caches.map(({ length }) => length), [5, 3, 6]);
}

Deno.test("a step gives every conversation what it gets alone", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  await stepsAgree(backend);
});

testOnWebGpu("a step gives every conversation what it gets alone", stepsAgree);

testOnWebGpu("answers made on a device are the CPU's, features within 1e-3", async (gpu) => {
  using cpu = await openOnnxBackend({ threads: 1 });
  const tokenizer = await loadTokenizer("data/target"),
    prompts = takePrompts("train", { count: 3 });
  const sizes = { vocabulary: 4096, positions: 256, headSize: 16, width: 64 };
  const made = async (backend: Backend) => {
    const folder = await Deno.makeTempDir(), target = tinyTarget(backend, sizes);
    try {
      const options = { backend, tokenizer, folder, maxTokens: 4, batch: 2, taps: [1] };
      for await (const _ of generateData(target, prompts, options));
      const examples = await openExamples(folder);
      const all = await Promise.all(prompts.map((_, i) => examples.read(i)));
      return all.sort((a, b) => a.id < b.id ? -1 : 1);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  };
  const wanted = await made(cpu), found = await made(gpu);
  for (const [i, example] of found.entries()) {
    assert.deepEqual([...example.ids], [...wanted[i].ids]);
    assert.deepEqual(example.mask, wanted[i].mask);
    example.features.forEach((x, j) =>
      assert.ok(
        Math.abs(x - wanted[i].features[j]) <= 1e-3 * Math.max(1, Math.abs(x)),
        `feature ${j}`,
      )
    );
  }
});
