/**
 * Models whose weights lie in parts, by an artificially small binding: a target decodes plainly and with a draft, to the
 * bit as one of whole weights does; a draft is trained against a head in parts.
 */
import assert from "node:assert/strict";
import { type Backend, type Params, readAll, type Tensor } from "../../../lib/backend/backend.ts";
import { openWebGpuBackend } from "../../../lib/backend/webgpu/backend.ts";
import type { DeviceTensor } from "../../../lib/backend/webgpu/tensors.ts";
import { generate, speculate } from "../../../lib/decode/generate.ts";
import { dynamicGrowth } from "../../../lib/decode/growth.ts";
import { TargetDecoder } from "../../../lib/decode/target.ts";
import { TreeDrafter } from "../../../lib/decode/tree_drafter.ts";
import { record } from "../../../lib/eval/run.ts";
import { type HostArray, sizeOf } from "../../../lib/graph/node.ts";
import { toHalf } from "../../../lib/io/float16.ts";
import type { DraftConfig, TargetConfig } from "../../../lib/model/config.ts";
import { DRAFT_TOKENS } from "../../../lib/model/eagle3.ts";
import { DEFAULT_RECIPE } from "../../../lib/train/recipe.ts";
import { targetHead, trainingProgram } from "../../../lib/train/step.ts";
import { testOnWebGpu } from "../../adapter.ts";
import { integers, values } from "../../graph/evaluate.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "../../model/tiny.ts";
import { assertClose } from "../../tolerance.ts";

/** So many tokens that embedding and head are larger than anything a run computes. */
const WIDE: TargetConfig = { ...TINY, ...{ width: 64, headSize: 16, vocabulary: 512, layers: 1 } };
const HEAD = "lm_head.weight", TABLE = "model.embed_tokens.weight";

const buffersOf = (tensor: Tensor) => (tensor as DeviceTensor).buffers.length;

/** Logits and texts of a random target and draft. */
async function decode(backend: Backend) {
  const loaded = tinyTarget(backend, WIDE), draft = tinyDraft(tinyDraftConfig(WIDE));
  using target = new TargetDecoder(loaded, { backend });
  const growth = dynamicGrowth({ depth: 2, width: 2, budget: 4 });
  using drafter = new TreeDrafter(draft, { backend, target: loaded, growth, bits: 32 });
  const prompt = Int32Array.of(3, 101, 400, 511, 5), options = { maxTokens: 6 };
  using cache = target.newCache();
  const { logits } = await target.forwardChain([...prompt], cache);
  const plain = await record(generate(target, prompt, options));
  const drafted = await record(speculate(target, prompt, { drafter, ...options }));
  const buffers = [HEAD, TABLE].map((name) => buffersOf(loaded.weights[name]));
  return { said: { logits, plain: plain.tokens, drafted: drafted.tokens }, buffers };
}

testOnWebGpu("a target and a draft in parts decode as whole ones do, to the bit", async (whole) => {
  using split = await openWebGpuBackend({ bindingLimit: 29000 });
  const wanted = await decode(whole), found = await decode(split);
  assert.deepEqual([wanted.buffers, found.buffers], [[1, 1], [5, 5]]);
  assert.deepEqual(found.said, wanted.said);
  assert.deepEqual(found.said.drafted, found.said.plain);
});

testOnWebGpu("a target of 8 bits in parts has the logits of a whole one", async (whole) => {
  using split = await openWebGpuBackend({ bindingLimit: 21000 });
  const logitsOf = async (backend: Backend) => {
    const loaded = tinyTarget(backend, { ...WIDE, bits: 8 });
    using target = new TargetDecoder(loaded, { backend });
    using cache = target.newCache();
    const { logits } = await target.forwardChain([3, 101, 511], cache);
    return { logits, buffers: buffersOf(loaded.weights[`${HEAD}.packed`]) };
  };
  const wanted = await logitsOf(whole), found = await logitsOf(split);
  assert.deepEqual([wanted.buffers, found.buffers], [1, 2]);
  assert.deepEqual(found.logits, wanted.logits);
});

/** A training step of one pass: what it returns, and the parameters and moments they leave. */
async function train(backend: Backend, config: DraftConfig, frozen: "f16" | "f32") {
  const recipe = { ...DEFAULT_RECIPE, passes: 1 }, shape = { batch: 1, length: 7 };
  const made = trainingProgram(config, { recipe, shape, frozen }), given: Params = {};
  const { parameters, tokens } = tinyDraft(config);
  for (const [name, { shape, dtype }] of Object.entries(made.inputs)) {
    const data = (): HostArray => {
      if (parameters[name] !== undefined) return parameters[name];
      if (name === DRAFT_TOKENS) return tokens!;
      if (name === "schedule") return Float32Array.of(0.1, 0.1, 0.1);
      if (name === "mask") return new Float32Array(sizeOf(shape)).fill(1);
      if (dtype === "i32") return integers(shape, name, { below: config.vocabulary });
      const numbers = Float32Array.from(values(shape, name, { positive: /^second/.test(name) }));
      return dtype === "f16" ? toHalf(numbers) : numbers;
    };
    given[name] = backend.tensor(data(), shape);
  }
  using run = await backend.compile(made);
  const out = await readAll(await run.run(given));
  const state = await readAll(
    Object.fromEntries(Object.keys(made.updates).map((name) => [name, given[name]])),
  );
  return { all: { ...out, ...state }, buffers: buffersOf(given[targetHead(config)]) };
}

const GRIFFIN = tinyDraftConfig({ ...TINY, vocabulary: 512 });
const EAGLE3 = { fusion: "taps", head: "single", taps: [0, 1], draftVocabulary: 140 } as const;

for (
  const [name, config, frozen, buffers] of [
    ["griffin, f32", GRIFFIN, "f32", 4],
    ["eagle3, f16", { ...GRIFFIN, ...EAGLE3 }, "f16", 2],
  ] as [string, DraftConfig, "f32" | "f16", number][]
) {
  testOnWebGpu(
    `training against a head in parts, ${name}: the step of a whole one`,
    async (whole) => {
      using split = await openWebGpuBackend({ bindingLimit: 20000 });
      const wanted = await train(whole, config, frozen), found = await train(split, config, frozen);
      assert.deepEqual([wanted.buffers, found.buffers], [1, buffers]);
      // The gradient of what the head is multiplied by sums over its rows: in another order.
      for (const [key, w] of Object.entries(wanted.all)) {
        assertClose(found.all[key], w, { what: key, shape: [w.length], a: 2e-6, n: 512 });
      }
    },
  );
}
