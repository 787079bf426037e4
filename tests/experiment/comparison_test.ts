/** Two results: arms and seeds that both have, differences whose truth is known. */
import assert from "node:assert/strict";
import { resultsComparison } from "../../lib/experiment/comparison.ts";
import { rowsOf } from "./tiny_experiment.ts";

const LEVEL = [[10, 20, 30], [11, 19, 30]];
const up = LEVEL.map((seed) => seed.map((x) => x + 0.5));
const OPTIONS = { names: ["one", "two"], warnings: [] } as const;
const A = rowsOf({ base: LEVEL, "no mask": LEVEL });

const tableOf = (...both: [typeof A, typeof A]) =>
  resultsComparison(both, OPTIONS).sections[1].table!.slice(1);

Deno.test("a constant difference is found exactly, whatever prompts and seeds differ in", () => {
  const [row, ...others] = tableOf(A, rowsOf({ "no mask": up }));
  assert.equal(others.length, 0, "base is in A alone");
  assert.deepEqual([row[0], row[1], row[4], row[5]], ["no mask", "tau", "+0.50 [0.50, 0.50]", 2]);
  assert.match(String(row[2]), /^20\.00 \[/);
});

Deno.test("only common seeds are pairs; without one, or with other prompts, there is no difference", () => {
  const later = { ...A, rows: rowsOf({ base: up }).rows.filter((r) => r.seed === 1) };
  const [row] = tableOf(A, later);
  assert.deepEqual([row[4], row[5]], ["+0.50 [0.50, 0.50]", 1]);
  const elsewhere = { ...A, rows: later.rows.map((r) => ({ ...r, seed: 7 })) };
  assert.deepEqual(tableOf(A, elsewhere)[0].slice(4), ["-", 0]);
  assert.deepEqual(tableOf(A, rowsOf({ base: [[1, 2]] }))[0].slice(4), ["-", 0]);
});

Deno.test("nothing in common is said; settings that differ stand below", () => {
  const other = rowsOf({ other: LEVEL });
  const page = resultsComparison(
    [A, { ...other, settings: { ...other.settings, rows: 64 } }],
    OPTIONS,
  );
  assert.match(page.sections[1].text!, /no arm and measure in common/);
  assert.deepEqual(page.sections[2].table!.slice(1), [["rows", "128", "64"]]);
});
