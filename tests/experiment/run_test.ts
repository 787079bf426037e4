/**
 * A whole tiny experiment: a second run trains and measures nothing, shared steps are trained once, an arm that was
 * left or failed is resumed to the same rows, and one that fails does not stop the others.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Experiment } from "../../lib/experiment/experiment.ts";
import { readResults, type Row } from "../../lib/experiment/rows.ts";
import type { ExperimentEvent } from "../../lib/experiment/run.ts";
import { EXPERIMENT, runTo, withLab } from "./tiny_experiment.ts";

const of = (events: ExperimentEvent[], type: ExperimentEvent["type"]) =>
  events.filter((e) => e.type === type);

/** What two runs must agree in. */
const counts = (rows: readonly Row[]) =>
  rows.map(({ arm, seed, counts }) => ({ arm, seed, counts }));

Deno.test("an experiment runs once: rows of all arms and seeds, shared steps trained once", async () => {
  await withLab(async (lab, options) => {
    const { events, rows } = await runTo(EXPERIMENT, lab, options);
    // Of a seed: a first step for three arms, two second steps, the only step of "one step".
    const plan = { type: "plan", jobs: 8, measured: 0, steps: 8, trained: 0 };
    assert.deepEqual(events[0], plan);
    const trained = of(events, "trained") as { arm: string; seed: number; before: boolean }[];
    const anew = trained.filter((e) => !e.before).map((e) => [e.arm, e.seed]);
    const ofSeed = (seed: number) =>
      ["base", "base", "no mask", "one step"].map((name) => [name, seed]);
    assert.deepEqual(anew, [...ofSeed(0), ...ofSeed(1)]);
    assert.equal((await readdir(join(options.folder, "steps"))).length, 8);
    assert.equal(rows.length, 8);
    for (const { counts: { tau }, training, commit, target } of rows) {
      assert.deepEqual([commit, target, tau.length], ["abc1234", "tiny-1", 3]);
      // Twelve new tokens, the first one from prefill.
      assert.ok(tau.every(([emitted, rounds]) => emitted === 11 && rounds >= 4 && rounds <= 11));
      // Two epochs of the data, to a batch.
      assert.ok(training!.tokens >= 450 && training!.tokens <= 550, `${training!.tokens}`);
      assert.equal(training!.recipes!.length, training!.passes.length);
    }
    const stored = await readResults(join(options.folder, "tiny", "results.json"));
    assert.deepEqual(stored.rows, JSON.parse(JSON.stringify(rows)));

    const again = await runTo(EXPERIMENT, lab, options);
    assert.deepEqual(again.events[0], { ...plan, measured: 8, trained: 8 });
    assert.deepEqual(again.events.slice(1).map((e) => e.type), Array(8).fill("skipped"));
    assert.deepEqual(again.rows, stored.rows);
    const part = await runTo(EXPERIMENT, lab, { ...options, only: ["one step"], seeds: [1] });
    assert.deepEqual(part.rows.map((r) => [r.arm, r.seed]), [["one step", 1]]);
    const kept = await readResults(join(options.folder, "tiny", "results.json"));
    assert.deepEqual(kept.rows, stored.rows, "rows of other arms and seeds stay");

    // Rows gone, drafts there: measured again, to the same counts, without training.
    await rm(join(options.folder, "tiny"), { recursive: true });
    const measured = await runTo(EXPERIMENT, lab, options);
    assert.deepEqual(of(measured.events, "training"), []);
    assert.deepEqual(counts(measured.rows), counts(rows));
  });
});

const TWO: Experiment = { ...EXPERIMENT, arms: EXPERIMENT.arms.slice(0, 2), seeds: [0] };

Deno.test("an arm that was left in the middle of a step goes on from its checkpoint, to the same rows", async () => {
  let wanted: Row[] = [];
  await withLab(async (lab, options) => {
    wanted = (await runTo(TWO, lab, options)).rows;
  });
  await withLab(async (lab, options) => {
    const settings = { ...options, checkpointEvery: 1 };
    const enough = (e: ExperimentEvent) =>
      e.type === "training" && e.stage === 2 && e.event.type === "step" && e.event.step === 2;
    const { events } = await runTo(TWO, lab, { ...settings, enough });
    assert.equal(of(events, "measured").length, 0);
    const { events: resumed, rows } = await runTo(TWO, lab, settings);
    const base = resumed.filter((e) => e.type === "training" && e.arm === "base");
    const updates = base.map((e) =>
      e.type === "training" && e.event.type === "step" && e.event.step
    );
    assert.equal(updates.find((u) => u !== false), 3, "updates 1 and 2 are not repeated");
    assert.ok(base.every((e) => e.type === "training" && e.stage === 2));
    assert.deepEqual(counts(rows), counts(wanted));
    const steps = await readdir(join(options.folder, "steps"));
    const left = steps.filter((key) =>
      existsSync(join(options.folder, "steps", key, "step-1", "checkpoints"))
    );
    assert.deepEqual(left, [], "checkpoints of finished steps are removed");
  });
});

Deno.test("an arm that fails is told of, does not stop the others, and is tried again", async () => {
  await withLab(async (lab, options) => {
    let broken = true;
    const target = lab.target,
      experiment: Experiment = {
        ...TWO,
        measure: ({ name }, { seed, settings }) => {
          if (name === "base" && broken) return Promise.reject(new Error("the disk is full"));
          return Promise.resolve({ found: Array(settings.prompts).fill([seed + 3, 2]) });
        },
      };
    const { events, rows } = await runTo(experiment, { ...lab, target }, options);
    const failed = { type: "failed", arm: "base", seed: 0, message: "the disk is full" };
    assert.deepEqual(of(events, "failed"), [failed]);
    assert.deepEqual(rows.map((r) => r.arm), ["no mask"]);
    broken = false;
    const { events: second, rows: all } = await runTo(experiment, lab, options);
    assert.deepEqual(second.map((e) => e.type), ["plan", "measured", "skipped"]);
    assert.deepEqual(all.map((r) => r.arm), ["base", "no mask"]);
    assert.deepEqual(all[0].counts.found, [[3, 2], [3, 2], [3, 2]]);
    assert.equal(
      all[0].training,
      undefined,
      "nothing is trained where an experiment measures itself",
    );
  });
});

Deno.test("an aborted signal ends the run; the next one completes it", async () => {
  await withLab(async (lab, options) => {
    const abort = new AbortController();
    const enough = (e: ExperimentEvent) => {
      if (e.type === "training") abort.abort();
      return false;
    };
    const { events, rows } = await runTo(TWO, lab, { ...options, signal: abort.signal, enough });
    assert.deepEqual([rows.length, of(events, "failed").length], [0, 0]);
    assert.equal((await runTo(TWO, lab, options)).rows.length, 2);
  });
});
