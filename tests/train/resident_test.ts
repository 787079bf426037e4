/** A run's tensors: accumulated gradients, limits on the norm, the running mean, and what validation reads. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { fillBatch, planEpoch } from "../../lib/train/batches.ts";
import { freshOptimizer, trainedDraft, type TrainingState } from "../../lib/train/checkpoint.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { Resident, type SizedBatch } from "../../lib/train/resident.ts";
import { tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { learnable } from "./tiny_run.ts";

const BASE: Recipe = { ...DEFAULT_RECIPE, passes: 2, noise: 0, mask: "none", clip: 0, rows: 64 };
const RATE = { step: 1, learningRate: 1e-2 };

/** Opens a run of two batches with a recipe. */
async function withRun(
  changes: Partial<Recipe>,
  use: (run: { resident: Resident; state: TrainingState; batches: SizedBatch[] }) => Promise<void>,
): Promise<void> {
  using backend = await openOnnxBackend({ threads: 1 });
  const recipe = { ...BASE, ...changes }, target = tinyTarget(backend);
  const draft = tinyDraft(tinyDraftConfig()), optimizer = freshOptimizer(draft, { recipe });
  const state: TrainingState = { ...draft, optimizer, step: 0, settings: "" };
  const examples = learnable(target, [40, 40]);
  const plans = planEpoch(examples.lengths, { ...recipe, epoch: 0 });
  const batches = await Promise.all(plans.map(async (plan) => {
    const { batch, length } = plan;
    return { batch, length, arrays: await fillBatch(examples, { plan, epoch: 0 }, recipe) };
  }));
  using resident = new Resident(state, { backend, target, recipe });
  await use({ resident, state, batches });
}

async function* each(batches: SizedBatch[]): AsyncGenerator<SizedBatch> {
  yield* batches;
}

const first = (state: TrainingState) => state.optimizer["first.fc.fc.weight"];

Deno.test("two batches accumulated make the update of their mean gradient", async () => {
  const moments: Float32Array[] = [];
  for (const i of [0, 1]) {
    await withRun({}, async ({ resident, state, batches }) => {
      await resident.update(each([batches[i]]), RATE);
      moments.push(first(await resident.copyTo(state)).slice());
    });
  }
  await withRun({ accumulate: 2 }, async ({ resident, state, batches }) => {
    const { results, gradientNorm } = await resident.update(each(batches), RATE);
    assert.equal(results.length, 2);
    assert.ok(gradientNorm > 0);
    const found = first(await resident.copyTo(state));
    const largest = Math.max(...found.map(Math.abs));
    found.forEach((m, i) => {
      // A first moment begins as a tenth of the gradient: the mean of both is the moment of the mean.
      assert.ok(Math.abs(m - (moments[0][i] + moments[1][i]) / 2) < 1e-5 * largest, `${i}`);
    });
    assert.ok(!Object.keys(state.optimizer).some((name) => name.startsWith("sum.")));
    // Sums begin at zero again: the same batches give nearly the same norm, not twice it.
    const again = await resident.update(each(batches), { step: 2, learningRate: 1e-9 });
    assert.ok(again.gradientNorm < 1.5 * gradientNorm);
  });
});

Deno.test("the norm is limited as a whole, and reported as it was", async () => {
  const found: { norm: number; moment: Float32Array }[] = [];
  for (const clipNorm of [0, 0.01, 1e6]) {
    await withRun({ clipNorm }, async ({ resident, state, batches }) => {
      const { gradientNorm: norm } = await resident.update(each([batches[0]]), RATE);
      found.push({ norm, moment: first(await resident.copyTo(state)) });
    });
  }
  const [free, limited, loose] = found, shrink = 0.01 / free.norm;
  assert.ok(shrink < 0.5 && Math.abs(limited.norm / free.norm - 1) < 1e-5);
  const largest = Math.max(...free.moment.map(Math.abs));
  limited.moment.forEach((m, i) =>
    assert.ok(Math.abs(m - shrink * free.moment[i]) < 1e-4 * shrink * largest)
  );
  assert.deepEqual(loose.moment, free.moment);
});

Deno.test("the running mean follows its formula and is what validation and the kept draft see", () =>
  withRun({ average: 0.9 }, async ({ resident, state, batches }) => {
    const name = "fc.fc.weight", before = state.parameters[name].slice();
    await resident.update(each([batches[0]]), RATE);
    await resident.copyTo(state);
    const now = state.parameters[name], mean = state.optimizer[`average.${name}`];
    // Early on the mean is quicker than its decay: the share of the old value is (1 + n) / (10 + n).
    const old = Math.min(0.9, 2 / 11);
    mean.forEach((m, i) => assert.ok(Math.abs(m - (old * before[i] + (1 - old) * now[i])) < 1e-6));
    assert.equal(trainedDraft(state).parameters[name], mean);
    const { loss } = await resident.validate(batches[1]);
    let wanted = NaN;
    await withRun({}, async ({ resident: plain, state: other, batches }) => {
      wanted = (await plain.validate(batches[1])).loss;
      assert.ok(Math.abs(wanted - loss) > 1e-6, "one update changes nothing");
      assert.equal(other.step, 0);
    });
  }));
