/**
 * Composites against values computed by hand or by plain loops in float64: what their expansions must
 * mean. Their gradients are in `gradients_test.ts`; native forms against expansions in
 * `tests/backend/agreement_test.ts`.
 */
import assert from "node:assert/strict";
import * as ops from "../../lib/graph/ops.ts";
import {
  adamw,
  crossEntropy,
  expand,
  halfMatmul,
  logSoftmax,
  quantizedMatmul,
  rmsNorm,
  rope,
  silu,
  smoothL1,
  softmax,
  treeAttention,
  type TreeAttentionInputs,
} from "../../lib/graph/composites.ts";
import type { Node } from "../../lib/graph/node.ts";
import { assertClose } from "../tolerance.ts";
import { evaluator, valueOf, values } from "./evaluate.ts";

const EXACT = { a: 1e-13, eps: 1e-12 };
const row = (...numbers: number[]) => ops.constant(Float32Array.of(...numbers), [numbers.length]);

async function assertValues(node: Node, wanted: number[]): Promise<void> {
  assertClose(await valueOf(node), wanted, { what: node.op, shape: node.shape, ...EXACT });
}

Deno.test("softmax and logSoftmax do not overflow", async () => {
  const e = Math.exp(-1), total = 1 + 2 * e;
  await assertValues(softmax(row(1000, 999, 999)), [1 / total, e / total, e / total]);
  await assertValues(logSoftmax(row(1000, 999, 999)), [0, -1, -1].map((v) => v - Math.log(total)));
  await assertValues(softmax(row(0, -1e9)), [1, 0]);
});

Deno.test("silu, rmsNorm, smoothL1 by hand", async () => {
  await assertValues(silu(row(0, 2, -2)), [0, 2 / (1 + Math.exp(-2)), -2 / (1 + Math.exp(2))]);
  const norm = Math.sqrt((9 + 16) / 2 + 0.5);
  await assertValues(rmsNorm(row(3, 4), row(1, -2), { epsilon: 0.5 }), [3 / norm, -8 / norm]);
  await assertValues(smoothL1(row(0, 0.5, -1, 3), row(0, 0, 0, 1)), [0, 0.125, 0.5, 1.5]);
});

Deno.test("rope turns the pairs (i, i + K/2) by the angle of the row", async () => {
  const c = Math.cos(0.5), s = Math.sin(0.5), x = ops.input("x", [1, 4]);
  const turned = rope(x, ops.input("cos", [1, 2]), ops.input("sin", [1, 2]));
  const inputs = {
    x: Float64Array.of(1, 2, 3, 4),
    cos: Float64Array.of(1, c),
    sin: Float64Array.of(0, s),
  };
  const wanted = [1, 2 * c - 4 * s, 3, 4 * c + 2 * s];
  assertClose(await valueOf(turned, inputs), wanted, { what: "rope", shape: [1, 4], ...EXACT });
});

Deno.test("crossEntropy takes any weights p, one value a row", async () => {
  const logits = ops.constant(Float32Array.of(0, 0, 1, 3), [2, 2]);
  const p = ops.constant(Float32Array.of(0.5, 0.25, 0, 1), [2, 2]);
  const found = crossEntropy(logits, p);
  assert.deepEqual([...found.shape], [2]);
  await assertValues(found, [0.75 * Math.log(2), Math.log(1 + Math.exp(-2))]);
});

Deno.test("halfMatmul: bits of f16, by rows or by columns", async () => {
  const bits = Uint16Array.of(0x3c00, 0xc000, 0x3555, 0x0001, 0x7bff, 0x8000);
  const wanted = [1, -2, 1365 / 4096, 2 ** -24, 65504, -0];
  const w = ops.constant(bits, [2, 3]);
  await assertValues(halfMatmul(ops.constant(Float32Array.of(1, 2, 4), [1, 3]), w), [
    wanted[0] + 2 * wanted[1] + 4 * wanted[2],
    wanted[3] + 2 * wanted[4] + 4 * wanted[5],
  ]);
  const x = ops.constant(Float32Array.of(1, 0.5), [1, 2]);
  const sums = [0, 1, 2].map((i) => wanted[i] + 0.5 * wanted[i + 3]);
  await assertValues(halfMatmul(x, w, { transB: false }), sums);
});

