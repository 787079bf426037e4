/**
 * A small training as a process, to be killed: prints a line an update. Arguments: folder of the run. Not a test;
 * `kill_test.ts` starts it.
 */
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { toHalf } from "../../lib/io/float16.ts";
import type { Draft } from "../../lib/model/load.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { DEFAULT_RECIPE } from "../../lib/train/recipe.ts";
import { trainSteps } from "../../lib/train/steps.ts";
import { tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { learnable } from "./tiny_run.ts";

const recipe = {
  ...DEFAULT_RECIPE,
  passes: 2,
  epochs: 6,
  rows: 64,
  warmup: 4,
  accumulate: 2,
  average: 0.9,
  learningRate: 3e-3,
};

/** Stands for decoding: a function of the draft alone, up and down, so that the best is not the last. */
const measureTau = ({ parameters }: Draft) => {
  const bits = toHalf(parameters["fc.fc.weight"]).reduce((sum, x) => (sum * 31 + x) % 9973, 7);
  const value = 1 + bits / 9973;
  return Promise.resolve({ value, low: value, high: value, emitted: 1, forwards: 1 });
};

using backend = await openOnnxBackend({ threads: 1 });
const target = tinyTarget(backend), draft = initialDraft(tinyDraftConfig(), { seed: 3 });
const run = trainSteps(draft, [recipe], {
  backend,
  target,
  examples: learnable(target, [30, 41, 12, 50, 64, 33, 20, 44, 25, 37]),
  validation: learnable(target, [22, 18]),
  folder: Deno.args[0],
  checkpointEvery: 3,
  validateEvery: 5,
  measureTau,
});
try {
  for await (const { event } of run) {
    if (event.type === "step") console.log(`update ${event.step} of ${event.total}`);
  }
} catch (cause) {
  console.error(`error: ${(cause as Error).message}`);
  Deno.exit(1);
}
Deno.exit(0);
