/** The page of a training: rows, findings, which figures stand where, nested settings. */
import assert from "node:assert/strict";
import type { StepEvent, TrainingEvent } from "../../lib/report/events.ts";
import { renderPage } from "../../lib/report/page.ts";
import {
  bestValidation,
  findings,
  settingRows,
  stageRows,
  trainingPage,
} from "../../lib/report/training_page.ts";
import { NOWHERE, sampleSteps, sampleValidation } from "./samples.ts";

const TAU = { value: 3.25, low: 3, high: 3.5, emitted: 325, forwards: 100 };
const STAGES: TrainingEvent[][] = [
  [
    ...sampleSteps(3),
    sampleValidation(3, { tau: { ...TAU, value: 4 } }),
    { type: "checkpoint", step: 3, path: "p" },
    sampleValidation(4),
  ],
  sampleSteps(5).slice(0, 2),
];

Deno.test("a row a stage: last numbers, by pass; a dash for what there is not", () => {
  const [heading, first, second] = stageRows(STAGES);
  assert.deepEqual(heading, [
    "stage",
    "updates",
    "loss",
    "val. loss",
    "tau",
    "top-1 %",
    "top-10 %",
    "misaligned %",
    "best at",
    "tokens/s",
  ]);
  const tops = ["50.0 / 25.0", "87.5 / 62.5"];
  assert.deepEqual(first, [1, 3, "1.000", "0.750", "3.25 [3.00, 3.50]", ...tops, "50.0", 3, 1]);
  const trained = ["20.0 / 19.0", "0.0 / 0.0"];
  assert.deepEqual(second, [2, "2/5", "1.000", "-", "-", ...trained, "0.0", "-", 1]);
  assert.deepEqual(stageRows([[]])[1], [1, ...Array(9).fill("-")]);
});

Deno.test("the best validation: the marked one, else the highest tau, else the lowest loss", () => {
  const at = (events: TrainingEvent[]) => bestValidation(events)?.step;
  const plain = (step: number, loss: number) => sampleValidation(step, { loss, tau: undefined });
  assert.equal(at([]), undefined);
  assert.equal(at([plain(1, 3), plain(2, 1), plain(3, 2)]), 2);
  assert.equal(
    at([plain(1, 0), sampleValidation(2), sampleValidation(3, { tau: { ...TAU, value: 4 } })]),
    3,
  );
  assert.equal(
    at([sampleValidation(1, { best: true }), sampleValidation(2, { best: true }), plain(3, 0)]),
    2,
  );
});

Deno.test("findings: a stage in work, a best that is not the last, losses that are none", () => {
  assert.equal(findings([sampleSteps(3)]), "");
  const told = findings(STAGES);
  assert.match(told, /In stage 1 validation was best at update 3, not at its last/);
  assert.match(told, /Stage 2 is at update 2 of 5\./);
  const [step] = sampleSteps(1) as StepEvent[];
  assert.match(findings([[{ ...step, loss: NaN }]]), /1 updates of stage 1 have no finite loss/);
});

Deno.test("sections and their figures; figures without data are left out", () => {
  const page = trainingPage(STAGES, { environment: NOWHERE, settings: { k: 3 } });
  const titles = page.sections.map(({ heading, figures = [] }) => [heading, figures.length]);
  // Health without parameter norm and memory, which these events do not have.
  assert.deepEqual(titles, [["Result", 5], ["Alignment", 2], ["Health", 3], ["Settings", 0]]);
  const [tau] = page.sections[0].figures!;
  const { array, arrayminus } = tau.data[0].error_y as Record<string, number[]>;
  assert.deepEqual([tau.data[0].y, array, arrayminus], [[4, 3.25], [-0.5, 0.25], [1, 0.25]]);
  const bare = trainingPage([sampleSteps(2)], { environment: NOWHERE, settings: {} });
  assert.ok(!bare.sections[0].figures!.some((f) => f.title.startsWith("tau")));
});

Deno.test("settings: inner names after a dot", () => {
  assert.deepEqual(settingRows({ a: 1, b: { c: "x", d: { e: [1, 2] } }, f: null }), [
    ["a", "1"],
    ["b.c", "x"],
    ["b.d.e", "[1,2]"],
    ["f", "null"],
  ]);
});

Deno.test("every table is rectangular, and the page renders, also of a run without events", async () => {
  for (const stages of [STAGES, [[]]]) {
    const page = trainingPage(stages, { environment: NOWHERE, settings: { k: 3 } });
    for (const { heading, table, figures = [] } of page.sections) {
      for (const rows of [table ?? [], ...figures.map((f) => f.table)]) {
        assert.ok(rows.every((row) => row.length === rows[0].length), heading);
      }
    }
    assert.match(await renderPage(page), /GRIFFIN Lab: training of a draft/);
  }
});