Deno.test("quantizedMatmul: bytes less 128, times the scale of their block", async () => {
  const x = ops.constant(Float32Array.of(1, 2, 3, 4), [1, 4]);
  const packed = ops.constant(Uint8Array.of(129, 127, 128, 130, 0, 255, 128, 128), [2, 2, 2]);
  const scales = ops.constant(Float32Array.of(0.5, 2, 1, 1), [2, 2]);
  await assertValues(quantizedMatmul(x, packed, scales), [
    0.5 * (1 - 2) + 2 * (0 + 8),
    -128 + 254,
  ]);
});

Deno.test("quantizedMatmul: halves of bytes less 8, the low one first", async () => {
  const x = ops.constant(Float32Array.of(1, 10, 100, 1000), [1, 4]);
  const packed = ops.constant(Uint8Array.of(0x98, 0x7a), [1, 2, 1]);
  const scales = ops.constant(Float32Array.of(1, 2), [1, 2]);
  // 8 - 8 = 0, 9 - 8 = 1; then (10 - 8) 2 = 4, (7 - 8) 2 = -2.
  await assertValues(quantizedMatmul(x, packed, scales), [10 + 400 - 2000]);
});

const shape = [3],
  state = {
    parameter: ops.input("parameter", shape),
    gradient: ops.input("gradient", shape),
    first: ops.input("first", shape),
    second: ops.input("second", shape),
    schedule: ops.input("schedule", [3]),
  };

Deno.test("adamw: three steps by hand, with clipping and decoupled weight decay", async () => {
  const attrs = { beta1: 0.9, beta2: 0.95, epsilon: 1e-3, weightDecay: 0.1, clip: 0.5 };
  const step = await evaluator({ ...adamw(state, attrs) }), rate = 0.02;
  let p = [1, -2, 0.5], m = [0, 0, 0], v = [0, 0, 0];
  let found = { parameter: Float64Array.from(p), first: Float64Array.from(m) } as Record<
    string,
    Float64Array
  >;
  found.second = Float64Array.from(v);
  for (let t = 1; t <= 3; t++) {
    const gradient = Float64Array.of(0.3 * t, -2, 0.7), bias1 = 1 - 0.9 ** t, bias2 = 1 - 0.95 ** t;
    const g = [Math.min(0.3 * t, 0.5), -0.5, 0.5];
    m = m.map((x, i) => 0.9 * x + 0.1 * g[i]);
    v = v.map((x, i) => 0.95 * x + 0.05 * g[i] ** 2);
    p = p.map((x, i) => x - rate * (m[i] / bias1 / (Math.sqrt(v[i] / bias2) + 1e-3) + 0.1 * x));
    found = await step({ ...found, gradient, schedule: Float64Array.of(rate, bias1, bias2) });
    assertClose(found.parameter, p, { what: `parameter after step ${t}`, shape, ...EXACT });
    assertClose(found.first, m, { what: `first moment after step ${t}`, shape, ...EXACT });
    assertClose(found.second, v, { what: `second moment after step ${t}`, shape, ...EXACT });
  }
});

Deno.test("adamw: the first step moves by the rate against the sign; clip 0 does not clip", async () => {
  const attrs = { beta1: 0.9, beta2: 0.999, epsilon: 0, weightDecay: 0, clip: 0 };
  const found = await (await evaluator({ ...adamw(state, attrs) }))({
    parameter: Float64Array.of(1, 1, 1),
    gradient: Float64Array.of(5, -0.01, 300),
    first: new Float64Array(3),
    second: new Float64Array(3),
    schedule: Float64Array.of(0.1, 1 - 0.9, 1 - 0.999),
  });
  const wanted = [0.9, 1.1, 0.9];
  assertClose(found.parameter, wanted, { what: "adamw", shape, a: 1e-12 });
  assertClose(found.first, [0.5, -0.001, 30], { what: "first moment", shape, a: 1e-12 });
});

/** Sizes and data of one attention: B sequences, T new rows, caches of C rows, heads of size K. */
interface Attention {
  b: number;
  t: number;
  capacity: number;
  k: number;
  heads: number;
  kvHeads: number;
  lengths: number[];
  depths: number[];
  /** Parent of each new row, -1 for none: a row sees itself, its ancestors and the old cache. */
  parents: number[];
}

const TABLE_ROWS = 32;

