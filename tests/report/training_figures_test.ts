/** Curves over stages: bins, gaps, marks, ranges, and what an empty run gives. */
import assert from "node:assert/strict";
import type { StepEvent, ValidationEvent } from "../../lib/report/events.ts";
import {
  offsetsOf,
  pointsOf,
  quantile,
  trainingFigure,
} from "../../lib/report/training_figures.ts";
import { sampleSteps, sampleValidation } from "./samples.ts";

/** Updates whose loss is what `loss` says of their number. */
const steps = (count: number, loss: (n: number) => number) =>
  (sampleSteps(count) as StepEvent[]).map((e) => ({ ...e, loss: loss(e.step) }));
const LOSS = { name: "loss", value: (e: StepEvent) => e.loss };
const CHECK = { name: "loss", value: (e: ValidationEvent) => e.loss };
const TEXT = { title: "t", y: "y" };

Deno.test("quantiles lie between neighbours, in whatever order values come", () => {
  assert.equal(quantile([3, 1, 2], 0.5), 2);
  assert.equal(quantile([4, 1, 2, 3], 0.5), 2.5);
  assert.equal(quantile([0, 10], 0.1), 1);
  assert.equal(quantile([7], 0.9), 7);
});

Deno.test("the count of updates goes on from stage to stage, over an empty one too", () => {
  assert.deepEqual(offsetsOf([sampleSteps(5), [], sampleSteps(3)]), [0, 5, 5, 8]);
});

Deno.test("a bin is its median at its middle update; one outlier does not move it", () => {
  const stage = steps(6, (n) => n === 2 ? 1000 : n);
  const [points] = pointsOf([stage], { value: LOSS.value, offsets: [0], size: 3 });
  assert.deepEqual(points.map(({ x, y }) => [x, y]), [[2, 3], [5, 5]]);
  assert.ok(points[0].low < 3 && points[0].high > 700);
});

Deno.test("values that there are not, or not finite, take no part", () => {
  const stage = steps(4, (n) => n === 2 ? NaN : n === 3 ? null as unknown as number : n);
  const [points] = pointsOf([stage], { value: LOSS.value, offsets: [10], size: 1 });
  assert.deepEqual(points.map(({ x, y }) => [x, y]), [[11, 1], [14, 4]]);
});

Deno.test("stages: a gap between them, a dotted line and a name where each begins", () => {
  const stages = [[...steps(2, () => 1), sampleValidation(2)], steps(2, () => 3)];
  const { data, layout, table } = trainingFigure(stages, {
    ...TEXT,
    training: [LOSS],
    validation: [CHECK],
  });
  assert.deepEqual(data.map(({ x, y }) => [x, y]), [
    [[1, 2, null, 3, 4], [1, 1, null, 3, 3]],
    [[2], [0.75]],
  ]);
  assert.deepEqual((layout.shapes as { x0: number }[]).map((s) => s.x0), [2]);
  assert.deepEqual(
    (layout.annotations as { x: number; text: string }[]).map((a) => [a.x, a.text]),
    [[0, "stage 1"], [2, "stage 2"]],
  );
  assert.deepEqual((layout.xaxis as { range: number[] }).range, [0, 4]);
  assert.deepEqual(table.slice(-3), [
    ["loss", 2, 3, 3, 3, 3],
    ["loss", 2, 4, 3, 3, 3],
    ["loss, validation", 1, 2, 0.75, 0.75, 0.75],
  ]);
});

Deno.test("a long series has as many points as asked for, and a band of its bins", () => {
  const { data } = trainingFigure([steps(1000, (n) => n % 10)], {
    ...TEXT,
    training: [LOSS],
    band: true,
    points: 50,
  });
  const [band, line] = data as { x: number[]; y: number[] }[];
  assert.equal(line.x.length, 50);
  assert.ok(line.y.every((y) => y === 4.5));
  assert.equal(band.x.length, 100);
  assert.deepEqual([Math.max(...band.y), Math.min(...band.y)].map(Math.round), [8, 1]);
  assert.equal(
    trainingFigure([steps(10, (n) => n)], { ...TEXT, training: [LOSS], band: true }).data.length,
    1,
  );
});

Deno.test("focus: a first update far off does not set the range", () => {
  const { layout } = trainingFigure([steps(100, (n) => n === 1 ? 1000 : 2 + n / 100)], {
    ...TEXT,
    training: [LOSS],
    focus: true,
  });
  const [low, high] = (layout.yaxis as { range: [number, number] }).range;
  assert.ok(low > 1.8 && low < 2.1 && high > 2.9 && high < 3.2, `${low} ${high}`);
});

Deno.test("without values there are no traces", () => {
  const training = [{ name: "memory", value: (e: StepEvent) => e.memoryMegabytes }];
  for (const stages of [[], [[]], [sampleSteps(3)]]) {
    assert.deepEqual(trainingFigure(stages, { ...TEXT, training, focus: true }).data, []);
  }
});
