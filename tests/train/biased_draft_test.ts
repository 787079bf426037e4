/**
 * A draft with biases of queries, keys and values, as targets have them that do (Qwen 2): trained, kept in checkpoints,
 * and drafting on the CPU and on a device. Its equations: `tests/golden/export_golden_test.ts`.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { record } from "../../lib/eval/run.ts";
import { type DraftConfig, draftSizes } from "../../lib/model/config.ts";
import type { Draft } from "../../lib/model/load.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { DEFAULT_RECIPE } from "../../lib/train/recipe.ts";
import { train, type TrainOptions } from "../../lib/train/train.ts";
import { testOnWebGpu } from "../adapter.ts";
import { TINY, tinyDraft, tinyTarget } from "../model/tiny.ts";
import { sameBits, withRun } from "./tiny_run.ts";
import type { Bits } from "../../lib/model/quantize.ts";

const TARGET = { ...TINY, qkvBias: true };
const CONFIG: DraftConfig = {
  ...draftSizes(TARGET, { fusion: "tgf" }),
  ...{ inner: 48, fusion: "tgf", head: "dual", target: "tiny-1" },
};
const BIASES = ["q", "k", "v"].map((name) => `layers.0.self_attn.${name}_proj.bias`);

/** Runs to the end, or leaves after so many updates. */
async function runTo(options: TrainOptions, updates = Infinity): Promise<Draft | undefined> {
  const run = train(initialDraft(CONFIG, { seed: 3 }), options);
  for (;;) {
    const { done, value } = await run.next();
    if (done) return value;
    if (value.step < updates) continue;
    await run.return(undefined as never);
    return undefined;
  }
}

Deno.test("biases are trained, and a run that was left goes on with them to the same bits", () =>
  withRun(async (options) => {
    const recipe = { ...DEFAULT_RECIPE, passes: 2, rows: 128, maxLength: 64, learningRate: 3e-3 };
    const whole = await runTo({ ...options, recipe });
    for (const name of BIASES) {
      const moved = whole!.parameters[name].filter((x) => x !== 0).length;
      assert.equal(moved, whole!.parameters[name].length, `${name} stayed 0`);
    }
    const again = { ...options, recipe, checkpointEvery: 1, folder: await Deno.makeTempDir() };
    try {
      await runTo(again, 3);
      assert.ok(sameBits(await runTo(again), whole));
    } finally {
      await Deno.remove(again.folder, { recursive: true });
    }
  }));

/** Rounds of drafted text, which is the plain one. */
async function decode(backend: Backend, draft: Draft, { bits = 32 }: { bits?: Bits } = {}) {
  const loaded = tinyTarget(backend, TARGET);
  const growth = dynamicGrowth({ depth: 2, width: 2, budget: 4 });
  using target = new TargetDecoder(loaded, { backend });
  using drafter = new TreeDrafter(draft, { backend, target: loaded, growth, bits });
  const prompt = Int32Array.of(3, 4, 5, 6), maxTokens = 8, trace: number[][] = [];
  const plain = await record(generate(target, prompt, { maxTokens }));
  const { tokens, rounds } = await record(speculate(target, prompt, { drafter, maxTokens }));
  assert.deepEqual(tokens, plain.tokens, `the text on ${backend.name}`);
  rounds.forEach(({ emitted, accepted, drafted }) => trace.push([emitted, accepted, drafted]));
  return trace;
}

Deno.test("drafting with biases leaves the text as it is, in 8 bits too", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const draft = tinyDraft(CONFIG);
  for (const bits of [32, 8] as const) await decode(backend, draft, { bits });
});

testOnWebGpu("a device drafts with biases as the CPU does", async (backend) => {
  using cpu = await openOnnxBackend({ threads: 1 });
  const draft = tinyDraft(CONFIG);
  assert.deepEqual(await decode(backend, draft), await decode(cpu, draft));
});
