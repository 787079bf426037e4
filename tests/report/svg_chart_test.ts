/** Charts without a browser: every kind of figure, its marks where the scale puts them, ticks that are round numbers. */
import assert from "node:assert/strict";
import type { Figure } from "../../lib/report/figures.ts";
import { costCurves, intervalBars, measuredCurves } from "../../lib/report/study_figures.ts";
import { drawFigure } from "../../lib/report/svg_chart.ts";
import { makeScale, tickStep, tickText } from "../../lib/report/svg_scale.ts";
import { sizeMap } from "../../lib/report/sweep_page.ts";

Deno.test("ticks are round, and texts have the digits that they need", () => {
  assert.deepEqual([tickStep(10, 5), tickStep(1, 4), tickStep(7300, 6)], [2, 0.5, 2000]);
  assert.equal(tickText(0.25, { step: 0.05, format: ".0%" }), "25%");
  assert.equal(tickText(25_000, { step: 5000 }), "25k");
  const scale = makeScale([0, 10], { axis: {}, from: 0, to: 100, padding: 0 });
  assert.equal(scale.at(5), 50);
  const log = makeScale([1, 100], { axis: { type: "log" }, from: 0, to: 100, padding: 0 });
  assert.ok(Math.abs(log.at(10) - 50) < 1e-9);
  assert.ok(Number.isNaN(log.at(0)), "0 has no place on a logarithmic axis");
});

const curves = measuredCurves(
  [1, 2, 3].map((at) => ({
    series: "a & b",
    at,
    value: at / 2,
    interval: [at / 2 - 0.1, at] as const,
  })),
  { title: "A <curve>", x: "pass", y: "tau" },
);
const FIGURES: Record<string, Figure> = {
  curves,
  log: costCurves({ read: [[1, 2], [8, 3]], expand: [[1, 1], [4, 2]], verify: [[1, 5], [64, 40]] }),
  bars: intervalBars(
    [{ name: "x", value: 1, interval: [0.5, 1.5] }, { name: "y", value: 2, interval: [1.8, 2.2] }],
    { title: "bars", values: "tau", reference: 1 },
  ),
  map: sizeMap(
    [{ depth: 2, width: 1, budget: 4, tau: 1.5, tokensPerSecond: 10 }, {
      ...{ depth: 3, width: 1, budget: 8, tau: 2.5, tokensPerSecond: 20 },
    }],
    { title: "map", value: (r) => r.tau },
  ),
};

Deno.test("every kind of figure is drawn, texts escaped, no place without a number", () => {
  for (const [name, figure] of Object.entries(FIGURES)) {
    const svg = drawFigure(figure, { width: 500 });
    assert.match(svg, /^<svg [^>]*width="500"/, name);
    assert.ok(svg.endsWith("</svg>") && !/NaN|undefined|Infinity/.test(svg), `${name}: ${svg}`);
    assert.equal((svg.match(/<g[ >]/g) ?? []).length, (svg.match(/<\/g>/g) ?? []).length, name);
  }
  const svg = drawFigure(curves);
  assert.ok(svg.includes("A &lt;curve&gt;") && !svg.includes("A <curve>"));
});

Deno.test("an interval that holds the reference is grey, others are not", () => {
  const colors = (FIGURES.bars.data[0].marker as { color: string[] }).color;
  assert.equal(colors[0], "#999999");
  assert.notEqual(colors[1], "#999999");
});
