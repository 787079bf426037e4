/** The plan against what is there: bytes of loaded weights and caches, parameters of published models, search. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import type { Params } from "../../lib/backend/backend.ts";
import { measureMachine } from "../../lib/bench/machine_rates.ts";
import {
  cacheBytes,
  countTarget,
  featureBytes,
  largest,
  planDecoding,
  planTraining,
  totalBytes,
  weightBytes,
} from "../../lib/bench/plan.ts";
import { bytesOfValue } from "../../lib/graph/count.ts";
import type { TargetConfig } from "../../lib/model/config.ts";
import { loadTarget } from "../../lib/model/load.ts";
import { newCache } from "../../lib/model/placement.ts";
import { DEFAULT_RECIPE } from "../../lib/train/recipe.ts";
import { TINY, tinyDraftConfig } from "../model/tiny.ts";

const bytes = (tensors: Params) =>
  Object.values(tensors).reduce((n, tensor) => n + bytesOfValue(tensor), 0);

Deno.test("planned bytes of weights and caches are those of the shipped target, in 32, 16, 8 and 4 bits", async () => {
  using backend = await openOnnxBackend();
  for (const bits of [32, 8, 4] as const) {
    const { config, weights } = await loadTarget("data/target", { backend, bits });
    assert.equal(weightBytes(config, { bits }), bytes(weights));
    const short = await loadTarget("data/target", { backend, bits, half: true });
    assert.equal(weightBytes(config, { bits, half: true }), bytes(short.weights));
    using cache = newCache(backend, config, { capacity: 100, layers: config.layers });
    assert.equal(cacheBytes(config, 100), bytes(cache.tensors));
  }
});

const LLAMA: TargetConfig = {
  ...{ family: "llama", width: 4096, inner: 11008, heads: 32, kvHeads: 32, headSize: 128 },
  ...{ vocabulary: 32000, positions: 4096, epsilon: 1e-5, ropeTheta: 1e4, layers: 32 },
  ...{ tied: false, eos: [] },
};

Deno.test("published sizes: LLaMA 2 7B and 70B, LLaMA 3 8B, Mixtral, Qwen 2.5; features of the paper's data", () => {
  assert.equal(countTarget(LLAMA), 6_738_415_616);
  const wide = { width: 8192, inner: 28672, heads: 64, kvHeads: 8, layers: 80 };
  assert.equal(countTarget({ ...LLAMA, ...wide }), 68_976_648_192);
  const llama3 = { inner: 14336, kvHeads: 8, vocabulary: 128256 };
  assert.equal(countTarget({ ...LLAMA, ...llama3 }), 8_030_261_248);
  const experts = { count: 8, chosen: 2 };
  assert.equal(countTarget({ ...LLAMA, inner: 14336, kvHeads: 8, experts }), 46_702_792_704);
  const qwen = { width: 3584, inner: 18944, heads: 28, kvHeads: 4, vocabulary: 152064, layers: 28 };
  assert.equal(countTarget({ ...LLAMA, ...qwen, qkvBias: true }), 7_615_616_512);
  assert.ok(Math.abs(featureBytes(68000 * 1300, { width: 4096 }) / 740e9 - 1) < 0.05);
});

Deno.test("needs grow with what is asked for, and the largest that fits is found", () => {
  const draft = tinyDraftConfig(), temporaries = () => 1000;
  const decode = (context: number, bits: 8 | 32 = 32) =>
    totalBytes(
      planDecoding({ ...TINY, inner: 48 }, { draft, bits, context, nodes: 8, temporaries }).needs,
    );
  assert.equal(
    decode(64) - decode(32),
    cacheBytes(TINY, 32) + cacheBytes({ ...draft, layers: 1 }, 32),
  );
  assert.ok(decode(64, 8) < decode(64));
  const recipe = { ...DEFAULT_RECIPE, passes: 2 };
  const train = planTraining(TINY, { draft, recipe, batch: 1, length: 16, temporaries });
  const half = planTraining(TINY, {
    ...{ draft, recipe, batch: 1, length: 16, temporaries, frozen: "f16" },
  });
  const frozen = 2 * TINY.vocabulary * TINY.width;
  assert.equal(totalBytes(train.needs) - totalBytes(half.needs), 2 * frozen);
  assert.ok(train.flops > 0 && train.flops === half.flops);
  for (const limit of [0, 1, 2, 37, 99, 100]) assert.equal(largest(100, (n) => n <= limit), limit);
});

Deno.test("a machine has rates, for weights in 32, 8 and 4 bits", async () => {
  using backend = await openOnnxBackend();
  for (const bits of [32, 8, 4] as const) {
    const { flopsPerSecond, bytesPerSecond } = await measureMachine(backend, {
      ...{ inner: 128, rows: 16, runs: 2, readBytes: 1e6, bits },
    });
    assert.ok(flopsPerSecond > 1e6 && bytesPerSecond > 1e6);
  }
});
