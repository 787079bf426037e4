/**
 * Every row of the gradient table against central differences in float64, at shapes that broadcast. A case
 * for each op is required by the type of `cases`: an op without one does not compile.
 */
import assert from "node:assert/strict";
import * as ops from "../../lib/graph/ops.ts";
import {
  adamw,
  argmaxRows,
  crossEntropy,
  expand,
  halfMatmul,
  isComposite,
  logSoftmax,
  quantizedMatmul,
  rmsNorm,
  rope,
  sampleRows,
  silu,
  smoothL1,
  softmax,
  treeAttention,
} from "../../lib/graph/composites.ts";
import { expertMix } from "../../lib/graph/expert_mix.ts";
import { gradients } from "../../lib/graph/gradients.ts";
import { keepRows } from "../../lib/graph/keep_rows.ts";
import {
  type BinaryFn,
  isOp,
  type Node,
  type OpName,
  type Shape,
  sizeOf,
  type UnaryFn,
} from "../../lib/graph/node.ts";
import { toHalf } from "../../lib/io/float16.ts";
import { assertClose } from "../tolerance.ts";
import { evaluator, integers, values } from "./evaluate.ts";

/** A function of inputs of these shapes whose gradient is checked with respect to each of them. */
interface Case {
  shapes: Shape[];
  build: (...xs: Node[]) => Node;
  positive?: boolean;
}
/** "refused": no gradient, asking is an error. "no inputs": nothing to differentiate. */
type Cases = Case[] | "refused" | "no inputs" | "own test";

const fixed = (shape: Shape, name: string) =>
  ops.constant(Float32Array.from(values(shape, name)), shape);
const ids = (shape: Shape, below: number) =>
  ops.constant(integers(shape, `ids ${shape}`, { below }), shape);
const one = (shape: Shape, build: (x: Node) => Node): Case => ({ shapes: [shape], build });

const unaryCases: Record<UnaryFn, Case> = {
  neg: one([3, 1, 5], ops.neg),
  exp: one([7], ops.exp),
  log: { ...one([3, 5], ops.log), positive: true },
  sqrt: { ...one([3, 5], ops.sqrt), positive: true },
  reciprocal: one([3, 5], ops.reciprocal),
  sigmoid: one([3, 5], ops.sigmoid),
  tanh: one([3, 5], ops.tanh),
  abs: one([3, 5], ops.abs),
  sign: one([3, 5], (x) => ops.mul(x, ops.sign(x))),
};
const BROADCASTS: [Shape, Shape][] = [[[3, 5], [3, 5]], [[2, 1, 5], [3, 1]], [[], [2, 3]], [
  [4, 3, 2],
  [2],
]];
const binaryFns: Record<BinaryFn, (a: Node, b: Node) => Node> = {
  add: ops.add,
  sub: ops.sub,
  mul: ops.mul,
  div: ops.div,
  max: ops.max,
  min: ops.min,
};
const matmulCases = [[], [2], [2, 3]].flatMap((lead) =>
  [[false, false], [true, false], [false, true], [true, true]].map(([transA, transB]): Case => ({
    shapes: [
      [...lead, ...(transA ? [5, 3] : [3, 5])],
      [...lead, ...(transB ? [2, 5] : [5, 2])],
    ],
    build: (a, b) => ops.matmul(a, b, { transA, transB, alpha: 0.7 }),
  }))
);

/** Numbers stored in f16, as part of the graph. */
const stored = (shape: Shape) =>
  ops.constant(toHalf(Float32Array.from(values(shape, "stored"))), shape);

