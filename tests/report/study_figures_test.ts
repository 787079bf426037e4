/** Figures of single questions: series keep their order, intervals become whiskers, noise is grey. */
import assert from "node:assert/strict";
import {
  costCurves,
  intervalBars,
  type Measured,
  misalignedByPass,
  tauByBudget,
} from "../../lib/report/study_figures.ts";
import { drawFigure } from "../../lib/report/svg_chart.ts";

const ROWS: Measured[] = [
  { series: "wide", at: 4, value: 2, interval: [1.5, 2.25] },
  { series: "narrow", at: 4, value: 1.75 },
  { series: "wide", at: 8, value: 3, interval: [2.5, 3.5] },
];

Deno.test("a line a series, in the order in which they first occur", () => {
  const { data, table } = tauByBudget(ROWS);
  assert.deepEqual(data.map((t) => t.name), ["wide", "narrow"]);
  assert.deepEqual(data[0].x, [4, 8]);
  assert.deepEqual((data[0].error_y as { array: number[] }).array, [0.25, 0.5]);
  assert.equal(data[1].error_y, undefined);
  assert.deepEqual(table[2], ["narrow", 4, 1.75, "-", "-"]);
});

Deno.test("misaligned shares are in percent, over whole passes", () => {
  const figure = misalignedByPass([{ series: "draft", at: 1, value: 0.1 }], { k: 5 });
  assert.match(figure.title, /top 5/);
  const { xaxis, yaxis } = figure.layout as Record<string, Record<string, unknown>>;
  assert.equal(yaxis.tickformat, ".0%");
  assert.equal(xaxis.dtick, 1);
});

Deno.test("cost curves: three parts over logarithmic rows", () => {
  const figure = costCurves({ read: [[1, 1]], expand: [[1, 2]], verify: [[1, 3], [64, 9]] });
  assert.deepEqual(figure.data.map((t) => t.name), [
    "target verifies",
    "draft reads",
    "draft expands",
  ]);
  assert.equal((figure.layout.xaxis as { type: string }).type, "log");
});

Deno.test("an interval that holds the reference is grey, another one is not", () => {
  const { data } = intervalBars([
    { name: "noise", value: 0.1, interval: [-0.1, 0.3] },
    { name: "effect", value: 0.4, interval: [0.2, 0.6] },
  ], { title: "t", values: "difference", reference: 0 });
  const [noise, effect] = (data[0].marker as { color: string[] }).color;
  assert.equal(noise, "#999999");
  assert.notEqual(effect, noise);
});

Deno.test("all of them can be drawn without a browser", () => {
  for (const figure of [tauByBudget(ROWS), misalignedByPass(ROWS)]) {
    assert.match(drawFigure(figure), /^<svg/);
  }
});
