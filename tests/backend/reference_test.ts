/**
 * The definition against hand values: each primitive, and what a run does with tensors and updates. All
 * other backends are tested against this one (`agreement_test.ts`).
 */
import assert from "node:assert/strict";
import * as ops from "../../lib/graph/ops.ts";
import { adamw, crossEntropy, rmsNorm, silu } from "../../lib/graph/composites.ts";
import { gradients } from "../../lib/graph/gradients.ts";
import type { HostArray, Node, Shape } from "../../lib/graph/node.ts";
import { program } from "../../lib/graph/program.ts";
import { zeros } from "../../lib/backend/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { integers, valueOf, values } from "../graph/evaluate.ts";

const f32 = (shape: Shape, ...v: number[]) => ops.constant(Float32Array.from(v), shape);
const i32 = (shape: Shape, ...v: number[]) => ops.constant(Int32Array.from(v), shape);
const a = f32([2, 3], 1, 2, 3, 4, 5, 6), row = f32([3], 10, 20, 30), column = f32([2, 1], -1, 1);

const definitions: [string, () => Node, number[]][] = [
  ["fill", () => ops.fill(2.5, [2]), [2.5, 2.5]],
  ["neg, abs, sign", () => ops.concat([ops.neg(column), ops.abs(column), ops.sign(column)], 0), [
    1,
    -1,
    1,
    1,
    -1,
    1,
  ]],
  ["exp", () => ops.exp(column), [1 / Math.E, Math.E]],
  ["log", () => ops.log(f32([1], 8)), [Math.log(8)]],
  ["sqrt", () => ops.sqrt(f32([1], 9)), [3]],
  ["reciprocal", () => ops.reciprocal(f32([1], 4)), [0.25]],
  ["sigmoid", () => ops.sigmoid(f32([3], 0, 800, -800)), [0.5, 1, 0]],
  ["tanh", () => ops.tanh(f32([1], 0.5)), [Math.tanh(0.5)]],
  ["add, row repeated", () => ops.add(a, row), [11, 22, 33, 14, 25, 36]],
  ["sub, column and row", () => ops.sub(column, row), [-11, -21, -31, -9, -19, -29]],
  ["mul by a number", () => ops.mul(row, 0.5), [5, 10, 15]],
  ["div", () => ops.div(1, f32([2], 4, -0.5)), [0.25, -2]],
  ["max, min", () => ops.max(ops.min(a, 4), 2), [2, 2, 3, 4, 4, 4]],
  ["integer division", () => ops.div(i32([2], 7, -7), 2), [3, -3]],
  ["compare", () => ops.compare("le", a, f32([2, 1], 2, 4)), [1, 1, 0, 1, 0, 0]],
  ["where", () => ops.where(ops.compare("gt", column, 0), row, a), [1, 2, 3, 10, 20, 30]],
  ["cast truncates", () => ops.cast(f32([4], 1.9, -1.9, 0.5, -3), "i32"), [1, -1, 0, -3]],
  ["cast to bool", () => ops.cast(f32([3], 0.2, 0, -4), "bool"), [1, 0, 1]],
  ["detach", () => ops.detach(column), [-1, 1]],
  ["sum of rows", () => ops.sum(a, [1]), [6, 15]],
  ["mean of columns", () => ops.reduce("mean", a, { axes: [0], keep: true }), [2.5, 3.5, 4.5]],
  ["maximum", () => ops.reduce("max", ops.neg(a), { axes: [0, 1] }), [-1]],
  ["reshape", () => ops.reshape(a, [3, 2]), [1, 2, 3, 4, 5, 6]],
  ["transpose", () => ops.transpose(a, [1, 0]), [1, 4, 2, 5, 3, 6]],
  ["broadcast", () => ops.broadcast(column, [2, 2, 2]), [-1, -1, 1, 1, -1, -1, 1, 1]],
  ["slice", () => ops.slice(a, [1, 1], [2, 3]), [5, 6]],
  ["pad", () => ops.pad(column, [1, 0], [0, 1]), [0, 0, -1, 0, 1, 0]],
  ["concat", () => ops.concat([a, column], 1), [1, 2, 3, -1, 4, 5, 6, 1]],
  ["matmul", () => ops.matmul(a, ops.reshape(row, [3, 1]), { alpha: 0.1 }), [14, 32]],
  ["matmul, right turned", () => ops.matmul(a, a, { transB: true }), [14, 32, 32, 77]],
  ["matmul, left turned", () => ops.matmul(column, a, { transA: true }), [3, 3, 3]],
  [
    "matmul of a batch",
    () => ops.matmul(f32([2, 1, 2], 1, 2, 3, 4), f32([2, 2, 1], 1, 1, 10, 100)),
    [3, 430],
  ],
  ["gather", () => ops.gather(a, i32([3], 1, 0, 1)), [4, 5, 6, 1, 2, 3, 4, 5, 6]],
  ["takeAlong the last axis", () => ops.takeAlong(a, i32([2, 2], 2, 0, 1, 1)), [3, 1, 5, 5]],
  ["takeAlong the first axis", () => ops.takeAlong(a, i32([1, 3], 1, 0, 1), 0), [4, 2, 6]],
  ["scatterAdd", () => ops.scatterAdd(i32([2], 2, 2), a, 3), [0, 0, 0, 0, 0, 0, 5, 7, 9]],
  ["topK, ties by lowest index", () => ops.topK(f32([2, 4], 1, 3, 3, 2, 5, 5, 5, 5), 3), [
    ...[1, 2, 3],
    ...[0, 1, 2],
  ]],
];

