/**
 * The loop's choices: the best draft by tau is kept and returned however the run was interrupted, packed rows
 * and accumulated gradients lose nothing, and batches do not depend on the order of work. What a run yields and
 * refuses otherwise is in `train_test.ts`.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import type { Examples } from "../../lib/data/features.ts";
import type { Draft } from "../../lib/model/load.ts";
import type { StepEvent, TrainingEvent, ValidationEvent } from "../../lib/report/events.ts";
import { fillBatch, planRun } from "../../lib/train/batches.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { train, type TrainOptions } from "../../lib/train/train.ts";
import { tinyDraftConfig } from "../model/tiny.ts";
import { examplesOf, learnable, LENGTHS, madeUp, sameBits, withRun } from "./tiny_run.ts";

const START = initialDraft(tinyDraftConfig(undefined, { target: "tiny-1" }), { seed: 3 });
const RECIPE: Recipe = {
  ...DEFAULT_RECIPE,
  passes: 2,
  epochs: 2,
  rows: 128,
  maxLength: 64,
  warmup: 2,
  learningRate: 3e-3,
  schedule: "constant",
  average: 0.5,
  seed: 5,
};

/** Runs to the end, or leaves the loop at the first event that is `enough`. */
async function runTo(
  options: TrainOptions,
  enough: (event: TrainingEvent) => boolean = () => false,
): Promise<{ events: TrainingEvent[]; draft: Draft | undefined }> {
  const run = train(START, options), events: TrainingEvent[] = [];
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { events, draft: value };
    events.push(value);
    if (!enough(value)) continue;
    await run.return(undefined as never);
    return { events, draft: undefined };
  }
}

const stepsOf = (events: TrainingEvent[]) =>
  events.filter((e): e is StepEvent => e.type === "step");
const validationsOf = (events: TrainingEvent[]) =>
  events.filter((e): e is ValidationEvent => e.type === "validation");

/** Tells made-up values one after the other, and keeps the drafts it was asked about. */
function measuring(values: readonly number[]) {
  const drafts: Draft[] = [];
  const measureTau = (draft: Draft) => {
    const value = values[drafts.length];
    drafts.push(draft);
    return Promise.resolve({ value, low: value, high: value, emitted: 1, forwards: 1 });
  };
  return { drafts, measureTau };
}

Deno.test("the draft with the largest tau is kept and returned, the earlier one of equals", () =>
  withRun(async (options) => {
    const { drafts, measureTau } = measuring([1, 3, 2, 3]);
    const { events, draft } = await runTo({
      ...options,
      recipe: RECIPE,
      validation: learnable(options.target, [25, 18]),
      validateEvery: 2,
      measureTau,
    });
    const found = validationsOf(events);
    assert.deepEqual(found.map((e) => [e.step, e.tau?.value, e.best]), [
      ...[[2, 1, true], [4, 3, true]],
      ...[[6, 2, false], [8, 3, false]],
    ]);
    assert.ok(sameBits(draft, drafts[1]), "not the draft of update 4");
    assert.ok(!sameBits(draft, drafts[3]), "the test shows nothing");
    assert.deepEqual((await readdir(options.folder)).sort(), ["best-0000004", "update-0000008"]);
    // A finished run still knows it, and measures nothing.
    const again = await runTo({
      ...options,
      recipe: RECIPE,
      validation: learnable(options.target, [25, 18]),
      validateEvery: 2,
      measureTau: () => Promise.reject(new Error("measured again")),
    });
    assert.ok(again.events.length === 0 && sameBits(again.draft, draft));
  }));

Deno.test("without validation tau is not measured", () =>
  withRun(async (options) => {
    const { drafts, measureTau } = measuring([]);
    const { events } = await runTo({ ...options, recipe: RECIPE, measureTau });
    assert.deepEqual([validationsOf(events).length, drafts.length], [0, 0]);
  }));

