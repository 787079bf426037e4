/** Tables: cells, grey ones, the paper's columns, what stands below, and the three forms as text. */
import assert from "node:assert/strict";
import type { Results } from "../../lib/experiment/rows.ts";
import { summarizeResults } from "../../lib/experiment/summary.ts";
import { formatResults, tabulate } from "../../lib/experiment/table.ts";
import { EXPERIMENT, rowsOf } from "./tiny_experiment.ts";

const LEVEL = [[10, 20, 30], [11, 19, 30]], MIXED = [[12, 18, 31], [12, 20, 28]];
const ahead = LEVEL.map((seed) => seed.map((x) => x + 0.5));
const tableOf = (results: Results, experiment = EXPERIMENT) =>
  tabulate(experiment, summarizeResults(experiment, results));
const TABLE = tableOf(rowsOf({ base: LEVEL, "no mask": MIXED, "one step": ahead }));

Deno.test("columns: arm, training, tau, the paired difference, the paper beside it", () => {
  const columns = ["arm", "passes", "parameters", "tokens", "tau", "against base"];
  assert.deepEqual(TABLE.heading, [...columns, "paper: tau", "paper: against base"]);
  const [base, noMask, oneStep] = TABLE.rows.map((row) => row.map((c) => c.text));
  assert.deepEqual(base.slice(0, 4), ["base", "1+2", "2.50 M", "86 k"]);
  assert.match(base[4], /^20\.00 \[\d+\.\d\d, \d+\.\d\d\]$/);
  assert.deepEqual(base.slice(5), ["", "5.33", ""]);
  assert.deepEqual(noMask.slice(6), ["", ""]);
  assert.deepEqual(oneStep.slice(5), ["+0.50 [0.50, 0.50]", "5.18", "-0.15"]);
});

Deno.test("a difference inside the noise is grey, and only that", () => {
  const grey = TABLE.rows.map((row) => row.map((c) => c.grey === true));
  assert.deepEqual(grey.flatMap((r, i) => r.flatMap((g, c) => g ? [[i, c]] : [])), [[1, 5]]);
});

Deno.test("below: seeds and prompts, the smallest detectable difference, the paper, what is missing", () => {
  const [who, grey, smallest, paper, missing] = TABLE.notes;
  assert.match(who, /^2 seeds, 3 prompts; .* over seeds and prompts/);
  assert.match(grey, /inside the noise/);
  assert.match(smallest, /80 % power at 5 %.*tau 0\.00 to \d+\.\d\d \(.* with 6 prompts\)/);
  assert.deepEqual([paper, missing], ["Paper: Table 0.", "Not run: narrow."]);
  const one = tableOf(rowsOf({ base: LEVEL.slice(1), "no mask": MIXED.slice(1) }));
  assert.match(one.notes[0], /^1 seed, 3 prompts; .* over prompts alone/);
});

Deno.test("without training and paper their columns are left out", () => {
  const results = rowsOf({ base: LEVEL }),
    rows = results.rows.map(({ training: _, ...row }) => row);
  const { heading, notes } = tableOf({ ...results, rows }, { ...EXPERIMENT, paper: undefined });
  assert.deepEqual(heading, ["arm", "tau", "against base"]);
  assert.ok(!notes.some((n) => n.startsWith("Paper") || n.startsWith("Smallest")));
});

Deno.test("as text: grey in parentheses, dimmed on a terminal, or a Markdown table", () => {
  const text = formatResults(TABLE), grey = TABLE.rows[1][5].text;
  assert.ok(text.includes(`(${grey})`) && text.endsWith(TABLE.notes.join("\n")));
  const dimmed = formatResults(TABLE, { dim: (t) => `<${t}>` });
  assert.ok(dimmed.includes(`<(${grey})>`));
  assert.equal(dimmed.split("<").length, 2, "nothing else is dimmed");
  const [head, rule, first] = formatResults(TABLE, { markdown: true }).split("\n");
  assert.match(head, /^\| arm \| passes \|/);
  assert.match(rule, /^\| --- \| --- \|/);
  assert.match(first, /^\| base \| 1\+2 \|/);
});
