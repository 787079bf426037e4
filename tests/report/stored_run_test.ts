/** Finding a run and reading it: every kind by folder and by file, older files, and one clear error for the rest. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { checkEvaluation, readStoredRun } from "../../lib/report/stored_run.ts";
import { sampleSteps } from "./samples.ts";
import { storedEvaluation, TRAINING_RECORD } from "./stored_runs.ts";

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const write = (folder: string, name: string, value: unknown) =>
  Deno.writeTextFile(join(folder, name), typeof value === "string" ? value : JSON.stringify(value));

Deno.test("an evaluation, by its folder or its file", async () => {
  await inFolder(async (folder) => {
    const stored = storedEvaluation({ a: [2, 3] });
    await write(folder, "report.json", stored);
    for (const path of [folder, join(folder, "report.json")]) {
      const run = await readStoredRun(path);
      assert.ok(run.kind === "evaluation");
      assert.equal(run.path, join(folder, "report.json"));
      assert.deepEqual(run.evaluation, JSON.parse(JSON.stringify(stored)));
    }
  });
});

Deno.test("a training with its record, and one of before there were records", async () => {
  await inFolder(async (folder) => {
    await Deno.mkdir(join(folder, "step-1"));
    const lines = sampleSteps(2).map((e) => JSON.stringify(e)).join("\n");
    await write(folder, "step-1/metrics.jsonl", `${lines}\n`);
    const before = await readStoredRun(folder);
    assert.ok(before.kind === "training");
    assert.deepEqual([before.record, before.run.stages[0].length], [{}, 2]);
    await write(folder, "run.json", TRAINING_RECORD);
    const run = await readStoredRun(folder);
    assert.ok(run.kind === "training");
    assert.deepEqual(run.record, JSON.parse(JSON.stringify(TRAINING_RECORD)));
    assert.deepEqual(run.run.environment, TRAINING_RECORD.environment);
  });
});

Deno.test("results of an experiment", async () => {
  await inFolder(async (folder) => {
    await write(folder, "results.json", { experiment: "x", settings: {}, rows: [] });
    assert.deepEqual(await readStoredRun(folder), {
      kind: "experiment",
      path: join(folder, "results.json"),
    });
  });
});

Deno.test("what is no run is refused, naming what was found", async () => {
  await inFolder(async (folder) => {
    await assert.rejects(
      readStoredRun(join(folder, "x")),
      /x: no such file or folder, wanted a run/,
    );
    await assert.rejects(
      readStoredRun(folder),
      /it holds no step-1\/metrics.jsonl, report.json or/,
    );
    await write(folder, "report.json", { a: 1, b: 2 });
    await assert.rejects(
      readStoredRun(folder),
      /report.json: it holds a, b; wanted the report.json/,
    );
    await write(folder, "report.json", "{");
    await assert.rejects(
      readStoredRun(folder),
      /report.json: found text that is not a JSON object/,
    );
  });
});

Deno.test("a damaged evaluation is refused, naming the place", () => {
  const whole = JSON.parse(JSON.stringify(storedEvaluation({ a: [2] })));
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ suites: [] }, /from f: it has no suites/],
    [{ suites: 3 }, /suites is number, wanted a list/],
    [{ suites: [null] }, /suites\[0\] is null, wanted an object/],
    [{ suites: [{ ...whole.suites[0], tau_ci: undefined }] }, /suites\[0\] has no tau_ci/],
    [{ settings: undefined }, /it has no settings/],
    [{ environment: null }, /it has no environment/],
    [{ details: {} }, /details is not a list/],
  ];
  for (const [change, message] of wrong) {
    assert.throws(() => checkEvaluation({ ...whole, ...change }, "f"), message);
  }
});
