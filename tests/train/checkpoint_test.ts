/**
 * Training state on disk: what is saved comes back to the bit, only the last two stay, and half-written
 * ones do not count.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { draftShapes } from "../../lib/model/draft.ts";
import { readDraft } from "../../lib/model/load.ts";
import { random } from "../../lib/random.ts";
import {
  freshOptimizer,
  loadBest,
  loadCheckpoint,
  saveBest,
  saveCheckpoint,
  trainedDraft,
  type TrainingState,
} from "../../lib/train/checkpoint.ts";
import { DEFAULT_RECIPE } from "../../lib/train/recipe.ts";
import { tinyDraft, tinyDraftConfig } from "../model/tiny.ts";

function stateAt(step: number): TrainingState {
  const draft = tinyDraft(tinyDraftConfig(undefined, { target: "tiny-1" }), step);
  const optimizer = freshOptimizer(draft, { recipe: { ...DEFAULT_RECIPE, average: 0.9 } });
  for (const [name, values] of Object.entries(optimizer)) {
    const from = random(step, name);
    for (let i = 0; i < values.length; i++) values[i] = from.normal() * 1e-6;
  }
  return { ...draft, optimizer, step, settings: `{"step":${step}}` };
}

async function inTemporary(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a checkpoint comes back to the bit", () =>
  inTemporary(async (folder) => {
    const state = stateAt(3), path = await saveCheckpoint(folder, state);
    assert.deepEqual(await loadCheckpoint(folder), state);
    // It is a draft like any other.
    assert.deepEqual(await readDraft(path), {
      config: state.config,
      parameters: state.parameters,
    });
  }));

Deno.test("the newest of the last two is loaded; older ones are gone", () =>
  inTemporary(async (folder) => {
    for (const step of [7, 90, 100, 1000]) await saveCheckpoint(folder, stateAt(step));
    assert.deepEqual((await readdir(folder)).sort(), ["update-0000100", "update-0001000"]);
    assert.equal((await loadCheckpoint(folder))!.step, 1000);
    assert.deepEqual(await loadCheckpoint(folder), stateAt(1000));
  }));

Deno.test("saving again replaces the checkpoint of that update", () =>
  inTemporary(async (folder) => {
    await saveCheckpoint(folder, stateAt(5));
    await saveCheckpoint(folder, { ...stateAt(6), step: 5 });
    assert.deepEqual(await readdir(folder), ["update-0000005"]);
    assert.deepEqual((await loadCheckpoint(folder))!.parameters, stateAt(6).parameters);
  }));

Deno.test("folders without a complete checkpoint hold none", () =>
  inTemporary(async (folder) => {
    assert.equal(await loadCheckpoint(join(folder, "missing")), undefined);
    await Deno.mkdir(join(folder, "update-0000009.partial"));
    await Deno.mkdir(join(folder, "notes"));
    assert.equal(await loadCheckpoint(folder), undefined);
    await saveCheckpoint(folder, stateAt(4));
    assert.equal((await loadCheckpoint(folder))!.step, 4);
  }));

Deno.test("a damaged checkpoint is an error that names its file", () =>
  inTemporary(async (folder) => {
    const path = await saveCheckpoint(folder, stateAt(1)),
      file = join(path, "optimizer.safetensors");
    const bytes = await Deno.readFile(file);
    await Deno.writeFile(file, bytes.subarray(0, bytes.length - 4));
    await assert.rejects(loadCheckpoint(folder), /optimizer.safetensors/);
  }));

Deno.test("what did best so far comes back too, and replaces what did best before", () =>
  inTemporary(async (folder) => {
    const best = { step: 3, tau: 2.5 };
    await saveCheckpoint(folder, { ...stateAt(4), best });
    assert.deepEqual((await loadCheckpoint(folder))!.best, best);
    for (const step of [2, 3]) await saveBest(folder, { ...stateAt(step), step });
    assert.deepEqual((await readdir(folder)).sort(), ["best-0000003", "update-0000004"]);
    assert.deepEqual((await loadBest(folder, best)).parameters, stateAt(3).parameters);
  }));

Deno.test("a fresh optimiser: moments of zero, means equal to the parameters", () => {
  const draft = tinyDraft(), shapes = Object.entries(draftShapes(draft.config));
  const of = (average: number) => freshOptimizer(draft, { recipe: { ...DEFAULT_RECIPE, average } });
  assert.equal(Object.keys(of(0)).length, 2 * shapes.length);
  const kept = of(0.99);
  assert.equal(Object.keys(kept).length, 3 * shapes.length);
  for (const [name, shape] of shapes) {
    for (const m of ["first", "second"]) {
      assert.deepEqual(kept[`${m}.${name}`], new Float32Array(shape.reduce((a, b) => a * b, 1)));
    }
    assert.deepEqual(kept[`average.${name}`], draft.parameters[name]);
    assert.notEqual(kept[`average.${name}`], draft.parameters[name], "the mean is its own array");
  }
});

Deno.test("the draft that is kept is the running mean where there is one", () => {
  const state = stateAt(2), kept = trainedDraft(state);
  for (const name of Object.keys(state.parameters)) {
    assert.equal(kept.parameters[name], state.optimizer[`average.${name}`]);
  }
  assert.deepEqual(trainedDraft({ ...state, optimizer: {} }).parameters, state.parameters);
});

Deno.test("what a killed run was writing or removing goes with the next checkpoint, other files stay", () =>
  inTemporary(async (folder) => {
    const left = ["update-0000009.partial", "update-0000003.old.partial", "best-0000003.partial"];
    for (const name of [...left, "notes.partial"]) await Deno.mkdir(join(folder, name));
    for (const step of [6, 12, 15]) await saveCheckpoint(folder, stateAt(step));
    assert.deepEqual((await readdir(folder)).sort(), [
      "notes.partial",
      "update-0000012",
      "update-0000015",
    ]);
  }));