const cases: { [O in OpName]: Cases } = {
  input: [one([3], (x) => x)],
  constant: "no inputs",
  fill: "no inputs",
  unary: Object.values(unaryCases),
  binary: Object.values(binaryFns).flatMap((build) =>
    BROADCASTS.map((shapes): Case => ({ shapes, build }))
  ),
  compare: [{
    shapes: [[2, 1, 5], [3, 1]],
    build: (a, b) => ops.mul(a, ops.cast(ops.compare("gt", a, b), "f32")),
  }],
  where: [[[3, 1], [2, 1, 5], [3, 1]], [[2, 1], [], [2, 3]], [[2, 3, 1], [3, 5], [5]]].map(
    ([choice, a, b]): Case => ({
      shapes: [a, b],
      build: (x, y) => ops.where(ops.compare("lt", fixed(choice, "choice"), 0), x, y),
    }),
  ),
  cast: [one([3, 5], (x) => ops.mul(x, ops.cast(ops.cast(x, "i32"), "f32")))],
  detach: "own test",
  reduce: (["sum", "mean", "max"] as const).flatMap((fn) =>
    [[0], [-1], [0, 2], [0, 1, 2]].flatMap((axes) =>
      [true, false].map((keep) => one([2, 3, 5], (x) => ops.reduce(fn, x, { axes, keep })))
    )
  ),
  reshape: [one([2, 3, 5], (x) => ops.reshape(x, [5, -1])), one([1], (x) => ops.reshape(x, []))],
  transpose: [one([2, 3, 5], (x) => ops.transpose(x, [2, 0, 1]))],
  broadcast: [
    one([1, 3, 1], (x) => ops.broadcast(x, [2, 3, 5])),
    one([3, 1], (x) => ops.broadcast(x, [2, 3, 5])),
    one([], (x) => ops.broadcast(x, [2, 1])),
  ],
  slice: [one([4, 3, 5], (x) => ops.slice(x, [1, 0, 2], [3, 3, 5]))],
  pad: [one([2, 3], (x) => ops.pad(x, [1, 0], [0, 4]))],
  concat: [0, 1, -1].map((axis): Case => ({
    shapes: [[2, 2, 2], [2, 2, 2], [2, 2, 2]],
    build: (a, b, c) => ops.concat([a, b, a, c], axis),
  })),
  matmul: [
    ...matmulCases,
    one([3, 3], (x) => ops.matmul(x, x, { transB: true })), // both sides the same value
  ],
  gather: [
    one([4, 3], (x) => ops.gather(x, ids([2, 5], 4))),
    one([4, 3, 2], (x) => ops.gather(x, ids([3], 4))),
  ],
  takeAlong: "refused",
  scatterAdd: "refused",
  topK: [{
    shapes: [[5, 2], [3, 5]],
    build: (table, x) => ops.gather(table, ops.topK(x, 2)),
  }],
  pick: "own test",
  softmax: [one([2, 3, 5], softmax), one([1], softmax)],
  logSoftmax: [one([2, 3, 5], logSoftmax)],
  silu: [one([3, 5], silu)],
  rmsNorm: [
    { shapes: [[2, 3, 5], [5]], build: (x, w) => rmsNorm(x, w, { epsilon: 1e-2 }) },
    { shapes: [[3, 1], [1]], build: (x, w) => rmsNorm(x, w, { epsilon: 0.5 }) },
  ],
  rope: [
    one([2, 3, 4], (x) => rope(x, fixed([3, 2], "cos"), fixed([3, 2], "sin"))),
    one([2, 3, 4], (x) => rope(x, fixed([2, 1, 2], "cos"), fixed([2, 1, 2], "sin"))),
  ],
  smoothL1: [{ shapes: [[4, 5], [4, 5]], build: smoothL1 }],
  crossEntropy: [
    one([2, 3, 5], (x) => crossEntropy(x, fixed([2, 3, 5], "p"))),
    one([5], (x) => crossEntropy(x, fixed([5], "p"))),
  ],
  quantizedMatmul: "refused",
  halfMatmul: [
    one([3, 5], (x) => halfMatmul(x, stored([2, 5]))),
    one([3, 5], (x) => halfMatmul(x, stored([5, 4]), { transB: false })),
  ],
  treeAttention: "refused",
  keepRows: "refused",
  streamAttention: "own test",
  streamAttentionGradient: "own test",
  argmaxRows: [one([3, 5], argmaxRows)],
  sampleRows: [{ shapes: [[3, 5], [3]], build: sampleRows, positive: true }],
  expertMix: "refused",
  adamw: "refused",
};

/** The loss sum(build(xs) * weights), its inputs and their names. */
function lossOf({ shapes, build }: Case): { xs: Node[]; y: Node; loss: Node } {
  const xs = shapes.map((s, i) => ops.input(`x${i}`, s)), y = build(...xs);
  return { xs, y, loss: ops.sum(ops.mul(ops.cast(y, "f32"), fixed(y.shape, "weights"))) };
}

function pointOf({ shapes, positive = false }: Case): Record<string, Float64Array> {
  return Object.fromEntries(shapes.map((s, i) => [`x${i}`, values(s, `point ${i}`, { positive })]));
}

