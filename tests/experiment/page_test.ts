/** The page: the table as it is elsewhere, a figure a measure with every arm, and where the rows come from. */
import assert from "node:assert/strict";
import { experimentPage } from "../../lib/experiment/page.ts";
import { summarizeResults } from "../../lib/experiment/summary.ts";
import { tabulate } from "../../lib/experiment/table.ts";
import { NOWHERE } from "../report/samples.ts";
import { EXPERIMENT, rowsOf } from "./tiny_experiment.ts";

Deno.test("a page shows the table, a figure with all arms, and the rows' commit", () => {
  const results = rowsOf({ base: [[10, 20, 30]], "no mask": [[12, 18, 31]] });
  const { title, lead, sections } = experimentPage(EXPERIMENT, results, {
    environment: NOWHERE,
  });
  const { heading, notes } = tabulate(EXPERIMENT, summarizeResults(EXPERIMENT, results));
  assert.equal(title, EXPERIMENT.question);
  assert.ok(notes.every((n) => lead.includes(n)));
  const [result, made] = sections;
  assert.deepEqual(result.table![0], heading);
  assert.match(String(result.table![2][5]), /^\(\+0\.33 /, "grey in parentheses");
  const [figure, ...more] = result.figures!;
  assert.equal(more.length, 0);
  assert.deepEqual(figure.data[0].y, ["base", "no mask"]);
  assert.deepEqual(figure.data[0].x, [20, 61 / 3]);
  assert.deepEqual(made.table!.find(([what]) => what === "commits of rows")![1], "abc1234");
});
