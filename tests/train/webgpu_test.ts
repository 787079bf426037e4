/** Training on a device: the trajectory of the CPU, and the same bits on every run of one adapter. */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { train } from "../../lib/train/train.ts";
import type { Draft } from "../../lib/model/load.ts";
import { testOnWebGpu } from "../adapter.ts";
import { tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { learnable, LENGTHS, sameBits } from "./tiny_run.ts";

const RECIPE: Recipe = {
  ...DEFAULT_RECIPE,
  ...{ passes: 3, epochs: 2.5, rows: 128, maxLength: 64, warmup: 2, learningRate: 3e-3, seed: 5 },
};

/** Losses of ten updates and the draft after them. */
async function run(backend: Backend): Promise<{ losses: number[]; draft: Draft | undefined }> {
  using cpu = await openOnnxBackend();
  const folder = await Deno.makeTempDir(), losses: number[] = [];
  try {
    const target = tinyTarget(backend), examples = learnable(tinyTarget(cpu), LENGTHS);
    const start = initialDraft(tinyDraftConfig(undefined, { target: "tiny-1" }), { seed: 3 });
    const events = train(start, { backend, target, examples, folder, recipe: RECIPE });
    for (;;) {
      const { done, value } = await events.next();
      if (done) return { losses, draft: value };
      if (value.type === "step") losses.push(value.loss);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

testOnWebGpu("ten updates of three passes follow the CPU's within 1e-3", async (backend) => {
  using cpu = await openOnnxBackend();
  const wanted = await run(cpu), found = await run(backend);
  assert.ok(wanted.losses.length >= 10, `${wanted.losses.length} updates`);
  assert.equal(found.losses.length, wanted.losses.length);
  assert.ok(wanted.losses.at(-1)! < wanted.losses[0], "it does not learn");
  wanted.losses.forEach((loss, i) =>
    assert.ok(
      Math.abs(found.losses[i] - loss) < 1e-3,
      `update ${i + 1}: ${found.losses[i]}, ${loss}`,
    )
  );
  const again = await run(backend);
  assert.deepEqual(again.losses, found.losses);
  assert.ok(sameBits(again.draft, found.draft), "two runs on one adapter differ");
});
