/** The page of an evaluation: its rows and sections follow from the summaries. */
import assert from "node:assert/strict";
import { evaluationPage, summaryRows, tauRows } from "../../lib/report/evaluation_page.ts";
import { renderPage } from "../../lib/report/page.ts";
import { NOWHERE, sampleSummary } from "./samples.ts";

const SETTINGS = { depth: 5, target: "data/target" };

Deno.test("a row a suite, intervals in brackets", () => {
  assert.deepEqual(summaryRows([sampleSummary("a"), sampleSummary("b", { tau: 1 })]), [
    ["suite", "prompts", "tau", "speedup", "plain tok/s", "GRIFFIN tok/s", "identical"],
    ["a", 4, "2.50 [2.25, 2.75]", "1.50 [1.25, 1.81]", "40.0", "60.0", "3/4"],
    ["b", 4, "1.00 [2.25, 2.75]", "1.50 [1.25, 1.81]", "40.0", "60.0", "3/4"],
  ]);
});

Deno.test("tau under every definition, to the digit where they differ", () => {
  assert.deepEqual(tauRows([sampleSummary("a")]), [
    ["suite", "tau", "published script", "vLLM", "SpecForge"],
    ["a", "2.500", "2.700", "2.600", "2.550"],
  ]);
});

Deno.test("sections: result with four figures, more numbers, settings, and prompts if given", () => {
  const page = evaluationPage([sampleSummary()], { environment: NOWHERE, settings: SETTINGS });
  assert.deepEqual(page.sections.map((s) => s.heading), ["Result", "More numbers", "Settings"]);
  assert.equal(page.sections[0].figures?.length, 4);
  assert.deepEqual(page.sections[1].table?.[1], [
    "ours",
    120,
    116,
    46,
    "2.70",
    "1.40 [1.20, 1.60]",
  ]);
  assert.deepEqual(page.sections[2].table, [
    ["setting", "value"],
    ["depth", "5"],
    ["target", "data/target"],
  ]);
  const prompts = [["prompt"], ["p1"]];
  const longer = evaluationPage([sampleSummary()], {
    environment: NOWHERE,
    settings: SETTINGS,
    prompts,
  });
  assert.deepEqual(longer.sections.at(-1), { heading: "Prompts", table: prompts });
});

Deno.test("every table is rectangular, and the page renders", async () => {
  const page = evaluationPage([sampleSummary("a"), sampleSummary("b")], {
    environment: NOWHERE,
    settings: SETTINGS,
  });
  for (const { heading, table, figures = [] } of page.sections) {
    for (const rows of [table ?? [], ...figures.map((f) => f.table)]) {
      assert.ok(rows.every((row) => row.length === rows[0].length), heading);
    }
  }
  assert.match(await renderPage(page), /GRIFFIN Lab: speculative against plain decoding/);
});