async function checkAgainstDifferences(op: string, c: Case): Promise<void> {
  const { xs, loss } = lossOf(c), point = pointOf(c), h = 1e-3;
  const slopes = gradients(loss, xs);
  const found = await (await evaluator(Object.fromEntries(slopes.map((g, i) => [`x${i}`, g]))))(
    point,
  );
  const run = await evaluator({ loss });
  for (const [i, { shape }] of xs.entries()) {
    const x = point[`x${i}`];
    const wanted = new Float64Array(sizeOf(shape));
    for (let j = 0; j < x.length; j++) {
      const at = async (step: number) => {
        const kept = x[j];
        x[j] = kept + step;
        const { loss } = await run(point);
        x[j] = kept;
        return loss[0];
      };
      // Fourth order, so that the step can be large and rounding small.
      const near = await at(h) - await at(-h), far = await at(2 * h) - await at(-2 * h);
      wanted[j] = (8 * near - far) / (12 * h);
    }
    assert.deepEqual(slopes[i].shape, shape, `${op}: shape of gradient ${i}`);
    const what = `gradient ${i} of ${op}`;
    assertClose(found[`x${i}`], wanted, { what, shape, a: 1e-9, eps: 1e-6 });
  }
}

for (const [op, list] of Object.entries(cases)) {
  if (typeof list === "string") continue;
  Deno.test(`gradient of ${op} = central differences`, async () => {
    for (const c of list) await checkAgainstDifferences(op, c);
  });
  if (!isComposite(op)) continue;
  Deno.test(`gradient of ${op} = gradient through its expansion`, async () => {
    for (const c of list) {
      const { xs, loss } = lossOf(c), whole = gradients(loss, xs);
      const parts = lossOf({ ...c, build: (...xs) => expand(c.build(...xs))[0] });
      const run = await evaluator({
        ...Object.fromEntries(whole.map((g, i) => [`whole${i}`, g])),
      });
      const runParts = await evaluator(
        Object.fromEntries(gradients(parts.loss, parts.xs).map((g, i) => [`parts${i}`, g])),
      );
      const found = await run(pointOf(c)), wanted = await runParts(pointOf(c));
      xs.forEach(({ shape }, i) =>
        assertClose(found[`whole${i}`], wanted[`parts${i}`], {
          what: `gradient ${i} of ${op}`,
          shape,
          a: 1e-10,
          eps: 1e-10,
        })
      );
    }
  });
}

Deno.test("ops without a gradient refuse one by name", () => {
  const x = ops.input("x", [2, 4]), rows = ops.input("ids", [2, 3], "i32");
  const packed = ops.input("packed", [3, 1, 4], "u8");
  const attrs = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, clip: 0 };
  const built: Partial<Record<OpName, Node>> = {
    takeAlong: ops.takeAlong(x, rows),
    scatterAdd: ops.scatterAdd(ids([2], 5), x, 5),
    quantizedMatmul: quantizedMatmul(x, packed, ops.input("scales", [3, 1])),
    adamw: adamw({
      parameter: x,
      gradient: x,
      first: x,
      second: x,
      schedule: ops.input("schedule", [3]),
    }, attrs).parameter,
    expertMix: expertMix({
      ...{ x, scores: ops.input("scores", [2, 3]) },
      ...{ up: ops.input("up", [3, 6, 4]), down: ops.input("down", [3, 4, 3]) },
    }, { chosen: 2 }),
    keepRows: keepRows(x, {
      ...{ from: ops.fill(0, [1], "i32"), offsets: ops.fill(1, [1], "i32") },
    }),
    treeAttention: attend(ops.reshape(ops.concat([x, x, x], 1), [1, 2, 12])),
  };
  const refused = Object.keys(cases).filter((op) => cases[op as OpName] === "refused");
  assert.deepEqual(Object.keys(built).sort(), refused.sort());
  for (const [op, node] of Object.entries(built)) {
    assert.throws(() => gradients(ops.sum(node), [x]), {
      message: `Cannot differentiate through ${op}: it has no gradient`,
    });
  }
});

/** One head of size 4 over two new rows, as part of the graph: for the error only. */
function attend(qkv: Node): Node {
  const cache = ops.fill(0, [1, 1, 3, 4]), table = ops.fill(1, [3, 2]);
  return treeAttention({
    qkv,
    keys: cache,
    values: cache,
    length: ops.fill(0, [1], "i32"),
    positions: ops.fill(0, [1, 2], "i32"),
    bias: ops.fill(0, [1, 1, 2, 3]),
    cos: table,
    sin: table,
  }, { heads: 1, kvHeads: 1 }).context;
}

Deno.test("a refused op off the path to what is wanted does no harm", async () => {
  const x = ops.input("x", [2, 2]), y = ops.input("y", [2, 1]);
  const taken = ops.takeAlong(x, ops.constant(Int32Array.of(1, 0), [2, 1]));
  const [g] = gradients(ops.sum(ops.mul(taken, y)), [y]);
  const found = await (await evaluator({ g }))({ x: Float64Array.of(1, 2, 3, 4) });
  assert.deepEqual([...found.g], [2, 3]);
});

