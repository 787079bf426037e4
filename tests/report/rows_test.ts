/** Rows of runs: every column in every row, counts that add up to the run's numbers. */
import assert from "node:assert/strict";
import {
  COLUMNS,
  evaluationRows,
  experimentRows,
  jsonLines,
  type RunRow,
  trainingRows,
} from "../../lib/report/rows.ts";
import { storedEvaluation, storedTraining, TRAINING_RECORD } from "./stored_runs.ts";

const sum = (rows: readonly RunRow[], of: keyof RunRow) =>
  rows.reduce((n, row) => n + Number(row[of]), 0);

const EVALUATION = storedEvaluation({ a: [3, 1], b: [2] });
const ROWS = {
  evaluation: evaluationRows("e", EVALUATION),
  training: trainingRows("t", { run: storedTraining([[30, 10]]), record: TRAINING_RECORD }),
  experiment: experimentRows("x", {
    experiment: "mask",
    settings: { epochs: 1 },
    rows: [{
      arm: "none",
      seed: 2,
      counts: { tau: [[5, 2], [7, 3]] },
      target: "t",
      date: "d",
      commit: "c",
    }],
  }),
};

Deno.test("every row has every column, in one order, and no value that JSON or SQL lacks", () => {
  for (const row of Object.values(ROWS).flat()) {
    assert.deepEqual(Object.keys(row), Object.keys(COLUMNS));
    for (const [name, value] of Object.entries(row)) {
      const type = COLUMNS[name as keyof typeof COLUMNS];
      if (value === null) continue;
      assert.equal(typeof value, type === "TEXT" ? "string" : "number", name);
      if (type === "INTEGER") assert.ok(Number.isInteger(value), name);
    }
  }
});

Deno.test("a row a prompt, whose counts are the evaluation's", () => {
  const { evaluation: rows } = ROWS, [suite] = EVALUATION.suites;
  assert.deepEqual(rows.map((r) => [r.kind, r.prompt, r.seed]), [["prompt", "a", 3], [
    "prompt",
    "b",
    3,
  ]]);
  assert.equal(sum(rows, "emitted"), suite.tau_numerator);
  assert.equal(sum(rows, "forwards"), suite.tau_denominator);
  assert.equal(sum(rows, "identical"), suite.identical);
  assert.deepEqual([rows[0].target, rows[0].draft, rows[0].lockfile], [
    "aaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbb",
    "0123456789abcdef",
  ]);
  assert.equal(JSON.parse(String(rows[0].options)).draft, "a draft");
  assert.deepEqual(evaluationRows("e", { ...EVALUATION, details: undefined }), []);
});

Deno.test("a row an update and validation, numbers that are none are null", () => {
  const { training: rows } = ROWS;
  assert.deepEqual(rows.map((r) => [r.kind, r.update_number, r.pass]), [
    ["update", 1, 2],
    ["update", 2, 2],
    ["update", 3, 2],
    ["validation", 3, 2],
  ]);
  assert.deepEqual([rows[3].tau, rows[3].emitted, rows[3].forwards], [3, 30, 10]);
  assert.deepEqual([rows[0].ms, rows[0].memory_megabytes], [300, null]);
  const broken = storedTraining([[1, 1]]);
  Object.assign(broken.stages[0][0], { loss: NaN });
  assert.equal(trainingRows("t", { run: broken, record: {} })[0].loss, null);
});

Deno.test("a row a prompt of an arm", () => {
  const { experiment: rows } = ROWS;
  assert.deepEqual(
    rows.map((r) => [r.arm, r.seed, r.measure, r.prompt, r.emitted, r.forwards, r.commit_id]),
    [["none", 2, "tau", "0", 5, 2, "c"], ["none", 2, "tau", "1", 7, 3, "c"]],
  );
});

Deno.test("lines are JSON, a row each", () => {
  const lines = [...jsonLines(ROWS.training)];
  assert.ok(lines.every((l) => !l.includes("\n")));
  assert.deepEqual(lines.map((l) => JSON.parse(l)), ROWS.training);
});
