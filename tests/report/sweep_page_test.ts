/** Tests lib/report/sweep_page.ts: maps show the best of each cell, and their tables the same numbers. */
import assert from "node:assert/strict";
import { readEnvironment } from "../../lib/report/environment.ts";
import { renderPage } from "../../lib/report/page.ts";
import { sizeMap, sweepPage } from "../../lib/report/sweep_page.ts";

const row = (size: [budget: number, depth: number, width: number], tau: number, speed: number) => ({
  budget: size[0],
  depth: size[1],
  width: size[2],
  tau,
  tokensPerSecond: speed,
});
const ROWS = [
  row([16, 1, 2], 1.5, 90),
  row([4, 1, 1], 1.25, 110),
  row([4, 1, 2], 1.5, 100),
  row([4, 3, 1], 2.12345, 120),
];

Deno.test("a cell is the best of its widths; cells without a row are empty", () => {
  const { data: [{ x, y, z }], table } = sizeMap(ROWS, { title: "tau", value: (r) => r.tau });
  assert.deepEqual([x, y], [["4", "16"], ["1", "3"]]);
  assert.deepEqual(z, [[1.5, 1.5], [2.123, null]]);
  assert.deepEqual(table, [["depth", "4 nodes", "16 nodes"], [1, 1.5, 1.5], [3, 2.123, "-"]]);
  const speed = sizeMap(ROWS, { title: "speed", value: (r) => r.tokensPerSecond });
  assert.deepEqual(speed.data[0].z, [[110, 90], [120, null]]);
});

Deno.test("the page has a part for each suite, with what was decoded and both maps", async () => {
  const environment = await readEnvironment({ backend: "none" });
  const decoded = [["tree", "tau"], ["auto", "2.500"]];
  const suites = ["ours", "theirs"].map((suite) => ({ suite, rows: ROWS, decoded, text: "Said." }));
  const page = sweepPage(suites, { environment, settings: { count: 3 } });
  assert.deepEqual(page.sections.map((s) => s.heading), ["ours", "theirs", "Settings"]);
  assert.deepEqual(page.sections[1].figures!.map((f) => f.title), [
    "theirs: acceptance length (tau)",
    "theirs: predicted tokens a second",
  ]);
  const html = await renderPage(page);
  assert.ok(html.includes("<td>auto</td>") && html.includes('"heatmap"'));
});
