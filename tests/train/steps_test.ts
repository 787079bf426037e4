/**
 * A whole training: steps follow each other in drafts and data, a finished one is not run again, and a training
 * that is started again at any point ends with the same bits.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Examples } from "../../lib/data/features.ts";
import { type Draft, readDraft } from "../../lib/model/load.ts";
import type { StagedEvent } from "../../lib/report/events.ts";
import { planRun } from "../../lib/train/batches.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { type StepsOptions, trainSteps } from "../../lib/train/steps.ts";
import { tinyDraftConfig } from "../model/tiny.ts";
import { LENGTHS, sameBits, withRun } from "./tiny_run.ts";

const START = initialDraft(tinyDraftConfig(undefined, { target: "tiny-1" }), { seed: 3 });
const BASE: Recipe = {
  ...DEFAULT_RECIPE,
  epochs: 1,
  rows: 128,
  maxLength: 64,
  warmup: 1,
  schedule: "constant",
  seed: 5,
};
const RECIPES: Recipe[] = [{ ...BASE, epochs: 0.5 }, { ...BASE, passes: 2, epochs: 0.75 }];

/** Runs until `enough` says so, then leaves the loop as `break` does. */
async function steps(
  options: StepsOptions,
  { recipes = RECIPES, enough = () => false, draft = START }: {
    recipes?: Recipe[];
    enough?: (event: StagedEvent) => boolean;
    draft?: Draft;
  } = {},
): Promise<{ events: StagedEvent[]; draft: Draft | undefined }> {
  const run = trainSteps(draft, recipes, options), events: StagedEvent[] = [];
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { events, draft: value };
    events.push(value);
    if (!enough(value)) continue;
    await run.return(undefined as never);
    return { events, draft: undefined };
  }
}

const kinds = (events: StagedEvent[]) => events.map(({ stage, event }) => `${stage} ${event.type}`);

/** The same examples, and which were read in which order. */
function watched(examples: Examples): { examples: Examples; read: number[] } {
  const read: number[] = [];
  const one = (index: number) => {
    read.push(index);
    return examples.read(index);
  };
  return { examples: { ...examples, read: one }, read };
}

Deno.test("each step begins with the draft of the one before, and leaves draft, metrics and checkpoints", () =>
  withRun(async (options) => {
    const { folder, target } = options, { events, draft } = await steps(options);
    assert.deepEqual(kinds(events), [
      ...["1 step", "1 step", "1 checkpoint", "1 finished"],
      ...["2 step", "2 step", "2 step", "2 checkpoint", "2 finished"],
    ]);
    assert.deepEqual((await readdir(folder)).sort(), ["step-1", "step-2"]);
    for (const stage of [1, 2]) {
      const place = join(folder, `step-${stage}`);
      const files = ["checkpoints", "draft", "metrics.jsonl"];
      assert.deepEqual((await readdir(place)).sort(), files);
      const lines = (await readFile(join(place, "metrics.jsonl"), "utf8")).trim().split("\n");
      const own = events.filter((e) => e.stage === stage).map((e) => e.event).slice(0, -1);
      assert.deepEqual(lines.map((line) => JSON.parse(line)), own);
    }
    const first = await readDraft(join(folder, "step-1/draft"), { target });
    const last = await readDraft(join(folder, "step-2/draft"), { target });
    assert.ok(sameBits(draft, last), "the draft that is returned is the one on disk");
    assert.ok(!sameBits(first, last));
    // Alone, from the first step's draft and after its data, the second step does the same.
    const alone = { ...options, folder: join(folder, "alone"), start: 0.5 };
    const second = await steps(alone, { recipes: [RECIPES[1]], draft: first });
    assert.ok(sameBits(second.draft, last), "the second step begins elsewhere");
  }));

Deno.test("a finished step is not run again, one cut short goes on, and the bits are the same", () =>
  withRun(async (options) => {
    const whole = await steps({ ...options, folder: join(options.folder, "whole") });
    const moments: Record<string, (e: StagedEvent) => boolean> = {
      "in the first step": ({ stage, event }) => stage === 1 && event.type === "step",
      "between the steps": ({ stage, event }) => stage === 1 && event.type === "finished",
      "in the second step": ({ stage, event }) => stage === 2 && event.type === "step",
    };
    for (const [name, enough] of Object.entries(moments)) {
      const again = { ...options, folder: join(options.folder, name) };
      const before = await steps(again, { enough });
      const { events, draft } = await steps(again), [first] = events;
      assert.equal(first.event.type === "finished" && first.event.before, !name.includes("first"));
      const done = [...before.events, ...events].filter(({ event }) => event.type === "step");
      assert.equal(done.length, 5, `${name}: no update is made twice`);
      assert.ok(sameBits(draft, whole.draft), `${name}: parameters differ`);
    }
    const { events, draft } = await steps({ ...options, folder: join(options.folder, "whole") });
    assert.deepEqual(kinds(events), ["1 finished", "2 finished"]);
    assert.ok(events.every(({ event }) => event.type === "finished" && event.before));
    assert.ok(sameBits(draft, whole.draft));
  }));

Deno.test("steps read on where the one before stopped, from `start` on", () =>
  withRun(async (options) => {
    const { folder } = options;
    for (const start of [0, 0.5, 2]) {
      const { examples, read } = watched(options.examples), place = join(folder, `from ${start}`);
      const now = { ...options, examples, start, folder: place };
      const wanted = (from: number, epochs: number) =>
        planRun(LENGTHS, { ...BASE, start: from, epochs }).flatMap(({ plan }) => plan.rows.flat());
      await steps(now, { enough: ({ event }) => event.type === "finished" });
      assert.deepEqual(read, wanted(start, 0.5), `first step from ${start}`);
      // The finished step is not read again, and the second one does not begin anew.
      read.length = 0;
      await steps(now);
      assert.deepEqual(read, wanted(start + 0.5, 0.75), `second step from ${start}`);
    }
  }));

Deno.test("a recipe that contradicts itself is refused before the first step", () =>
  withRun(async (options) => {
    const recipes = [RECIPES[0], { ...RECIPES[1], passes: 70 }];
    await assert.rejects(steps(options, { recipes }), /70 passes on 64 tokens/);
    assert.deepEqual(await readdir(options.folder), []);
  }));

Deno.test("an aborted training keeps its place and makes no draft", () =>
  withRun(async (options) => {
    const abort = new AbortController();
    const { events, draft } = await steps({ ...options, signal: abort.signal }, {
      enough: () => {
        abort.abort();
        return false;
      },
    });
    assert.deepEqual(kinds(events), ["1 step"]);
    assert.ok(!sameBits(draft, START), "the draft so far is returned");
    assert.ok(!existsSync(join(options.folder, "step-1/draft")));
    const rest = await steps(options);
    const whole = await steps({ ...options, folder: join(options.folder, "whole") });
    assert.ok(sameBits(rest.draft, whole.draft));
  }));
