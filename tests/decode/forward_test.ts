/** A target whose layers are split over several backends says what it says on one. */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { ResidentDecoder } from "../../lib/decode/resident_decoder.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { record } from "../../lib/eval/run.ts";
import { loadTarget, placeTarget, readDraft, type Target } from "../../lib/model/load.ts";
import { splitLayers } from "../../lib/model/stages.ts";
import { testOnWebGpu } from "../adapter.ts";
import { TINY, tinyTarget, tinyWeights } from "../model/tiny.ts";

const CONFIG = { ...TINY, layers: 4 }, IDS = [3, 1, 4, 1, 5];

/** The tiny target in three stages, all on backends of their own. */
function split(changes: { tied?: boolean } = {}): { target: Target; last: Backend } {
  const config = { ...CONFIG, ...changes },
    values = tinyWeights(config, 1),
    last = referenceBackend();
  const before = [1, 2].map((layers) => ({ backend: referenceBackend(), layers }));
  const stages = splitLayers(config, { before, last }).map((stage) => ({
    ...stage,
    weights: placeTarget(config, (name) => values[name], { backend: stage.backend, layers: stage }),
  }));
  const weights = stages[2].weights;
  return { target: { folder: "tiny", config, weights, identity: "tiny", stages }, last };
}

async function forwards(loaded: Target, { backend, taps }: { backend: Backend; taps: number[] }) {
  using target = new TargetDecoder(loaded, { backend, taps, sequences: 2 });
  const [one, other] = [target.newCache(), target.newCache()];
  const chain = await target.forwardChain(IDS, one);
  const found = [chain.logits.slice(), chain.features.slice(), chain.tapped.slice()];
  // A tree of which two nodes are kept, in caches of several backends; then two sequences at once.
  const tree = {
    tokens: Int32Array.of(2, 7, 8, 9),
    parents: Int32Array.of(-1, 0, 0, 2),
    scores: new Float32Array(4),
  };
  found.push((await target.forwardTree(tree, one)).logits.slice());
  one.keep([0, 2, 3]);
  const both = await target.forwardChains([{ ids: [5, 6], cache: one }, {
    ids: [1, 2],
    cache: other,
  }]);
  for (const { logits, tapped } of both) found.push(logits.slice(), tapped.slice());
  return found;
}

/** Rows go from stage to stage in f32; else all is float64. */
async function agree(changes: { tied?: boolean }, taps: number[]): Promise<void> {
  const backend = referenceBackend(), whole = tinyTarget(backend, { ...CONFIG, ...changes });
  const { target, last } = split(changes);
  const wanted = await forwards(whole, { backend, taps });
  const found = await forwards(target, { backend: last, taps });
  found.forEach((values, i) => {
    assert.equal(values.length, wanted[i].length);
    values.forEach((value, j) => assert.ok(Math.abs(value - wanted[i][j]) < 1e-5, `${i}: ${j}`));
  });
}

for (const taps of [[], [3, 0, 1], [1]]) {
  Deno.test(`stages give the logits and features of one backend; taps [${taps}]`, () =>
    agree({}, taps));
}

Deno.test("a tied head stands on the last stage too", () => agree({ tied: true }, []));

Deno.test("rounds on the device refuse a target that is split", () => {
  const { target, last } = split();
  using decoder = new TargetDecoder(target, { backend: last });
  assert.throws(() => new ResidentDecoder(decoder, { backend: last }), /split over several/);
});

testOnWebGpu("layers on the CPU and on the device: the text of one of them", async (gpu) => {
  using cpu = await openOnnxBackend();
  const text = async (backend: Backend, layers: number) => {
    const before = layers > 0 ? [{ backend: cpu, layers }] : [];
    const loaded = await loadTarget("data/target", { backend, before, context: 256 });
    const draft = await readDraft("data/draft", { target: loaded });
    using target = new TargetDecoder(loaded, { backend });
    const growth = dynamicGrowth({ depth: 3, width: 2, budget: 6 });
    using drafter = new TreeDrafter(draft, { backend, target: loaded, growth, bits: 32 });
    const prompt = Int32Array.of(4090, 100, 200, 300), maxTokens = 8;
    const plain = (await record(generate(target, prompt, { maxTokens }))).tokens;
    assert.deepEqual(
      (await record(speculate(target, prompt, { drafter, maxTokens }))).tokens,
      plain,
    );
    return plain;
  };
  assert.deepEqual(await text(gpu, 3), await text(cpu, 0));
});
