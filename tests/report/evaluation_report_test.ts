/** The report of an evaluation: everything that was stored stands on it, and the line that makes it again. */
import assert from "node:assert/strict";
import { evaluationLine, evaluationReport } from "../../lib/report/evaluation_report.ts";
import { renderPage } from "../../lib/report/page.ts";
import { renderMarkdown } from "../../lib/report/page_markdown.ts";
import { storedEvaluation } from "./stored_runs.ts";

const STORED = storedEvaluation({ a: [3, 1], b: [2] });

Deno.test("sections in order; the question leads, or the one that is given", () => {
  const page = evaluationReport(STORED, { path: "r.json" });
  assert.equal(page.lead, "Is it so?");
  assert.equal(evaluationReport(STORED, { path: "r.json", question: "Else?" }).lead, "Else?");
  assert.deepEqual(page.sections.map((s) => s.heading), [
    "Result",
    "More numbers",
    "Samples",
    "Cost",
    "Settings",
    "What it read",
    "How to reproduce",
  ]);
  // Two prompts of 5 and 3 tokens: plain 40 + 20 ms and a prefill of 3 each; 20 + 10 ms with the draft.
  const cost = page.sections[3].table!.map((row) => row.join(": "));
  assert.deepEqual(cost.slice(-2), [
    "of it plain decoding: 0.1 s",
    "of it speculative decoding: 0.0 s",
  ]);
});

Deno.test("trees sized by costs are sized by the stored ones", () => {
  assert.equal(
    evaluationLine(STORED, { path: "r.json" }),
    "deno task eval --draft 'a draft' --seed 3 --quick --out runs/again",
  );
  assert.equal(
    evaluationLine({ ...STORED, costs: {} }, { path: "my runs/report.json", out: "x" }),
    "deno task eval --draft 'a draft' --seed 3 --quick --costs 'my runs/report.json' --out x",
  );
});

Deno.test("what is promised of a second run depends on the temperature", () => {
  const note = (temperature: number) =>
    evaluationReport(storedEvaluation({ a: [2] }, { temperature }), { path: "r" })
      .sections.at(-1)!.text!;
  assert.match(note(0), /^Texts, tau and acceptance come out the same;/);
  assert.match(note(1), /^With the same seed, .* on the same machine/);
});

Deno.test("an older file: its numbers, and not recorded in place of the rest", async () => {
  const { settings, environment, suites } = STORED;
  const { packages: _, lockfile: __, ...older } = environment;
  const page = evaluationReport({ settings, suites, environment: older }, { path: "r.json" });
  const headings = page.sections.map((s) => s.heading);
  assert.ok(!headings.includes("Samples"));
  const markdown = renderMarkdown(page), html = await renderPage(page);
  for (const text of [markdown, html]) {
    assert.match(text, /command line is not recorded/);
    assert.match(text, /Hashes of target, draft and data: not recorded/);
  }
  assert.match(markdown, /\| packages \| not recorded \|\n\| lockfile \| not recorded \|/);
});
