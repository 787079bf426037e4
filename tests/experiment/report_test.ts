/** The report of results: question, cost and line of the experiment, also where its config is not at hand. */
import assert from "node:assert/strict";
import { experimentOf, experimentReport, resultsPlace } from "../../lib/experiment/report.ts";
import { EXPERIMENT, rowsOf } from "./tiny_experiment.ts";

const LEVEL = [[10, 20, 30], [11, 19, 30]];
const RESULTS = rowsOf({ base: LEVEL, "no mask": LEVEL });

Deno.test("the experiment's page with cost and line; rows of several commits are warned about", () => {
  const page = experimentReport(EXPERIMENT, RESULTS);
  assert.equal(page.lead, EXPERIMENT.question);
  assert.equal(experimentReport(EXPERIMENT, RESULTS, { question: "Else?" }).lead, "Else?");
  assert.deepEqual(page.sections.map((s) => s.heading), [
    "Result",
    "Cost",
    "Made with",
    "How to reproduce",
  ]);
  assert.equal(page.sections[0].warnings, undefined);
  // Four rows of 300 updates, 86,146 tokens and 20 seconds.
  assert.deepEqual(page.sections[1].table!.slice(1), [
    ["updates", "1,200"],
    ["tokens of training data read", "344,584"],
    ["time in updates", "1 min 20 s"],
    ["time of measuring", "not recorded"],
  ]);
  const line = "deno task experiment run tiny --seeds 0,1 --epochs 2 --out runs/again";
  assert.equal(page.sections[3].code, line);
  const mixed = RESULTS.rows.map((r, i) => i > 0 ? r : { ...r, commit: "def5678" });
  const [result] = experimentReport(EXPERIMENT, { ...RESULTS, rows: mixed }).sections;
  assert.deepEqual(result.warnings, ["Rows are of several commits: def5678, abc1234."]);
});

Deno.test("where it was made: date and commit from the rows, nothing else is known", () => {
  const { date, commit, cpu } = resultsPlace(RESULTS);
  assert.deepEqual([date, commit, cpu], ["2026-01-02", "abc1234", "not recorded"]);
  assert.equal(resultsPlace({ rows: [] }).commit, "not recorded");
});

Deno.test("without a config the first arm is the base", () => {
  const experiment = experimentOf(RESULTS);
  assert.deepEqual([experiment.base, experiment.seeds], ["base", [0, 1]]);
  assert.deepEqual(experiment.arms.map((a) => a.name), ["base", "no mask"]);
  const { table } = experimentReport(experiment, RESULTS).sections[0];
  assert.deepEqual(table!.slice(1).map((row) => row[0]), ["base", "no mask"]);
});
