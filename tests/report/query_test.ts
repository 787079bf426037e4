/** SQL over rows of several runs: results as rows, types kept, errors in SQLite's words. */
import assert from "node:assert/strict";
import { queryRows } from "../../lib/report/query.ts";
import { evaluationRows, trainingRows } from "../../lib/report/rows.ts";
import { storedEvaluation, storedTraining, TRAINING_RECORD } from "./stored_runs.ts";

const ROWS = [
  ...evaluationRows("one", storedEvaluation({ a: [3, 1], b: [2] })),
  ...evaluationRows("two", storedEvaluation({ a: [4], b: [2] })),
  ...trainingRows("three", { run: storedTraining([[30, 10]]), record: TRAINING_RECORD }),
];

Deno.test("tau by run, and the prompts on which one is ahead of the other", () => {
  const tau = queryRows(
    ROWS,
    "SELECT run, 1.0 * SUM(emitted) / SUM(forwards) AS tau FROM rows WHERE kind = 'prompt' GROUP BY run ORDER BY run",
  );
  assert.deepEqual(tau.map((row) => ({ ...row })), [{ run: "one", tau: 2 }, {
    run: "two",
    tau: 3,
  }]);
  const ahead = queryRows(
    ROWS,
    "SELECT a.prompt, a.forwards - b.forwards AS saved FROM rows a JOIN rows b USING (suite, prompt) " +
      "WHERE a.run = 'one' AND b.run = 'two' AND saved > 0",
  );
  assert.deepEqual(ahead.map((row) => ({ ...row })), [{ prompt: "a", saved: 1 }]);
});

Deno.test("options are JSON that a query can look into; what is absent is NULL", () => {
  const [row] = queryRows(
    ROWS,
    "SELECT COUNT(*) AS n, COUNT(suite) AS suites, MIN(json_extract(options, '$.seed')) AS seed FROM rows",
  );
  assert.deepEqual({ ...row }, { n: 8, suites: 4, seed: 1 });
});

Deno.test("a query that cannot be run is refused in SQLite's words", () => {
  assert.throws(
    () => queryRows(ROWS, "SELECT x FROM nowhere"),
    /Cannot run the query: no such table: nowhere; the table/,
  );
  assert.throws(() => queryRows(ROWS, "SELEKT 1"), /syntax error/);
});