Deno.test("a run that is left, or fails, before a validation makes up for it", () =>
  withRun(async (options) => {
    const settings = {
      ...options,
      recipe: RECIPE,
      validation: learnable(options.target, [25, 18]),
      validateEvery: 4,
    };
    const whole = await runTo({
      ...settings,
      folder: `${options.folder}/whole`,
      ...measuring([3, 2]),
    });
    for (const last of [4, 8]) {
      const done = last === 8 ? [3] : [];
      const left = { ...settings, folder: `${options.folder}/left ${last}` };
      await runTo({ ...left, ...measuring(done) }, (e) => e.type === "step" && e.step === last);
      const { events, draft } = await runTo({ ...left, ...measuring([3, 2].slice(done.length)) });
      assert.deepEqual(events[0], validationsOf(whole.events)[done.length]);
      assert.ok(sameBits(draft, whole.draft), `left at update ${last}: another draft`);
    }
    const failing = { ...settings, folder: `${options.folder}/failing` };
    const measureTau = () => Promise.reject(new Error("no decoder"));
    await assert.rejects(runTo({ ...failing, measureTau }), /no decoder/);
    const { events, draft } = await runTo({ ...failing, ...measuring([3, 2]) });
    assert.deepEqual(events[0], validationsOf(whole.events)[0]);
    assert.ok(sameBits(draft, whole.draft));
  }));

Deno.test("examples whose taps are not those of the draft are refused, for training and validation", () =>
  withRun(async (options) => {
    const { examples } = options;
    const tapped = examplesOf([], { ...examples.of, taps: [0, 1] });
    const wanted = /the draft reads layers \[\], the examples hold \[0,1\]; deno task data --taps/;
    for (const changes of [{ examples: tapped }, { validation: tapped }]) {
      await assert.rejects(runTo({ ...options, recipe: RECIPE, ...changes }), wanted);
    }
    const taps = [1, 0], tokens = Int32Array.of(2, 3);
    const config = tinyDraftConfig(undefined, {
      ...{ fusion: "taps", head: "single", taps, draftVocabulary: 2 },
    });
    const recipe: Recipe = {
      ...RECIPE,
      mask: "none",
      weights: { feature: 0, token: 1, topK: 0 },
    };
    for (const [of, found] of [[examples.of, ""], [tapped.of, "0,1"]] as const) {
      const run = train(initialDraft(config, { seed: 1, tokens }), {
        ...options,
        recipe,
        examples: examplesOf([], of),
      });
      const message = new RegExp(
        `the draft reads layers \\[1,0\\], the examples hold \\[${found}\\]`,
      );
      await assert.rejects(run.next(), message);
    }
    assert.deepEqual(await readdir(options.folder), []);
  }));

/** Ways of laying out the same two epochs, and the updates they make. */
const LAYOUTS: [name: string, changes: Partial<Recipe>, updates: number][] = [
  ["two batches an update", { accumulate: 2 }, 4],
  ["a last update of two batches instead of three", { accumulate: 3 }, 3],
  ["more batches an update than there are", { accumulate: 100 }, 1],
  ["packed rows", { packing: true }, 6],
  ["packed rows, three batches an update", { packing: true, accumulate: 3 }, 2],
];

for (const [name, changes, updates] of LAYOUTS) {
  Deno.test(`every token is read once an epoch: ${name}`, () =>
    withRun(async (options) => {
      const recipe = { ...RECIPE, ...changes };
      const settings = { ...options, recipe, folder: `${options.folder}/whole` };
      const { events, draft } = await runTo(settings), found = stepsOf(events);
      assert.equal(found.length, updates);
      const tokens = found.reduce((sum, e) => sum + e.tokens, 0);
      assert.equal(tokens, 2 * LENGTHS.reduce((a, b) => a + b));
      assert.ok(found.every((e) => e.loss > 0 && e.gradientNorm > 0 && e.total === updates));
      assert.equal(found.at(-1)!.epoch, 1);
      for (const [parameter, values] of Object.entries(draft!.parameters)) {
        assert.ok(values.some((x, i) => x !== START.parameters[parameter][i]), parameter);
      }
      const left = { ...settings, folder: `${options.folder}/left` };
      await runTo(left, (e) => e.step === 1);
      assert.ok(sameBits((await runTo(left)).draft, draft), "a run that goes on ends elsewhere");
    }));
}

