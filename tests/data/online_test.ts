/**
 * Tests lib/data/online.ts on a tiny random target: features as the equations have them, as shards hold them up
 * to f16, whatever the length and however many at once; and what is refused.
 */
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { openExamples, openShardWriter, type TokenizedText } from "../../lib/data/features.ts";
import { generateData } from "../../lib/data/generate.ts";
import { onlineExamples, rowsFor } from "../../lib/data/online.ts";
import { takePrompts } from "../../lib/data/prompts.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { random } from "../../lib/random.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { fillBatch } from "../../lib/train/batches.ts";
import { naiveTarget } from "../model/naive.ts";
import { TINY, tinyTarget } from "../model/tiny.ts";
import { assertClose } from "../tolerance.ts";

const texts = [1, 2, 3, 16, 17, 18, 33, 96].map((length, i): TokenizedText => {
  const from = random(4, "text", i);
  return {
    id: `t${i}`,
    ids: Int32Array.from({ length }, () => from.integer(TINY.vocabulary)),
    mask: Uint8Array.from({ length }, () => from.integer(2)),
  };
});

/** A folder that is removed afterwards. */
async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const headSize of [8, 16]) {
  Deno.test(`features are the target's own, head size ${headSize}; the last token's are zeros`, async () => {
    using backend = await openOnnxBackend({ threads: 1 });
    const target = tinyTarget(backend, { headSize }), { config, weights } = target;
    using examples = onlineExamples(texts, { target, backend, taps: [1, 0] });
    using decoder = new TargetDecoder(target, { backend, taps: [1, 0] });
    deepEqual(examples.of, { target: "tiny-1", width: 32, taps: [1, 0], storage: "none" });
    equal(examples.count, texts.length);
    deepEqual(examples.lengths, texts.map((t) => t.ids.length));
    // All at once, longest first: rows left of longer texts must not show in shorter ones.
    const order = texts.map((_, i) => texts.length - 1 - i), read = await examples.readMany!(order);
    for (const [at, i] of order.entries()) {
      const { id, ids, mask, features, tapped } = read[at], n = ids.length - 1;
      deepEqual({ id, ids, mask }, texts[i]);
      const { features: rows } = naiveTarget(config, (w) => weights[w].host!, [...ids]);
      const wanted = rows.slice(0, n).flat().concat(new Array(config.width).fill(0));
      assertClose(features, wanted, { what: id, shape: [n + 1, config.width], a: 1e-5 });
      using cache = decoder.newCache();
      const direct = (await decoder.prefill(ids, cache)).tapped.fill(0, n * 2 * config.width);
      assertClose(tapped, [...direct], { what: id, shape: [n + 1, 2 * config.width], a: 1e-5 });
    }
    // One alone is bit for bit what it was among others.
    for (const i of [7, 3]) deepEqual(await examples.read(i), read[order.indexOf(i)]);
  });
}

Deno.test("batches from shards and online agree to f16, with and without stored features", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const target = tinyTarget(backend, { vocabulary: 4096, positions: 256, headSize: 16, width: 64 });
  const tokenizer = await loadTokenizer("data/target");
  const prompts = takePrompts("train", { count: 4 }), taps = [0, 1];
  await inFolder(async (folder) => {
    const made = async (storage: "f16" | "none") => {
      const to = `${folder}/${storage}`, options = { backend, tokenizer, maxTokens: 12, batch: 2 };
      const events = generateData(target, prompts, { ...options, folder: to, taps, storage });
      for await (const _ of events);
      return await openExamples(to);
    };
    const stored = await made("f16"), texts = await made("none");
    for (const from of [stored, texts]) {
      using online = onlineExamples(from, { target, backend, taps });
      equal(online.count, 4);
      for (let i = 0; i < 4; i++) {
        const found = await online.read(i), wanted = await stored.read(i);
        deepEqual([found.id, found.ids, found.mask], [wanted.id, wanted.ids, wanted.mask]);
        for (const key of ["features", "tapped"] as const) {
          equal(found[key].length, wanted[key].length);
          found[key].forEach((x, at) => {
            // Half a unit of f16, and what other summing orders make in f32.
            const bound = 2 ** -11 * Math.abs(x) + 2e-5;
            ok(Math.abs(x - wanted[key][at]) <= bound, `${key} ${at}: ${x}, ${wanted[key][at]}`);
          });
        }
      }
      const plan = { plan: { batch: 4, length: 192, rows: [[2], [0], [3], [1]] }, epoch: 0 };
      const settings = { seed: 1, noise: 0.1 };
      const a = await fillBatch(online, plan, settings),
        b = await fillBatch(stored, plan, settings);
      deepEqual([a.ids, a.mask, a.trained, a.tokens], [b.ids, b.mask, b.trained, b.tokens]);
      const off = a.noisy.reduce((most, x, i) => Math.max(most, Math.abs(x - b.noisy[i])), 0);
      ok(off < 4e-3, `noisy features differ by ${off}`);
    }
  });
});

Deno.test("the reference backend computes the same", async () => {
  using backend = referenceBackend();
  using onnx = await openOnnxBackend({ threads: 1 });
  using examples = onlineExamples(texts, { target: tinyTarget(backend), backend });
  using others = onlineExamples(texts, { target: tinyTarget(onnx), backend: onnx });
  for (const i of [2, 4]) {
    const { features, tapped } = await examples.read(i), wanted = (await others.read(i)).features;
    assertClose(features, [...wanted], { what: `text ${i}`, shape: [wanted.length], a: 1e-5 });
    equal(tapped.length, 0);
  }
});

Deno.test("other targets, long texts and layers that do not exist are named", async () => {
  using backend = referenceBackend();
  const target = tinyTarget(backend), long = { ...texts[0], ids: new Int32Array(97) };
  throws(
    () => onlineExamples([texts[0], long], { target, backend }),
    /features of example 1: it has 97 tokens, the target knows 96 positions/,
  );
  throws(
    () => onlineExamples(texts, { target, backend, taps: [2] }),
    /Cannot tap layer 2.* 0 to 1/,
  );
  await inFolder(async (folder) => {
    const nothing = new Float32Array(0), width = TINY.width;
    const of = { target: "tiny-2", width, taps: [], storage: "none" } as const;
    const writer = await openShardWriter(folder, { of });
    await writer.append({ ...texts[3], features: nothing, tapped: nothing });
    await writer.flush();
    const stored = await openExamples(folder);
    throws(
      () => onlineExamples(stored, { target, backend }),
      /answers of target tiny-2: this target is tiny-1/,
    );
    await rejects(stored.read(0), /storage none/);
  });
});

Deno.test("few sizes serve all lengths, and padding stays small", () => {
  const sizes = new Set<number>();
  for (let n = 1; n <= 4096; n++) {
    const rows = rowsFor(n);
    sizes.add(rows);
    ok(rows >= n && rows - n < 16 || rows <= n * 9 / 8, `${rows} rows for ${n}`);
  }
  ok(sizes.size <= 50, `${sizes.size} sizes`);
});
