/**
 * A training run as a process of its own, for `kill_test.ts` to kill: a tiny draft on tiny examples, with a
 * running mean, accumulated gradients and a made-up tau. Prints a line an update, and waits for the answer to
 * the line before. Arguments: the folder of the run. Holds no test.
 */
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { writeFolderAtomic } from "../../lib/io/atomic.ts";
import { type Draft, writeDraft } from "../../lib/model/load.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { train } from "../../lib/train/train.ts";
import { tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { madeUp } from "./tiny_run.ts";

const RECIPE: Recipe = {
  ...DEFAULT_RECIPE,
  passes: 2,
  epochs: 12,
  rows: 128,
  maxLength: 64,
  warmup: 4,
  learningRate: 3e-3,
  average: 0.9,
  accumulate: 2,
  seed: 7,
};
const LENGTHS = [30, 41, 12, 50, 64, 33, 20];

/** A number that every bit of the draft decides, so that the best draft shows the smallest difference. */
function tauOf({ parameters }: Draft): number {
  let hash = 0;
  for (const values of Object.values(parameters)) {
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (const x of bits) hash = Math.imul(hash ^ x, 0x9e3779b1) >>> 0;
  }
  return 1 + hash / 2 ** 32;
}

function measureTau(draft: Draft) {
  const value = tauOf(draft);
  return Promise.resolve({ value, low: value, high: value, emitted: 0, forwards: 0 });
}

/** Trains to the end; every line but the first waits until the one before has been answered. */
async function main(folder: string): Promise<void> {
  using backend = await openOnnxBackend({ threads: 1 });
  const target = tinyTarget(backend), answers = Deno.stdin.readable.getReader();
  const examples = madeUp(LENGTHS, { width: target.config.width });
  const run = train(initialDraft(tinyDraftConfig(undefined, { target: "tiny-1" }), { seed: 3 }), {
    backend,
    target,
    examples,
    validation: madeUp([25, 18], { width: target.config.width }),
    recipe: RECIPE,
    folder,
    checkpointEvery: 3,
    validateEvery: 4,
    measureTau,
  });
  for (let open = false;;) {
    const { done, value } = await run.next();
    if (done) {
      await writeFolderAtomic(`${folder}/draft`, (temporary) => writeDraft(temporary, value));
      return;
    }
    if (value.type !== "step") continue;
    if (open) await answers.read();
    console.log(`${value.step} of ${value.total}`);
    open = true;
  }
}

try {
  await main(Deno.args[0]);
  Deno.exit(0); // the reader of answers would keep the process open
} catch (cause) {
  console.error(`error: ${(cause as Error).message}`);
  Deno.exit(1);
}
