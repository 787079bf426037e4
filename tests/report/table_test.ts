/** Tables: which columns are numbers, and how the plain form lines up. */
import assert from "node:assert/strict";
import { formatTable, numericColumns, withInterval } from "../../lib/report/table.ts";

Deno.test("columns are as wide as their widest cell, numbers to the right", () => {
  const rows = [["suite", "tau", "same"], ["ours", 2.5, "10/12"], ["a long name", 12, "9/9"]];
  assert.deepEqual(formatTable(rows).split("\n"), [
    "suite        tau   same",
    "-----------  ---  -----",
    "ours         2.5  10/12",
    "a long name   12    9/9",
  ]);
});

Deno.test("a heading alone is a table", () => {
  assert.deepEqual(formatTable([["a", "bc"]]).split("\n"), ["a  bc", "-  --"]);
});

Deno.test("a column is numeric if every cell starts like a number", () => {
  const rows = [["a", "b", "c", "d", "e"], ["x", 1, "-2.5", "3 [1, 4]", NaN], [
    1,
    2,
    "+1",
    ".5",
    0,
  ]];
  assert.deepEqual(numericColumns(rows), [false, true, true, true, true]);
  assert.deepEqual(numericColumns([["a"], ["-"]]), [false]);
  assert.deepEqual(numericColumns([["a"], ["-"], [2], ["-"]]), [true]);
  assert.deepEqual(numericColumns([["a"]]), [false]);
});

Deno.test("a value with its interval has two digits", () => {
  assert.equal(withInterval(3.206, [3.05, 3.4]), "3.21 [3.05, 3.40]");
});