function attentionData({ b, t, capacity, k, heads, kvHeads, lengths, depths, parents }: Attention) {
  const bias = new Float64Array(t * capacity).fill(-1e9);
  for (let i = 0; i < t; i++) {
    for (let c = 0; c < lengths[0]; c++) bias[i * capacity + c] = 0;
    for (let a = i; a >= 0; a = parents[a]) bias[i * capacity + lengths[0] + a] = 0;
    // A finite addend, to see that the bias is added and not only compared.
    bias[i * capacity] = -0.5 * (i + 1);
  }
  const angles = Float64Array.from(
    { length: TABLE_ROWS * k / 2 },
    (_, i) => Math.floor(i / (k / 2)) * 10 ** -(i % (k / 2)),
  );
  const cache = [b, kvHeads, capacity, k];
  return {
    qkv: values([b, t, (heads + 2 * kvHeads) * k], "qkv"),
    keys: values(cache, "keys"),
    values: values(cache, "values"),
    length: Int32Array.from(lengths),
    positions: Int32Array.from(
      { length: b * t },
      (_, i) => lengths[Math.floor(i / t)] + depths[i % t],
    ),
    bias,
    cos: angles.map(Math.cos),
    sin: angles.map(Math.sin),
  };
}

/** Attention by loops over sequences, heads, rows and cache rows. */
function attendByLoops(a: Attention, data: ReturnType<typeof attentionData>) {
  const { b, t, capacity, k, heads, kvHeads } = a, half = k / 2;
  const width = (heads + 2 * kvHeads) * k;
  const keys = data.keys.slice(), kept = data.values.slice();
  const context = new Float64Array(b * t * heads * k);
  const projected = (s: number, i: number, head: number, turned: boolean) => {
    const start = (s * t + i) * width + head * k, x = data.qkv.slice(start, start + k);
    if (!turned) return x;
    const at = data.positions[s * t + i] * half;
    return x.map((v, j) => {
      const cos = data.cos[at + j % half], sin = data.sin[at + j % half];
      return j < half ? v * cos - x[j + half] * sin : v * cos + x[j - half] * sin;
    });
  };
  for (let s = 0; s < b; s++) {
    const rowAt = (head: number, c: number) => ((s * kvHeads + head) * capacity + c) * k;
    for (let head = 0; head < kvHeads; head++) {
      for (let i = 0; i < t; i++) {
        keys.set(projected(s, i, heads + head, true), rowAt(head, data.length[s] + i));
        kept.set(projected(s, i, heads + kvHeads + head, false), rowAt(head, data.length[s] + i));
      }
    }
    for (let head = 0; head < heads; head++) {
      const shared = Math.floor(head / (heads / kvHeads));
      for (let i = 0; i < t; i++) {
        const q = projected(s, i, head, true), scores: number[] = [];
        for (let c = 0; c <= data.length[s] + i; c++) {
          let score = 0;
          for (let j = 0; j < k; j++) score += q[j] * keys[rowAt(shared, c) + j];
          scores.push(score / Math.sqrt(k) + data.bias[i * capacity + c]);
        }
        const top = Math.max(...scores), weights = scores.map((v) => Math.exp(v - top));
        const total = weights.reduce((x, y) => x + y, 0);
        for (let c = 0; c < weights.length; c++) {
          for (let j = 0; j < k; j++) {
            context[((s * t + i) * heads + head) * k + j] += weights[c] / total *
              kept[rowAt(shared, c) + j];
          }
        }
      }
    }
  }
  return { context, keys, values: kept };
}

const attentions: Record<string, Attention> = {
  "one row, one head": {
    ...{ b: 1, t: 1, capacity: 5, k: 2, heads: 1, kvHeads: 1 },
    ...{ lengths: [3], depths: [0], parents: [-1] },
  },
  "empty cache, a chain": {
    ...{ b: 1, t: 4, capacity: 4, k: 4, heads: 2, kvHeads: 2 },
    ...{ lengths: [0], depths: [0, 1, 2, 3], parents: [-1, 0, 1, 2] },
  },
  "a tree, grouped heads": {
    ...{ b: 1, t: 6, capacity: 17, k: 6, heads: 6, kvHeads: 2 },
    ...{ lengths: [7], depths: [0, 1, 1, 2, 2, 3], parents: [-1, 0, 0, 1, 2, 4] },
  },
  "three sequences of different lengths": {
    ...{ b: 3, t: 2, capacity: 9, k: 4, heads: 4, kvHeads: 2 },
    ...{ lengths: [5, 0, 7], depths: [0, 1], parents: [-1, 0] },
  },
};

