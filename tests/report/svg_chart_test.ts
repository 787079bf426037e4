/** Pictures of figures: every mark is there and inside, what is not known is refused. Marks, too. */
import assert from "node:assert/strict";
import type { Figure } from "../../lib/report/figures.ts";
import { layout } from "../../lib/report/figure_layout.ts";
import { drawFigure } from "../../lib/report/svg_chart.ts";
import { viridis } from "../../lib/report/svg_marks.ts";

const figure = (data: Record<string, unknown>[], more: Record<string, unknown> = {}): Figure => ({
  title: "A <title>",
  data,
  layout: { ...layout({ xaxis: {}, yaxis: {} }), ...more },
  table: [],
});
const count = (svg: string, tag: string) => svg.split(`<${tag} `).length - 1;

Deno.test("points and lines: one circle a point, a gap where there is no value", () => {
  const svg = drawFigure(figure([{
    type: "scatter",
    mode: "lines+markers",
    x: [1, 2, null, 4],
    y: [1, 3, null, 2],
  }]));
  assert.equal(count(svg, "circle"), 3);
  assert.match(svg, /aria-label="A &lt;title&gt;"/);
  assert.ok(!svg.includes("NaN") && !svg.includes("undefined") && !svg.includes("Infinity"));
});

Deno.test("everything lies inside the picture", () => {
  const svg = drawFigure(
    figure([{ type: "scatter", mode: "markers", x: [-5, 1e4], y: [1e-3, 9] }]),
    { width: 400 },
  );
  const places = [...svg.matchAll(/c([xy])="([-\d.]+)"/g)].map(([, , v]) => Number(v));
  assert.equal(places.length, 4);
  for (const at of places) assert.ok(at >= 0 && at <= 400, `${at}`);
});

Deno.test("bars: lengths in proportion; stacked ones begin where the others end", () => {
  const bar = (x: number[], name: string) => ({ type: "bar", orientation: "h", name, x, y: ["a"] });
  const svg = drawFigure(
    figure([bar([2], "one"), bar([4], "two")], { barmode: "stack", showlegend: false }),
  );
  const rects = [
    ...svg.matchAll(/<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="[\d.]+" fill/g),
  ]
    .map(([, x, width]) => ({ x: Number(x), width: Number(width) }));
  assert.equal(rects.length, 2);
  assert.ok(Math.abs(rects[1].width - 2 * rects[0].width) < 0.3);
  assert.ok(Math.abs(rects[1].x - (rects[0].x + rects[0].width)) < 0.2);
});

Deno.test("whiskers are drawn where there are intervals", () => {
  const error_y = { array: [0.5], arrayminus: [0.25] };
  const trace = { type: "scatter", mode: "markers", x: [1], y: [2], error_y };
  const whisker = /M[\d.]+ [\d.]+V[\d.]+M[\d.]+ [\d.]+h8M/;
  assert.match(drawFigure(figure([trace])), whisker);
  assert.doesNotMatch(drawFigure(figure([{ ...trace, error_y: undefined }])), whisker);
});

Deno.test("a map has a cell for each value and none for what is missing", () => {
  const z = [[1, null], [3, 4]];
  const svg = drawFigure(figure([{ type: "heatmap", x: ["2", "4"], y: ["1", "2"], z }]));
  assert.equal([...svg.matchAll(/fill="rgb\([\d,]+\)"/g)].length, 3 + 24); // 24 in the bar beside it
});

Deno.test("colours of a map: dark to light, with ink that is read on them", () => {
  assert.deepEqual(viridis(0), { fill: "rgb(68,1,84)", ink: "#fff" });
  assert.deepEqual(viridis(1), { fill: "rgb(253,231,37)", ink: "#000" });
});

Deno.test("other kinds of traces are refused by name", () => {
  assert.throws(() => drawFigure(figure([{ type: "pie" }])), /type pie: wanted scatter, bar or/);
});

Deno.test("a figure without traces is an empty frame", () => {
  assert.match(drawFigure(figure([])), /^<svg .*<\/svg>$/s);
});