Deno.test("detach stops the gradient but not the value", async () => {
  const x = ops.input("x", [5]), y = ops.mul(x, ops.detach(x));
  const [g] = gradients(ops.sum(y), [x]);
  const run = await evaluator({ g, y }), point = values([5], "detached");
  const found = await run({ x: point });
  assert.deepEqual(found.g, point);
  assert.deepEqual(found.y, point.map((v) => v * v));
});

Deno.test("what is stored in f16 gets no gradient: casts of it stop one, asking for it is refused", () => {
  const x = ops.input("x", [2, 3]), w = ops.input("w", [4, 3], "f16");
  const rows = ops.cast(ops.gather(w, ids([2], 4)), "f32");
  const loss = ops.sum(ops.matmul(halfMatmul(ops.mul(x, rows), w), x, { transA: true }));
  assert.equal(gradients(loss, [x])[0].op, "binary");
  assert.throws(() => gradients(loss, [x, w]), {
    message:
      "Cannot differentiate with respect to f16 [4,3]: what is stored so is frozen, wanted f32",
  });
});

Deno.test("where a maximum is reached twice its gradient is shared; max of equals goes to the first", async () => {
  const x = ops.input("x", [3]), y = ops.input("y", [3]);
  const [top] = gradients(ops.reduce("max", x, { axes: [0] }), [x]);
  const [a, b] = gradients(ops.sum(ops.max(x, y)), [x, y]);
  const run = await evaluator({ top, a, b }), point = Float64Array.of(2, 1, 2);
  const found = await run({ x: point, y: point });
  assert.deepEqual([...found.top], [0.5, 0, 0.5]);
  assert.deepEqual([...found.a], [1, 1, 1]);
  assert.deepEqual([...found.b], [0, 0, 0]);
});

Deno.test("a value of wrt may depend on another one", async () => {
  const x = ops.input("x", [3]), y = ops.mul(x, x), loss = ops.sum(ops.mul(y, y));
  const [dx, dy] = gradients(loss, [x, y]);
  const found = await (await evaluator({ dx, dy }))({ x: Float64Array.of(1, 2, -3) });
  assert.deepEqual([...found.dx], [4, 32, -108]); // 4 x^3
  assert.deepEqual([...found.dy], [2, 8, 18]); // 2 x^2
});

Deno.test("a loss that does not depend on a value has gradient zero; only scalars have gradients", async () => {
  const x = ops.input("x", [3]), y = ops.input("y", [2, 2]);
  const [g] = gradients(ops.sum(x), [y]);
  assert.deepEqual([...(await (await evaluator({ g }))()).g], [0, 0, 0, 0]);
  assert.throws(() => gradients(x, [x]), {
    message: "Cannot differentiate a value of shape [3]: wanted a scalar",
  });
  const [p] = gradients(ops.sum(crossEntropy(ops.exp(x), x)), [x]), logits = ops.input("l", [3]);
  const [none] = gradients(ops.sum(crossEntropy(logits, x)), [x]);
  assert.ok(isOp(none, "fill") && !isOp(p, "fill")); // probabilities are targets, not learnt
});

Deno.test("a chain of 20,000 ops is differentiated without recursion", async () => {
  const x = ops.input("x", []), steps = 20_000;
  let y: Node = x;
  for (let i = 0; i < steps; i++) y = i % 2 === 0 ? ops.mul(y, 1.0001) : ops.add(y, x);
  const [g] = gradients(y, [x]);
  const found = await (await evaluator({ g, y }))({ x: Float64Array.of(0.5) });
  assert.ok(Math.abs(found.g[0] / (found.y[0] / 0.5) - 1) < 1e-9); // y is linear in x
});

Deno.test("gradients of a three-layer network with every kind of reuse", async () => {
  await checkAgainstDifferences("network", {
    shapes: [[4, 6], [6, 6], [6], [3, 6]],
    build: (x, w, scale, table) => {
      let h = ops.add(x, ops.gather(table, ids([4], 3)));
      for (let layer = 0; layer < 3; layer++) {
        const u = rmsNorm(h, scale, { epsilon: 1e-3 });
        h = ops.add(h, silu(ops.matmul(u, w, { transB: true })));
      }
      return crossEntropy(ops.matmul(h, w), fixed([4, 6], "p"));
    },
  });
});
