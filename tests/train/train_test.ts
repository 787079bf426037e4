/**
 * The loop: what it yields, that a run cut short goes on to the same bits, what it refuses, and that it
 * learns. Tiny drafts through ONNX Runtime.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import type { Draft } from "../../lib/model/load.ts";
import type { StepEvent, TrainingEvent } from "../../lib/report/events.ts";
import { planEpoch } from "../../lib/train/batches.ts";
import { DEFAULT_RECIPE, learningRateAt, type Recipe } from "../../lib/train/recipe.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { train, type TrainOptions } from "../../lib/train/train.ts";
import { tinyDraftConfig } from "../model/tiny.ts";
import { examplesOf, learnable, LENGTHS, sameBits, withRun } from "./tiny_run.ts";

const CONFIG = tinyDraftConfig(undefined, { target: "tiny-1" });
const RECIPE: Recipe = {
  ...DEFAULT_RECIPE,
  passes: 2,
  epochs: 2,
  rows: 128,
  maxLength: 64,
  warmup: 2,
  learningRate: 3e-3,
  seed: 5,
};
/** Runs to the end, or until `enough` says so and the loop is left. */
async function runTo(
  options: TrainOptions,
  enough: (event: TrainingEvent) => boolean = () => false,
): Promise<{ events: TrainingEvent[]; draft: Draft | undefined }> {
  const run = train(initialDraft(CONFIG, { seed: 3 }), options), events: TrainingEvent[] = [];
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { events, draft: value };
    events.push(value);
    if (enough(value)) {
      await run.return(undefined as never);
      return { events, draft: undefined };
    }
  }
}

const stepsOf = (events: TrainingEvent[]) =>
  events.filter((e): e is StepEvent => e.type === "step");

Deno.test("a run yields its steps, checkpoints and validations", () =>
  withRun(async (options) => {
    const validation = learnable(options.target, [25, 18]);
    const { events } = await runTo({
      ...options,
      recipe: RECIPE,
      validation,
      checkpointEvery: 3,
      validateEvery: 4,
    });
    const steps = stepsOf(events), total = steps.length;
    // Seven examples, two a batch, two epochs.
    assert.equal(total, 8);
    steps.forEach((e, i) => {
      assert.deepEqual([e.step, e.total, e.epoch], [i + 1, 8, i < 4 ? 0 : 1]);
      assert.equal(e.learningRate, learningRateAt(i + 1, { recipe: RECIPE, total: 8 }));
      assert.equal(e.passes.length, 2);
      assert.ok(e.gradientNorm > 0 && e.loss > 0 && e.tokensPerSecond > 0);
    });
    const tokens = steps.slice(0, 4).reduce((sum, e) => sum + e.tokens, 0);
    assert.equal(tokens, LENGTHS.reduce((a, b) => a + b));
    const at = (type: string) => events.filter((e) => e.type === type).map((e) => e.step);
    assert.deepEqual(at("checkpoint"), [3, 6, 8]);
    assert.deepEqual(at("validation"), [4, 8]);
    assert.deepEqual((await readdir(options.folder)).sort(), ["update-0000006", "update-0000008"]);
  }));

Deno.test("a run that is left, or aborted, goes on to the same bits", () =>
  withRun(async (options) => {
    const recipe = RECIPE, make = async () => ({ ...options, folder: await Deno.makeTempDir() });
    const whole = await runTo({ ...options, recipe });
    const ways: Record<string, (options: TrainOptions) => Promise<unknown>> = {
      "left after a step": (o) => runTo(o, (e) => e.step === 3),
      "left right after a checkpoint": (o) => runTo(o, (e) => e.type === "checkpoint"),
      "aborted": (o) => {
        const abort = new AbortController();
        return runTo({ ...o, signal: abort.signal }, (e) => {
          if (e.step === 5) abort.abort();
          return false;
        });
      },
    };
    for (const [name, interrupt] of Object.entries(ways)) {
      const again = { ...await make(), recipe, checkpointEvery: 2 };
      try {
        await interrupt(again);
        const { events, draft } = await runTo(again), rest = stepsOf(events);
        assert.ok(rest.length > 0 && rest.length < 8, `${name}: ${rest.length} steps were left`);
        assert.ok(sameBits(draft, whole.draft), `${name}: parameters differ`);
        const losses = stepsOf(whole.events).slice(-rest.length).map((e) => e.loss);
        assert.deepEqual(rest.map((e) => e.loss), losses, name);
      } finally {
        await Deno.remove(again.folder, { recursive: true });
      }
    }
    // The seed is what makes runs differ.
    const other = { ...await make(), recipe: { ...recipe, seed: 6 } };
    const { draft } = await runTo(other);
    await Deno.remove(other.folder, { recursive: true });
    assert.ok(!sameBits(draft, whole.draft), "another seed gives the same draft");
  }));