Deno.test("accumulated batches make the update of one batch with as many rows", () =>
  withRun(async (options) => {
    // Equal numbers of trained rows, so that the mean over batches is the mean over rows.
    const examples = madeUp([40, 40, 40, 40], { width: options.target.config.width });
    const recipe = { ...RECIPE, mask: "none", epochs: 1, clip: 0, average: 0 } as const;
    const run = async (changes: Partial<Recipe>) =>
      await runTo({
        ...options,
        examples,
        recipe: { ...recipe, ...changes },
        folder: `${options.folder}/${JSON.stringify(changes).replaceAll(/\W/g, "")}`,
      });
    const one = await run({ rows: 256 }), four = await run({ rows: 64, accumulate: 4 });
    const [a] = stepsOf(one.events), [b] = stepsOf(four.events);
    assert.deepEqual([stepsOf(one.events).length, stepsOf(four.events).length], [1, 1]);
    const close = (x: number, y: number, what: string) =>
      assert.ok(Math.abs(x - y) < 1e-4 * Math.abs(y), `${what}: ${x} and ${y}`);
    close(b.loss, a.loss, "loss");
    close(b.gradientNorm, a.gradientNorm, "norm of the gradient");
    for (const key of Object.keys(a.passes[0]) as (keyof StepEvent["passes"][0])[]) {
      a.passes.forEach((pass, p) => close(b.passes[p][key] + 1, pass[key] + 1, key));
    }
  }));

Deno.test("a run without a batch is refused", () =>
  withRun(async (options) => {
    const recipe = { ...RECIPE, epochs: 0.01 };
    const message = /Cannot train: 0.01 epochs of 7 examples make no batch/;
    await assert.rejects(runTo({ ...options, recipe }), message);
    assert.deepEqual(await readdir(options.folder), []);
  }));

Deno.test("an example's noise depends on seed, epoch and example, not on the batches it is read in", async () => {
  const width = 4, examples = madeUp(LENGTHS, { width });
  const noisyRows = async (sizes: { rows: number; packing?: boolean }) => {
    const found = new Map<string, string>();
    for (const planned of planRun(LENGTHS, { ...RECIPE, ...sizes, start: 0, epochs: 2 })) {
      const { noisy } = await fillBatch(examples, planned, RECIPE), { length, rows } = planned.plan;
      for (const [row, held] of rows.entries()) {
        let at = row * length;
        for (const index of held) {
          const values = noisy.subarray(at * width, (at + LENGTHS[index]) * width);
          found.set(`example ${index}, epoch ${planned.epoch}`, values.join(" "));
          at += LENGTHS[index];
        }
      }
    }
    return new Map([...found].sort());
  };
  const one = await noisyRows({ rows: 64 });
  assert.equal(one.size, 2 * LENGTHS.length);
  for (const sizes of [{ rows: 128 }, { rows: 256, packing: true }]) {
    assert.deepEqual(await noisyRows(sizes), one);
  }
  assert.equal(new Set(one.values()).size, one.size, "no two are the same");
});

Deno.test("examples that come late, or many at once, make the same run", () =>
  withRun(async (options) => {
    const { examples } = options, recipe = { ...RECIPE, passes: 1, accumulate: 2 };
    const late: Examples = {
      ...examples,
      // The first ones of a batch arrive last.
      read: async (index) => {
        await new Promise((done) => setTimeout(done, 6 - index % 7));
        return await examples.read(index);
      },
    };
    const many: Examples = {
      ...examples,
      read: () => Promise.reject(new Error("one by one")),
      readMany: (indices) => Promise.all(indices.map((index) => examples.read(index))),
    };
    const run = async (name: string, changed: Examples) =>
      await runTo({ ...options, recipe, examples: changed, folder: `${options.folder}/${name}` });
    const whole = await run("whole", examples);
    for (const [name, changed] of [["late", late], ["many", many]] as const) {
      assert.ok(sameBits((await run(name, changed)).draft, whole.draft), name);
    }
  }));
