/** A program as steps: what is expanded, what is kept, where results stand. */
import assert from "node:assert/strict";
import { adamw, rmsNorm, softmax } from "../../lib/graph/composites.ts";
import { flatten } from "../../lib/graph/flatten.ts";
import { input } from "../../lib/graph/ops.ts";
import { program } from "../../lib/graph/program.ts";

const x = input("x", [2, 3]), w = input("w", [3]);

Deno.test("steps are primitives, each after its inputs", () => {
  const p = program({ y: softmax(rmsNorm(x, w, { epsilon: 1e-5 })) });
  const { steps, results } = flatten(p), seen = new Set<unknown>();
  assert.ok(!steps.some(({ op }) => ["softmax", "rmsNorm"].includes(op)));
  for (const step of steps) {
    for (const from of step.inputs) {
      assert.ok(results.get(from)!.every((part) => seen.has(part.step)), `${step.op} too early`);
    }
    seen.add(step);
  }
  assert.equal(results.get(p.outputs.y)![0].step.op, "binary", "softmax ends with a division");
});

Deno.test("a composite that the backend computes stays one step, its parts are told apart", () => {
  const state = { parameter: x, gradient: x, first: x, second: x };
  const step = adamw({ ...state, schedule: input("s", [3]) }, {
    ...{ beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weightDecay: 0, clip: 0 },
  });
  const p = program({ m: step.first, v: step.second });
  const { steps, results } = flatten(p, { keep: ({ op }) => op === "adamw" });
  assert.deepEqual(steps.map(({ op }) => op).sort(), ["adamw", "input", "input"]);
  assert.deepEqual([p.outputs.m, p.outputs.v].map((n) => results.get(n)![0].index), [1, 2]);
});