Deno.test("a finished run is not run again", () =>
  withRun(async (options) => {
    const first = await runTo({ ...options, recipe: RECIPE });
    const second = await runTo({ ...options, recipe: RECIPE });
    assert.deepEqual(second.events, []);
    assert.ok(sameBits(second.draft, first.draft));
  }));

Deno.test("an abort before the start trains nothing and saves nothing", () =>
  withRun(async (options) => {
    const { events } = await runTo({ ...options, recipe: RECIPE, signal: AbortSignal.abort() });
    assert.deepEqual(events, []);
    assert.deepEqual(await readdir(options.folder), []);
  }));

Deno.test("a checkpoint of other settings is refused", () =>
  withRun(async (options) => {
    await runTo({ ...options, recipe: RECIPE }, (e) => e.step === 1);
    const others: Partial<TrainOptions>[] = [
      { recipe: { ...RECIPE, learningRate: 1e-4 } },
      { recipe: { ...RECIPE, passes: 3 } },
      { examples: learnable(options.target, LENGTHS.slice(1)) },
    ];
    for (const changes of others) {
      await assert.rejects(
        runTo({ ...options, recipe: RECIPE, ...changes }),
        /Cannot resume .*: it was started with .*, now asked for/,
      );
    }
    const { events } = await runTo({ ...options, recipe: RECIPE });
    assert.equal(stepsOf(events)[0].step, 2);
  }));

Deno.test("features of another target, and settings that make no sense, are refused", () =>
  withRun(async (options) => {
    const examples = examplesOf([], { ...options.examples.of, target: "tiny-2" });
    await assert.rejects(
      runTo({ ...options, recipe: RECIPE, examples }),
      /features of target tiny-2: this target is tiny-1/,
    );
    await assert.rejects(
      runTo({ ...options, recipe: RECIPE, validation: examples }),
      /features of target tiny-2/,
    );
    await assert.rejects(runTo({ ...options, recipe: { ...RECIPE, epochs: 0 } }), /epochs 0/);
    assert.deepEqual(await readdir(options.folder), []);
  }));

for (const passes of [1, 3]) {
  Deno.test(`the losses of every pass fall, ${passes} passes`, () =>
    withRun(async (options) => {
      const mask = "none" as const;
      const recipe = {
        ...RECIPE,
        mask,
        passes,
        epochs: 25,
        noise: 0.05,
        learningRate: 5e-3,
        warmup: 10,
      };
      const batches = planEpoch(LENGTHS, { ...recipe, epoch: 0 }).length;
      const steps = stepsOf((await runTo({ ...options, recipe, checkpointEvery: 1000 })).events);
      const mean = (part: StepEvent[], of: (e: StepEvent) => number) =>
        part.reduce((sum, e) => sum + of(e), 0) / part.length;
      const first = steps.slice(0, batches), last = steps.slice(-batches);
      const shrinks = (what: string, of: (e: StepEvent) => number, to: number) => {
        const from = mean(first, of), now = mean(last, of);
        assert.ok(now < to * from, `${what} went from ${from} to ${now}`);
      };
      shrinks("loss", (e) => e.loss, 0.7);
      for (let p = 0; p < passes; p++) {
        shrinks(`feature loss of pass ${p + 1}`, (e) => e.passes[p].featureLoss, 0.6);
        shrinks(`token loss of pass ${p + 1}`, (e) => e.passes[p].tokenLoss, 0.9);
      }
    }));
}