for (const [name, build, wanted] of definitions) {
  Deno.test(`${name} by hand`, async () => {
    const found = await valueOf(build());
    assert.equal(found.length, wanted.length);
    found.forEach((v, i) =>
      assert.ok(Math.abs(v - wanted[i]) <= 1e-7 * Math.abs(wanted[i]), `${found}, wanted ${wanted}`)
    );
  });
}

Deno.test("values are not rounded to float32 inside a program", async () => {
  const x = ops.input("x", [1]), tiny = Float64Array.of(1e-12);
  assert.deepEqual(await valueOf(ops.sub(ops.add(x, 1), 1), { x: tiny }), [1 + 1e-12 - 1]);
});

for (const id of [-1, 3]) {
  Deno.test(`a row ${id} that is not there is refused`, async () => {
    const table = f32([3, 1], 1, 2, 3), at = i32([1], id);
    const refused = (action: string) => ({
      message: `Cannot ${action} row ${id}: wanted 0 to 2, there are 3 rows`,
    });
    await assert.rejects(valueOf(ops.gather(table, at)), refused("gather"));
    await assert.rejects(valueOf(ops.takeAlong(row, at)), refused("take"));
    await assert.rejects(valueOf(ops.scatterAdd(at, f32([1], 1), 3)), refused("add to"));
  });
}

Deno.test("results come out in the array of their type", async () => {
  const backend = referenceBackend(), x = ops.input("x", [2]);
  const run = await backend.compile(program({
    number: ops.mul(x, 1 / 3),
    integer: ops.cast(x, "i32"),
    flag: ops.compare("gt", x, 0),
    byte: ops.cast(x, "u8"),
  }));
  const found = await run.run({ x: backend.tensor(Float32Array.of(1.5, -2), [2]) });
  const read = async (name: string) => await found[name].read();
  assert.deepEqual(await read("number"), Float32Array.of(0.5, -2 / 3));
  assert.equal(found.number.exact[1], -2 * (1 / 3));
  assert.deepEqual(await read("integer"), Int32Array.of(1, -2));
  assert.deepEqual(await read("flag"), Uint8Array.of(1, 0));
  assert.deepEqual(await read("byte"), Uint8Array.of(1, 254));
  assert.deepEqual(Object.values(found).map((t) => t.dtype), ["f32", "i32", "bool", "u8"]);
});

Deno.test("updates are written to the host's own array, after all outputs were computed", async () => {
  const backend = referenceBackend(), x = ops.input("x", [2]), y = ops.input("y", [2]);
  const swap = program({ x, seen: ops.add(x, y) }, { updates: { x: y, y: ops.reshape(x, [2]) } });
  const run = await backend.compile(swap), mine = Float32Array.of(1, 2);
  const tensors = {
    x: backend.tensor(mine, [2]),
    y: backend.exact(Float64Array.of(0.1, 0.2), [2]),
  };
  const found = await run.run(tensors);
  assert.deepEqual(mine, Float32Array.of(0.1, 0.2));
  assert.deepEqual(tensors.x.host, mine);
  assert.deepEqual(tensors.y.exact, Float64Array.of(1, 2));
  assert.deepEqual(tensors.y.host, Float32Array.of(1, 2));
  assert.deepEqual(found.x.exact, Float64Array.of(1, 2));
  mine[0] = 7; // live: the next run sees it
  assert.equal((await run.run(tensors)).seen.exact[0], 8);
});

Deno.test("exact tensors change places", async () => {
  const backend = referenceBackend(), x = ops.input("x", [1]), y = ops.input("y", [1]);
  const run = await backend.compile(program({ x }, { updates: { x: y, y: x } }));
  const tensors = {
    x: backend.exact(Float64Array.of(1), [1]),
    y: backend.exact(Float64Array.of(2), [1]),
  };
  const found = await run.run(tensors);
  assert.deepEqual([...tensors.x.exact, ...tensors.y.exact, ...found.x.exact], [2, 1, 1]);
});

Deno.test("exact tensors keep float64 from run to run", async () => {
  const backend = referenceBackend(), x = ops.input("x", [1]);
  const run = await backend.compile(program({}, { updates: { x: ops.add(x, 1e-12) } }));
  const exact = backend.exact(Float64Array.of(1), [1]);
  const rounded = backend.tensor(Float32Array.of(1), [1]);
  for (let i = 0; i < 3; i++) {
    await run.run({ x: exact });
    await run.run({ x: rounded });
  }
  assert.equal(exact.exact[0], 1 + 1e-12 + 1e-12 + 1e-12);
  assert.equal(rounded.exact[0], 1);
});