function attentionInputs({ b, t, capacity, k, heads, kvHeads }: Attention): TreeAttentionInputs {
  const cache = [b, kvHeads, capacity, k], table = [TABLE_ROWS, k / 2];
  return {
    qkv: ops.input("qkv", [b, t, (heads + 2 * kvHeads) * k]),
    keys: ops.input("keys", cache),
    values: ops.input("values", cache),
    length: ops.input("length", [b], "i32"),
    positions: ops.input("positions", [b, t], "i32"),
    bias: ops.input("bias", [1, 1, t, capacity]),
    cos: ops.input("cos", table),
    sin: ops.input("sin", table),
  };
}

for (const [name, a] of Object.entries(attentions)) {
  Deno.test(`treeAttention = loops: ${name}`, async () => {
    const nodes = treeAttention(attentionInputs(a), a), data = attentionData(a);
    const found = await (await evaluator({ ...nodes }))(data), wanted = attendByLoops(a, data);
    for (const part of ["context", "keys", "values"] as const) {
      const what = `${part} of treeAttention`, { shape } = nodes[part];
      assertClose(found[part], wanted[part], { what, shape, a: 1e-12 });
    }
  });
}

const x = (...shape: number[]) => ops.input("x", shape);
const tree = attentions["a tree, grouped heads"];
const refusals: [() => unknown, string][] = [
  [
    () => rmsNorm(x(2, 3), x(2), { epsilon: 1 }),
    "Cannot normalise [2,3] with weight [2]: wanted [3]",
  ],
  [
    () => rope(x(3, 4), x(3, 4), x(3, 4)),
    "Cannot rotate [3,4] by tables [3,4], [3,4]: wanted tables that broadcast to [3,2]",
  ],
  [
    () => rope(x(3, 4), x(2, 3, 2), x(2, 3, 2)),
    "Cannot rotate [3,4] by tables [2,3,2], [2,3,2]: wanted tables that broadcast to [3,2]",
  ],
  [() => smoothL1(x(3), x(1)), "Cannot compare [3] with [1] by SmoothL1"],
  [() => crossEntropy(x(3), x(1)), "Cannot take the cross entropy of [3] and [1]"],
  [
    () => quantizedMatmul(x(2, 8), ops.input("w", [3, 2, 4]), x(3, 2)),
    "Cannot multiply [2,8] by quantised f32 [3,2,4] with scales [3,2]",
  ],
  [
    () => halfMatmul(x(2, 8), x(8, 3)),
    "Cannot multiply [2,8] by f32 [8,3] transposed: wanted f16 and equal inner sizes",
  ],
  [
    () => halfMatmul(x(2, 8), ops.input("w", [3, 8], "f16"), { transB: false }),
    "Cannot multiply [2,8] by f16 [3,8]: wanted f16 and equal inner sizes",
  ],
  [
    () => treeAttention({ ...attentionInputs(tree), bias: x(6, 17) }, tree),
    "Cannot attend with 6 heads over 2 key heads: found [6,17], wanted [1,1,6,17]",
  ],
  [
    () => {
      const odd = { ...tree, heads: 3 };
      return treeAttention(attentionInputs(odd), odd);
    },
    "Cannot share 2 key heads among 3 query heads: not a multiple",
  ],
  [
    () => adamw({ ...state, first: x(2) }, {} as never),
    "Cannot update parameter [3] with [2]",
  ],
  [() => expand(x(2)), "Cannot expand input: it is a primitive"],
];

for (const [build, message] of refusals) {
  Deno.test(`refused: ${message}`, () => {
    assert.throws(build, { message });
  });
}

Deno.test("expansions have the shapes their nodes promise", () => {
  const { context } = treeAttention(attentionInputs(tree), tree), [attention] = context.inputs;
  for (const node of [attention, softmax(x(2, 3)), crossEntropy(x(2, 3), x(2, 3))]) {
    const promised = (node.parts ?? [node]).map((p) => [...p.shape]);
    assert.deepEqual(expand(node).map((n) => [...n.shape]), promised, node.op);
  }
});
