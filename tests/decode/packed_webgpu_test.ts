/**
 * Decoding on a device with matrices in 8 and 4 bits: the device computes what the values that they stand for give,
 * activations in f32; texts, trees and tau are those of the float64 interpreter over the same bits.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { tau } from "../../lib/eval/metrics.ts";
import { record } from "../../lib/eval/run.ts";
import { targetMatrices } from "../../lib/model/llama.ts";
import { loadTarget, type Target } from "../../lib/model/load.ts";
import { dequantize } from "../../lib/model/quantize.ts";
import { testOnWebGpu } from "../adapter.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { assertClose } from "../tolerance.ts";

const CONFIG = { ...TINY, vocabulary: 6 }, PROMPT = Int32Array.of(3, 1, 4, 1, 5, 0, 2, 2, 5, 1);

/** Plain and drafted text of a tiny target in 4 bits, with a draft in 8. */
async function decode(backend: Backend) {
  const loaded = tinyTarget(backend, { ...CONFIG, seed: 5, bits: 4 });
  const draft = tinyDraft(tinyDraftConfig(CONFIG));
  const growth = dynamicGrowth({ depth: 2, width: 2, budget: 5 });
  using target = new TargetDecoder(loaded, { backend });
  using drafter = new TreeDrafter(draft, { backend, target: loaded, growth, bits: 8 });
  const plain = await record(generate(target, PROMPT, { maxTokens: 12 }));
  const drafted = await record(speculate(target, PROMPT, { drafter, maxTokens: 12 }));
  return { plain: plain.tokens, drafted: drafted.tokens, tau: tau([drafted]).value };
}

testOnWebGpu("texts, trees and tau in 4 and 8 bits are the interpreter's", async (backend) => {
  const found = await decode(backend);
  assert.deepEqual(found, await decode(referenceBackend()));
  assert.deepEqual(found.drafted, found.plain, "activations are not rounded: nothing may part");
});

/** The same target with the values that its packed matrices stand for, in f32. */
async function unpacked({ config, weights, ...rest }: Target, backend: Backend): Promise<Target> {
  const matrices = targetMatrices(config), plain: Target["weights"] = {};
  for (const [name, tensor] of Object.entries(weights)) {
    if (/\.(packed|scales)$/.test(name)) continue;
    plain[name] = backend.tensor((await tensor.read()).slice(), tensor.shape);
  }
  for (const [name, shape] of Object.entries(matrices)) {
    const packed = await weights[`${name}.packed`].read() as Uint8Array;
    const scales = await weights[`${name}.scales`].read() as Float32Array;
    const values = dequantize({ packed, scales }, shape[0] * shape[1]);
    plain[name] = backend.tensor(values, shape);
  }
  // Rounded values of a tied head are its own.
  return { ...rest, config: { ...config, tied: false }, weights: plain, bits: 32 };
}

testOnWebGpu(
  "the shipped target in 4 bits: logits of the values that the bits stand for",
  async (backend) => {
    using cpu = await openOnnxBackend();
    const loaded = await loadTarget("data/target", { backend, bits: 4, half: false, context: 64 });
    const held = Object.entries(loaded.weights)
      .filter(([name]) => name.endsWith(".packed"))
      .reduce((sum, [, { shape }]) => sum + shape.reduce((a, b) => a * b), 0);
    const values = Object.values(targetMatrices(loaded.config)).reduce((n, [o, i]) => n + o * i, 0);
    assert.equal(held, values / 2, "two values a byte");
    const ids = Int32Array.from({ length: 20 }, (_, i) => (i * 37 + 11) % 400);
    const run = async (target: Target, backend: Backend) => {
      using decoder = new TargetDecoder(target, { backend });
      using cache = decoder.newCache();
      // More rows than the page for few takes, then a row by itself.
      const first = (await decoder.forwardChain(ids.slice(0, 19), cache)).logits.slice();
      return [...first, ...(await decoder.forwardChain(ids.slice(19), cache)).logits];
    };
    const found = await run(loaded, backend), wanted = await run(await unpacked(loaded, cpu), cpu);
    const shape = [20, loaded.config.vocabulary];
    assertClose(found, wanted, { what: "logits in 4 bits:", shape, a: 1e-3 });
  },
);