Deno.test("weights are bound at compilation and may not be updated", async () => {
  const backend = referenceBackend(), x = ops.input("x", [2]), w = ops.input("w", [2]);
  const weights = { w: backend.tensor(Float32Array.of(2, 3), [2]), unused: zeros(backend, [9]) };
  const run = await backend.compile(program({ y: ops.mul(x, w) }), { weights });
  const { y } = await run.run({ x: backend.tensor(Float32Array.of(5, 7), [2]) });
  assert.deepEqual(y.exact, Float64Array.of(10, 21));
  await assert.rejects(
    backend.compile(program({}, { updates: { w: ops.mul(x, w) } }), { weights }),
    { message: "Cannot update w: it is bound as a weight" },
  );
});

Deno.test("wrong inputs are named", async () => {
  const backend = referenceBackend(), x = ops.input("x", [2]);
  const run = await backend.compile(program({ y: ops.exp(x) }));
  const refused = async (tensor: HostArray | undefined, shape: Shape, message: string) => {
    const inputs = tensor === undefined ? {} : { x: backend.tensor(tensor, shape) };
    await assert.rejects(run.run(inputs as never), { message });
  };
  await refused(undefined, [], "Cannot run: input x is missing");
  await refused(new Float32Array(3), [3], "Cannot run: input x is f32 [3], wanted f32 [2]");
  await refused(new Int32Array(2), [2], "Cannot run: input x is i32 [2], wanted f32 [2]");
  assert.throws(() => backend.tensor(new Float32Array(3), [2]), {
    message: "Cannot make a tensor [2] of 3 values: wanted 2",
  });
  const gone = backend.tensor(new Float32Array(2), [2]);
  gone[Symbol.dispose]();
  await assert.rejects(run.run({ x: gone }), {
    message: "Cannot use a tensor [2]: it was disposed",
  });
  const foreign = { shape: [2], dtype: "f32" as const, host: undefined } as never;
  await assert.rejects(run.run({ x: foreign }), {
    message: "Cannot run: input x is a tensor of another backend, wanted reference",
  });
});

Deno.test("learns: five steps of a small network with its gradients and AdamW as one Program", async () => {
  const backend = referenceBackend(), b = 96, d = 64, vocabulary = 160;
  const shapes: Record<string, Shape> = {
    up: [2 * d, d],
    down: [d, 2 * d],
    norm: [d],
    head: [vocabulary, d],
  };
  const p = Object.fromEntries(Object.entries(shapes).map(([k, s]) => [k, ops.input(k, s)]));
  const x = ops.input("x", [b, d]), target = ops.input("target", [b, vocabulary]);
  const schedule = ops.input("schedule", [3]);
  let h: Node = x;
  for (let pass = 0; pass < 4; pass++) {
    const u = ops.matmul(rmsNorm(h, p.norm, { epsilon: 1e-5 }), p.up, { transB: true });
    h = ops.add(h, ops.matmul(silu(u), p.down, { transB: true }));
  }
  const loss = ops.reduce("mean", crossEntropy(ops.matmul(h, p.head, { transB: true }), target), {
    axes: [0],
  });
  const slopes = gradients(loss, Object.values(p)), updates: Record<string, Node> = {};
  Object.entries(p).forEach(([name, parameter], i) => {
    const first = ops.input(`${name}.m`, parameter.shape);
    const second = ops.input(`${name}.v`, parameter.shape);
    const step = adamw({ parameter, gradient: slopes[i], first, second, schedule }, {
      ...{ beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clip: 0.5 },
    });
    updates[name] = step.parameter;
    updates[`${name}.m`] = step.first;
    updates[`${name}.v`] = step.second;
  });
  const run = await backend.compile(program({ loss }, { updates }));
  const state = Object.fromEntries(
    Object.entries(shapes).flatMap(([name, s]) => {
      const start = Float32Array.from(values(s, name), (v) => name === "norm" ? 1 : 0.1 * v);
      return [
        [name, backend.tensor(start, s)],
        [`${name}.m`, zeros(backend, s)],
        [`${name}.v`, zeros(backend, s)],
      ];
    }),
  );
  const labels = integers([b], "labels", { below: vocabulary });
  const hot = new Float32Array(b * vocabulary);
  labels.forEach((label, i) => hot[i * vocabulary + label] = 1);
  const losses: number[] = [];
  for (let t = 1; t <= 5; t++) {
    const found = await run.run({
      ...state,
      x: backend.tensor(Float32Array.from(values([b, d], "x")), [b, d]),
      target: backend.tensor(hot, [b, vocabulary]),
      schedule: backend.tensor(Float32Array.of(0.01, 1 - 0.9 ** t, 1 - 0.95 ** t), [3]),
    });
    losses.push(found.loss.exact[0]);
  }
  losses.slice(1).forEach((v, i) => assert.ok(v < losses[i], `losses ${losses}`));
  assert.ok(losses[4] < 0.5 * losses[0], `losses ${losses}`);
});
