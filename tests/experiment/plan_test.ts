/** Plans: jobs seed by seed, steps shared by what they are, names that change with all that results depend on. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Experiment } from "../../lib/experiment/experiment.ts";
import { planExperiment, type PlanOptions } from "../../lib/experiment/plan.ts";
import { TINY } from "../model/tiny.ts";
import { madeUp } from "../train/tiny_run.ts";
import { EXPERIMENT } from "./tiny_experiment.ts";

const OPTIONS: PlanOptions = {
  target: { config: TINY, identity: "tiny-1" },
  examples: madeUp([30, 40]),
};
const plan = (changes: Partial<Experiment> = {}, options: Partial<PlanOptions> = {}) =>
  planExperiment({ ...EXPERIMENT, ...changes }, { ...OPTIONS, ...options });

Deno.test("a job an arm and seed, all arms of a seed before the next seed", async () => {
  const jobs = await plan();
  const all = ["base", "no mask", "one step", "narrow"];
  assert.deepEqual(jobs.map((j) => [j.arm.name, j.seed]), [
    ...all.map((name) => [name, 0]),
    ...all.map((name) => [name, 1]),
  ]);
  assert.equal(new Set(jobs.map((j) => j.file)).size, 8);
  const chosen = await plan({}, { seeds: [5], only: ["no mask"] });
  assert.deepEqual(chosen.map((j) => [j.arm.name, j.seed]), [["no mask", 5]]);
});

Deno.test("what is trained the same way has one name: a shared first step, all of an arm with another tree", async () => {
  const [base, noMask, oneStep, narrow, ofSeedOne] = await plan();
  const keys = (job: typeof base) => job.steps.map((s) => s.key);
  assert.equal(keys(base)[0], keys(noMask)[0]);
  assert.notEqual(keys(base)[1], keys(noMask)[1]);
  assert.deepEqual(keys(base), keys(narrow));
  assert.notEqual(base.file, narrow.file);
  assert.notEqual(keys(oneStep)[0], keys(base)[0], "it reads twice as much in its first step");
  assert.notEqual(keys(base)[0], keys(ofSeedOne)[0]);
  assert.deepEqual(base.steps.map((s) => s.start), [0, 1]);
});

Deno.test("names change with settings, data and target; what is only measured otherwise keeps its steps", async () => {
  const [base] = await plan(), { settings } = EXPERIMENT;
  const steps = async (changes: Partial<Experiment>, options: Partial<PlanOptions> = {}) =>
    (await plan(changes, options))[0].steps.map((s) => s.key);
  const own = base.steps.map((s) => s.key);
  assert.deepEqual(await steps({}), own);
  assert.notDeepEqual(await steps({ settings: { ...settings, epochs: 1 } }), own);
  assert.notDeepEqual(await steps({ settings: { ...settings, inner: 8 } }), own);
  assert.notDeepEqual(await steps({}, { examples: madeUp([30, 41]) }), own);
  const other = { config: TINY, identity: "tiny-2" };
  assert.notDeepEqual(await steps({}, { target: other }), own);
  const [longer] = await plan({ settings: { ...settings, maxTokens: 20 } });
  assert.deepEqual(longer.steps.map((s) => s.key), own);
  assert.notEqual(longer.file, base.file);
});

Deno.test("a draft that is measured as it is has no steps, and its file goes into the row's name", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const arms = [{ name: "given", trained: folder }],
      given = { arms, base: "given", paper: undefined };
    const path = join(folder, "model.safetensors");
    await assert.rejects(plan(given), /it holds no model.safetensors/);
    await Deno.writeTextFile(path, "one");
    const [one] = await plan(given, { examples: undefined });
    assert.deepEqual([one.steps, one.config], [[], undefined]);
    await Deno.writeTextFile(path, "other");
    const [other] = await plan(given);
    assert.notEqual(one.file, other.file);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("no data, and arms that there are not, are refused", async () => {
  await assert.rejects(plan({}, { examples: undefined }), /Cannot train arm base/);
  await assert.rejects(
    plan({}, { only: ["bse"] }),
    /Cannot run arm bse of tiny: wanted some of base/,
  );
});
