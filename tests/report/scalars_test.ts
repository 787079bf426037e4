/** Events as named numbers: which tags, and what is left out. */
import assert from "node:assert/strict";
import type { StepEvent } from "../../lib/report/events.ts";
import { scalarsOf } from "../../lib/report/scalars.ts";
import { sampleSteps, sampleValidation } from "./samples.ts";

const tags = (...args: Parameters<typeof scalarsOf>) =>
  Object.fromEntries(scalarsOf(...args).map(({ tag, value }) => [tag, value]));

Deno.test("an update: its numbers, and those of each pass", () => {
  const [step] = sampleSteps(1) as StepEvent[];
  const found = tags({ ...step, learningRate: 0.5, memoryMegabytes: 800 }, {
    stage: 2,
  });
  assert.equal(Object.keys(found).length, 7 + 2 * 8);
  assert.equal(found.loss, 1);
  assert.equal(found.learning_rate, 0.5);
  assert.equal(found.memory_megabytes, 800);
  assert.equal(found.stage, 2);
  assert.equal(found["pass1/top1"], 0.1);
  assert.equal(found["pass2/top1"], 1 / 10 - 1 / 100);
  assert.equal(found["pass2/kept"], 1);
});

Deno.test("a validation: its own group, tau with its interval", () => {
  const found = tags(sampleValidation(5));
  assert.equal(Object.keys(found).length, 4 + 2 * 8);
  assert.ok(Object.keys(found).every((tag) => tag.startsWith("validation/")));
  assert.equal(found["validation/tau"], 3.25);
  assert.equal(found["validation/tau_low"], 3);
  assert.equal(found["validation/pass2/top10"], 0.625);
});

Deno.test("what an event does not have is left out; NaN is not; a checkpoint has no numbers", () => {
  const [step] = sampleSteps(1) as StepEvent[];
  const found = tags({ ...step, loss: NaN, gradientNorm: null as unknown as number });
  assert.ok(Number.isNaN(found.loss));
  for (const tag of ["gradient_norm", "memory_megabytes", "stage"]) {
    assert.ok(!(tag in found), tag);
  }
  assert.ok(!("validation/tau" in tags(sampleValidation(5, { tau: undefined }))));
  assert.deepEqual(scalarsOf({ type: "checkpoint", step: 1, path: "p" }), []);
});
