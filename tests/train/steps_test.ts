/** A training of several steps: each goes on from the draft and the data of the one before, none is run twice. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { fromHalf, toHalf } from "../../lib/io/float16.ts";
import type { Draft } from "../../lib/model/load.ts";
import type { StagedEvent } from "../../lib/report/events.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { type StepsOptions, trainSteps } from "../../lib/train/steps.ts";
import { train } from "../../lib/train/train.ts";
import { tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { learnable } from "./tiny_run.ts";

const CONFIG = tinyDraftConfig(undefined, { target: "tiny-1" });
const RECIPES: Recipe[] = [1, 2].map((passes) => ({
  ...DEFAULT_RECIPE,
  passes,
  epochs: 0.5,
  rows: 128,
  warmup: 1,
}));
const START = initialDraft(CONFIG, { seed: 3 });

async function withRun(use: (options: StepsOptions) => Promise<void>): Promise<void> {
  using backend = await openOnnxBackend({ threads: 1 });
  const target = tinyTarget(backend), folder = await Deno.makeTempDir();
  const examples = learnable(target, [30, 41, 12, 50, 64, 33, 20, 44]);
  try {
    await use({ backend, target, examples, folder });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function runAll(options: StepsOptions, enough: (e: StagedEvent) => boolean = () => false) {
  const run = trainSteps(START, RECIPES, options), events: StagedEvent[] = [];
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { events, draft: value as Draft | undefined };
    events.push(value);
    if (enough(value)) {
      await run.return(undefined as never);
      return { events, draft: undefined };
    }
  }
}

Deno.test("steps follow one another on one stream of data, from draft to draft", () =>
  withRun(async (options) => {
    const { events, draft } = await runAll(options);
    const losses = events.flatMap(({ stage, event }) =>
      event.type === "step" ? [[stage, event.step, event.loss]] : []
    );
    // Eight examples, two a batch: two updates for each half of the epoch.
    assert.deepEqual(losses.map(([stage, step]) => [stage, step]), [[1, 1], [1, 2], [2, 1], [
      2,
      2,
    ]]);
    assert.deepEqual((await readdir(options.folder)).sort(), ["step-1", "step-2"]);
    const rows = (await readFile(join(options.folder, "step-2/metrics.jsonl"), "utf8")).trim()
      .split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(rows.filter((r) => r.type === "step").map((r) => r.loss), [
      losses[2][2],
      losses[3][2],
    ]);

    // By hand: the second step begins in the middle of the epoch, from the first one's draft in 16 bits.
    const folder = join(options.folder, "by-hand"), [one, two] = RECIPES;
    const drive = async (draft: Draft, recipe: Recipe, start: number) => {
      const run = train(draft, { ...options, recipe, start, folder: join(folder, `${start}`) });
      for (;;) {
        const { done, value } = await run.next();
        if (done) return value as Draft;
      }
    };
    const first = await drive(START, one, 0);
    const last = await drive(first, two, 0.5);
    for (const [name, values] of Object.entries(last.parameters)) {
      assert.deepEqual(draft!.parameters[name], values, name);
    }
    assert.notDeepEqual(
      fromHalf(toHalf(first.parameters["fc.fc.weight"])),
      last.parameters["fc.fc.weight"],
    );
  }));

Deno.test("what is finished is not run again, what was left goes on to the same draft", () =>
  withRun(async (options) => {
    const whole = await runAll({ ...options, folder: join(options.folder, "whole") });
    const folder = join(options.folder, "parts");
    await runAll({ ...options, folder }, (e) => e.stage === 2 && e.event.type === "step");
    const rest = await runAll({ ...options, folder });
    const kinds = rest.events.map(({ stage, event }) =>
      `${stage} ${event.type}${event.type === "finished" && event.before ? " before" : ""}`
    );
    assert.deepEqual(kinds, ["1 finished before", "2 step", "2 checkpoint", "2 finished"]);
    const again = await runAll({ ...options, folder });
    assert.deepEqual(again.events.map((e) => e.event.type), ["finished", "finished"]);
    const bits = (draft?: Draft) => toHalf(draft!.parameters["fc.fc.weight"]);
    assert.deepEqual(bits(again.draft), bits(whole.draft));
  }));

Deno.test("a recipe that contradicts itself stops the training before its first step", () =>
  withRun(async (options) => {
    const run = trainSteps(
      START,
      [RECIPES[0], { ...RECIPES[1], packing: true, mask: "upstream" }],
      options,
    );
    await assert.rejects(run.next(), /packing with mask "upstream"/);
    assert.deepEqual(await readdir(options.folder), []);
  }));
