/** Figures of single questions: a series a line, intervals as whiskers, the numbers as a table. */
import assert from "node:assert/strict";
import { measuredCurves, misalignedByPass, tauByBudget } from "../../lib/report/study_figures.ts";

Deno.test("series keep their order; whiskers reach from low to high", () => {
  const { data, table } = tauByBudget([
    { series: "b", at: 4, value: 2, interval: [1.5, 2.25] },
    { series: "a", at: 4, value: 1 },
    { series: "b", at: 8, value: 3, interval: [2.5, 4] },
  ]);
  assert.deepEqual(data.map(({ name }) => name), ["b", "a"]);
  assert.deepEqual(data[0].x, [4, 8]);
  const { array, arrayminus } = data[0].error_y as { array: number[]; arrayminus: number[] };
  assert.deepEqual([array, arrayminus], [[0.25, 1], [0.5, 0.5]]);
  assert.ok(!("error_y" in data[1]));
  assert.deepEqual(table[1], ["b", 4, 2, 1.5, 2.25]);
  assert.deepEqual(table[2], ["a", 4, 1, "-", "-"]);
});

Deno.test("shares are percent, costs lie on a logarithmic axis, k is told", () => {
  const rows = [{ series: "a", at: 1, value: 0.25 }];
  const shares = misalignedByPass(rows, { k: 5 });
  assert.match(shares.title, /top 5/);
  assert.equal((shares.layout.yaxis as { tickformat: string }).tickformat, ".0%");
  const log = measuredCurves(rows, { title: "t", x: "x", y: "y", log: true });
  assert.equal((log.layout.xaxis as { type: string }).type, "log");
});
