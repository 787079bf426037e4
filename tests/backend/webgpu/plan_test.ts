/** Order and memory of a lowered program: states in place, optimiser steps last, temporaries share blocks. */
import assert from "node:assert/strict";
import { lower } from "../../../lib/backend/webgpu/lower.ts";
import { isCopy, plan } from "../../../lib/backend/webgpu/plan.ts";
import { adamw, softmax } from "../../../lib/graph/composites.ts";
import { keepRows } from "../../../lib/graph/keep_rows.ts";
import type { Node } from "../../../lib/graph/node.ts";
import * as ops from "../../../lib/graph/ops.ts";
import { type Program, program } from "../../../lib/graph/program.ts";

const planOf = (p: Program) => plan(lower(p, { bindings: 8 }));
const names = (p: Program) => planOf(p).operations.map((o) => isCopy(o) ? "copy" : o.name);

function trained({ late }: { late: boolean }): Program {
  const p = ops.input("p", [16, 16]), m = ops.input("m", [16, 16]), v = ops.input("v", [16, 16]);
  const gradient = ops.matmul(p, p), schedule = ops.input("s", [3]);
  const step = adamw({ parameter: p, gradient, first: m, second: v, schedule }, {
    ...{ beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weightDecay: 0.1, clip: 0.5 },
  });
  const outputs: Record<string, Node> = late
    // Wants the old parameter and the new moment: the moment comes first, so the old one must be kept.
    ? { both: ops.matmul(p, step.first) }
    : { product: ops.matmul(p, softmax(gradient)) };
  return program(outputs, { updates: { p: step.parameter, m: step.first, v: step.second } });
}

Deno.test("an optimiser step runs last and in place, whoever reads the old parameter", () => {
  const order = names(trained({ late: false }));
  assert.equal(order.at(-1), "adamw");
  assert.ok(!order.includes("copy"), order.join());
  assert.equal(planOf(trained({ late: false })).aliases.size, 3);
});

Deno.test("a state that is still wanted is changed in a copy and copied back", () => {
  const { operations, aliases } = planOf(trained({ late: true }));
  assert.equal(aliases.size, 2, "the moments stay in place");
  assert.equal(operations.filter(isCopy).length, 2);
});

Deno.test("states that change places go through memory of their own", () => {
  const a = ops.input("a", [4]), b = ops.input("b", [4]);
  const order = names(program({}, { updates: { a: b, b: a } }));
  assert.deepEqual(order, ["pointwise", "pointwise", "copy", "copy"]);
});

Deno.test("a state changed several times in a run stays in place, unless an old value is wanted", () => {
  const cache = ops.input("cache", [8, 4]), from = ops.input("from", [1], "i32");
  const offsets = ops.input("offsets", [2], "i32");
  const once = keepRows(cache, { from, offsets });
  const twice = keepRows(once, { from: ops.add(from, 1), offsets });
  const { operations, aliases } = planOf(program({}, { updates: { cache: twice } }));
  assert.equal(aliases.size, 2);
  assert.equal(operations.filter(isCopy).length, 0);
  const both = planOf(program({ both: ops.mul(once, twice) }, { updates: { cache: twice } }));
  assert.ok(both.operations.some(isCopy), "the first value is read beside the second");
  const early = planOf(program({ once }, { updates: { cache: twice } }));
  assert.ok(!early.operations.some(isCopy), "the first value is given out before the second");
});

Deno.test("temporaries that do not live together share a block", () => {
  let x = ops.input("x", [64, 64]);
  for (let i = 0; i < 6; i++) x = ops.matmul(x, x);
  const { blocks } = planOf(program({ x }));
  assert.equal(blocks.length, 2, "each product reads one and writes another");
});

Deno.test("more operands than a shader binds are gathered in steps", () => {
  const xs = Array.from({ length: 40 }, (_, i) => ops.input(`x${i}`, [3, 2]));
  const lowered = lower(program({ y: ops.concat(xs, 0) }), { bindings: 8 });
  assert.ok(lowered.dispatches.length > 1);
  for (const { bindings } of lowered.dispatches) assert.ok(bindings.length <= 8);
  const sum = xs.reduce((a, b) => ops.add(a, b));
  for (const { bindings } of lower(program({ sum }), { bindings: 8 }).dispatches) {
    assert.ok(bindings.length <= 8);
  }
});
