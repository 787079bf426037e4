/** Figures as data: traces and tables after rounding, against what a reader should see. */
import assert from "node:assert/strict";
import {
  acceptanceCurves,
  type Figure,
  speedupBars,
  tauBySuite,
  timeBreakdown,
  trainingCurves,
  valuesWithIntervals,
} from "../../lib/report/figures.ts";
import { sampleSteps, sampleSummary } from "./samples.ts";

/** JSON with numbers to three digits: what a snapshot compares. */
function rounded(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, v) => typeof v === "number" ? Math.round(v * 1000) / 1000 : v),
  );
}

const SUITES = [sampleSummary("ours"), sampleSummary("other", { tau: 3, tau_ci: [2, 3.5] })];

/** Name, values of x and y of each trace. */
function traces({ data }: Figure): unknown {
  return rounded(data.map(({ name, x, y }) => ({ name, x, y })));
}

Deno.test("tau by suite: a bar a suite, its interval as distances from it", () => {
  const figure = tauBySuite(SUITES), [bars] = figure.data;
  assert.deepEqual(traces(figure), [{ x: [2.5, 3], y: ["ours", "other"] }]);
  const { array, arrayminus, symmetric } = rounded(bars.error_x) as Record<string, unknown>;
  assert.deepEqual([array, arrayminus, symmetric], [[0.25, 0.5], [0.25, 1], false]);
  assert.deepEqual(figure.table, [
    ["suite", "tau", "low", "high"],
    ["ours", 2.5, 2.25, 2.75],
    ["other", 3, 2, 3.5],
  ]);
});

Deno.test("speedup: bars, and a line where plain decoding stands", () => {
  const figure = speedupBars(SUITES);
  assert.deepEqual(traces(figure), [{ x: [1.5, 1.5], y: ["ours", "other"] }]);
  const [line] = figure.layout.shapes as { x0: number; x1: number; yref: string }[];
  assert.deepEqual([line.x0, line.x1, line.yref], [1, 1, "paper"]);
  assert.deepEqual(figure.table[1], ["ours", 1.5, 1.25, 1.813]);
});

Deno.test("acceptance: a curve a suite, the counts in the table", () => {
  const figure = acceptanceCurves(SUITES);
  assert.deepEqual(traces(figure), [
    { name: "ours", x: [1, 2], y: [0.75, 0.667] },
    { name: "other", x: [1, 2], y: [0.75, 0.667] },
  ]);
  assert.deepEqual(figure.table, [
    ["suite", "depth", "share", "accepted", "reached"],
    ["ours", 1, 0.75, 30, 40],
    ["ours", 2, 0.667, 20, 30],
    ["other", 1, 0.75, 30, 40],
    ["other", 2, 0.667, 20, 30],
  ]);
});

Deno.test("arms: points with intervals in their order, a line at the base's value", () => {
  const rows = [
    { name: "base", value: 2, interval: [1.75, 2.5] as const },
    { name: "other", value: 2.25, interval: [2, 2.375] as const },
  ];
  const figure = valuesWithIntervals(rows, { title: "passes", values: "tau", base: "base" });
  assert.deepEqual(traces(figure), [{ x: [2, 2.25], y: ["base", "other"] }]);
  const { array, arrayminus } = figure.data[0].error_x as Record<string, number[]>;
  assert.deepEqual([array, arrayminus], [[0.5, 0.125], [0.25, 0.25]]);
  const [{ x0, x1 }] = figure.layout.shapes as { x0: number; x1: number }[];
  assert.deepEqual([x0, x1], [2, 2]);
  assert.deepEqual(figure.table, [
    ["arm", "tau", "low", "high"],
    ["base", 2, 1.75, 2.5],
    ["other", 2.25, 2, 2.375],
  ]);
  const without = valuesWithIntervals(rows, { title: "passes", values: "tau" });
  assert.deepEqual(without.layout.shapes, []);
});

Deno.test("time: four parts stacked", () => {
  const figure = timeBreakdown(SUITES.slice(0, 1));
  assert.deepEqual(traces(figure), [
    { name: "draft", x: [6.25], y: ["ours"] },
    { name: "verify", x: [20.123], y: ["ours"] },
    { name: "sampling", x: [0.25], y: ["ours"] },
    { name: "host", x: [0.5], y: ["ours"] },
  ]);
  assert.equal(figure.layout.barmode, "stack");
  assert.deepEqual(figure.table, [
    ["suite", "draft", "verify", "sampling", "host"],
    ["ours", 6.25, 20.123, 0.25, 0.5],
  ]);
});

Deno.test("training: a curve a pass, means of blocks at the block's last update", () => {
  const events = sampleSteps(5);
  events.splice(2, 0, { type: "checkpoint", step: 2, path: "somewhere" });
  const figure = trainingCurves(events, { points: 3 });
  // Blocks of two: updates 1-2, 3-4, 5.
  assert.deepEqual(traces(figure), [
    { name: "pass 1", x: [2, 4, 5], y: [0.15, 0.35, 0.5] },
    { name: "pass 2", x: [2, 4, 5], y: [0.14, 0.34, 0.49] },
  ]);
  assert.deepEqual(figure.table, [
    ["update", "pass 1", "pass 2"],
    [2, 0.15, 0.14],
    [4, 0.35, 0.34],
    [5, 0.5, 0.49],
  ]);
  assert.equal(trainingCurves(sampleSteps(1000)).data[0].x instanceof Array, true);
  assert.equal((trainingCurves(sampleSteps(1000)).data[0].x as number[]).length, 100);
});

const ALL: [string, Figure][] = [
  ["tauBySuite", tauBySuite(SUITES)],
  ["speedupBars", speedupBars(SUITES)],
  ["acceptanceCurves", acceptanceCurves(SUITES)],
  ["timeBreakdown", timeBreakdown(SUITES)],
  [
    "valuesWithIntervals",
    valuesWithIntervals([{ name: "a", value: 1, interval: [0, 2] }], { title: "x", values: "tau" }),
  ],
  ["trainingCurves", trainingCurves(sampleSteps(3))],
];

for (const [name, { title, data, layout, table }] of ALL) {
  Deno.test(`${name} is complete: title, JSON, a table with a heading and numbers`, () => {
    assert.ok(title.length > 0);
    assert.deepEqual(JSON.parse(JSON.stringify({ data, layout })), { data, layout });
    const [heading, ...rows] = table;
    assert.ok(heading.every((cell) => typeof cell === "string" && cell !== ""));
    assert.ok(rows.length > 0);
    for (const row of rows) {
      assert.equal(row.length, heading.length);
      assert.ok(row.slice(1).every((cell) => Number.isFinite(cell)), `${name}: ${row}`);
    }
    // Neither a light nor a dark page is painted over.
    assert.equal(layout.paper_bgcolor, "rgba(0,0,0,0)");
    assert.equal(layout.plot_bgcolor, "rgba(0,0,0,0)");
  });
}
