/** Two trainings: the paired difference of tau, when there is one, and the page. */
import assert from "node:assert/strict";
import { tauDifference, trainingComparison } from "../../lib/report/training_comparison.ts";
import { sampleSteps } from "./samples.ts";
import { storedTraining, TRAINING_RECORD } from "./stored_runs.ts";

const A = { run: storedTraining([[20, 10], [60, 30], [8, 4]]), record: TRAINING_RECORD };
const B = { run: storedTraining([[20, 8], [60, 24], [10, 4]]), record: TRAINING_RECORD };
const NAMES = ["one", "two"] as const;

Deno.test("a constant difference of tau on the same prompts has an interval of no width", () => {
  assert.deepEqual(tauDifference([A, B]), { value: 0.5, low: 0.5, high: 0.5 });
  assert.deepEqual(tauDifference([B, A]), { value: -0.5, low: -0.5, high: -0.5 });
});

Deno.test("other prompts, unknown prompts and counts that were not stored make no difference", () => {
  const { inputs, ...unknown } = TRAINING_RECORD;
  const validation = { name: "v", hash: "0000000000000000" };
  assert.equal(tauDifference([A, { ...B, record: unknown }]), undefined);
  const other = { ...TRAINING_RECORD, inputs: { ...inputs!, validation } };
  assert.equal(tauDifference([A, { ...B, record: other }]), undefined);
  assert.equal(tauDifference([A, { ...B, run: storedTraining([[20, 8]]) }]), undefined);
  const bare = { stages: [sampleSteps(2)], settings: {} };
  assert.equal(tauDifference([A, { ...B, run: bare }]), undefined);
});

Deno.test("the page: stages of both, curves of both, settings that differ", () => {
  const record = {
    ...TRAINING_RECORD,
    command: { ...TRAINING_RECORD.command!, options: { seed: 5 } },
  };
  const page = trainingComparison([A, { ...B, record }], { names: NAMES, warnings: [] });
  const [before, result, settings] = page.sections;
  assert.match(before.text!, /the same in both/);
  assert.deepEqual(result.table!.map((row) => row[0]), ["run", "one", "two"]);
  assert.match(
    result.text!,
    /two minus one, on the same validation prompts, paired: \+0\.50 \[0\.50, 0\.50\]/,
  );
  const [tau, loss] = result.figures!;
  assert.deepEqual(tau.data.map((d) => [d.name, d.x, d.y]), [["one", [3], [2]], ["two", [3], [
    2.5,
  ]]]);
  assert.equal(loss.data.length, 2);
  assert.ok(
    settings.table!.some(([name, a, b]) => name === "command.seed" && a === "1" && b === "5"),
  );
  const bare = { run: { stages: [sampleSteps(2)], settings: {} }, record: {} };
  const [, none] = trainingComparison([bare, bare], { names: NAMES, warnings: [] }).sections;
  assert.deepEqual(none.figures, []);
  assert.match(none.text!, /these runs lack them/);
});
