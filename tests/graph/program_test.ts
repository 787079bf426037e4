/**
 * Closing a graph: equal subexpressions computed once, names checked, updates checked, and the printed
 * form. What a run does with updates is tested with the backends.
 */
import assert from "node:assert/strict";
import * as ops from "../../lib/graph/ops.ts";
import { adamw, softmax } from "../../lib/graph/composites.ts";
import type { Node } from "../../lib/graph/node.ts";
import { dependsOn, printProgram, program, topological } from "../../lib/graph/program.ts";
import { evaluator } from "./evaluate.ts";

const count = (order: readonly Node[], op: string) => order.filter((n) => n.op === op).length;

Deno.test("equal subexpressions are computed once, through several levels", () => {
  const x = ops.input("x", [3]), again = ops.input("x", [3]);
  const a = softmax(ops.exp(ops.mul(x, 2))), b = softmax(ops.exp(ops.mul(again, 2)));
  const p = program({ a, b, sum: ops.add(a, b) });
  assert.equal(p.outputs.a, p.outputs.b);
  for (const op of ["input", "fill", "unary", "softmax"]) assert.equal(count(p.order, op), 1, op);
});

Deno.test("what differs in an attribute, type or array is kept apart", () => {
  const x = ops.input("x", [2]), data = Float32Array.of(1, 2);
  const c = (array: Float32Array) => ops.mul(x, ops.constant(array, [2]));
  const p = program({
    exp: ops.exp(x),
    log: ops.log(x),
    same: c(data),
    alike: c(data),
    other: c(Float32Array.of(3, 4)),
    integer: ops.fill(1, [2], "i32"),
    number: ops.fill(1, [2]),
    wide: ops.fill(1, [1, 2]),
  });
  assert.notEqual(p.outputs.exp, p.outputs.log);
  assert.equal(p.outputs.same, p.outputs.alike);
  assert.notEqual(p.outputs.same, p.outputs.other);
  assert.equal(new Set([p.outputs.integer, p.outputs.number, p.outputs.wide]).size, 3);
});

Deno.test("numbers that JSON cannot tell apart are kept apart", async () => {
  const filled = { up: Infinity, down: -Infinity, nan: NaN, zero: 0, minus: -0 };
  const nodes = Object.fromEntries(Object.entries(filled).map(([k, v]) => [k, ops.fill(v)]));
  const found = await (await evaluator(nodes))();
  for (const [name, value] of Object.entries(filled)) assert.ok(Object.is(found[name][0], value));
});

Deno.test("the order lists every node after its inputs, and only what is needed", () => {
  const x = ops.input("x", [3]), y = ops.input("y", [3]);
  ops.mul(x, y);
  const p = program({ out: ops.exp(ops.add(x, 1)) });
  assert.deepEqual(Object.keys(p.inputs), ["x"]);
  p.order.forEach((n, i) => n.inputs.forEach((input) => assert.ok(p.order.indexOf(input) < i)));
});

Deno.test("topological stops where told, and survives depth", () => {
  const x = ops.input("x", []);
  let y: Node = x;
  for (let i = 0; i < 50_000; i++) y = ops.neg(y);
  assert.equal(topological([y]).length, 50_001);
  const middle = ops.neg(x), end = ops.exp(middle);
  assert.deepEqual(topological([end], new Set([middle])), [middle, end]);
});

Deno.test("two inputs of one name are refused", () => {
  const sum = ops.add(ops.input("x", [1, 3]), ops.input("x", [3]));
  assert.throws(() => program({ sum }), {
    message: "Cannot close a program with two different inputs named x",
  });
});

Deno.test("updates of a wrong shape, type or name are refused", () => {
  const x = ops.input("x", [2, 3]);
  assert.throws(() => program({}, { updates: { x: ops.sum(x, [0]) } }), {
    message: "Cannot update x with a value f32 [3]: the input is f32 [2,3]",
  });
  assert.throws(() => program({}, { updates: { x: ops.cast(x, "i32") } }), {
    message: "Cannot update x with a value i32 [2,3]: the input is f32 [2,3]",
  });
  assert.throws(() => program({}, { updates: { y: ops.exp(x) } }), {
    message: "Cannot update y with a value f32 [2,3]: no input has that name",
  });
});

Deno.test("an updated input may be named in outputs too", () => {
  const x = ops.input("x", [2]), next = ops.add(x, 1);
  const p = program({ x, next }, { updates: { x: next } });
  assert.equal(p.updates.x, p.outputs.next);
  assert.equal(p.outputs.x, p.inputs.x);
});

Deno.test("several results of one composite are picked from one node", () => {
  const x = ops.input("x", [2]), schedule = ops.input("schedule", [3]);
  const attrs = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, clip: 0 };
  const state = { parameter: x, gradient: x, first: x, second: x, schedule };
  const p = program({ ...adamw(state, attrs) }), q = program({ again: adamw(state, attrs).first });
  assert.equal(count(p.order, "adamw"), 1);
  assert.equal(count(p.order, "pick"), 3);
  assert.equal(count(q.order, "pick"), 1);
});

Deno.test("dependsOn", () => {
  const x = ops.input("x", [2]), y = ops.input("y", [2]);
  assert.equal(dependsOn(ops.exp(ops.neg(x)), x), true);
  assert.equal(dependsOn(ops.exp(x), y), false);
});

Deno.test("printProgram writes a line a node, then outputs and updates", () => {
  const x = ops.input("x", [2, 3]), c = ops.constant(Int32Array.of(1, 0), [2]);
  const p = program({ rows: ops.gather(x, c) }, { updates: { x: ops.mul(x, 0.5) } });
  assert.equal(
    printProgram(p),
    `%0 = input(name="x")  // f32[2,3]
%1 = constant(data=...)  // i32[2]
%2 = gather(%0, %1)  // f32[2,3]
%3 = fill(value=0.5)  // f32[]
%4 = binary(%0, %3, fn="mul")  // f32[2,3]
output rows = %2
update x = %4`,
  );
});
