/**
 * Which calls of each op the backends must agree on: sizes of one, a prime, and one less and one more than
 * the sizes of vectors and workgroups. The type of `agreementCases` asks for an entry for every op. Not a
 * test itself: `agreement_test.ts` runs it.
 */
import {
  argmaxRows,
  crossEntropy,
  halfMatmul,
  logSoftmax,
  quantizedMatmul,
  rmsNorm,
  rope,
  sampleRows,
  silu,
  smoothL1,
  softmax,
} from "../../lib/graph/composites.ts";
import { expertMix } from "../../lib/graph/expert_mix.ts";
import type { CompareFn, DType, HostArray, Node, OpName, Shape } from "../../lib/graph/node.ts";
import { sizeOf } from "../../lib/graph/node.ts";
import * as ops from "../../lib/graph/ops.ts";
import { toHalf } from "../../lib/io/float16.ts";
import type { Tolerance } from "../tolerance.ts";
import { integers, values } from "../graph/evaluate.ts";

/** One operand: random, with magnitudes in [0.1, 1.9), or whole numbers below `below`. */
export interface Operand {
  shape: Shape;
  dtype: DType;
  below?: number;
  positive?: boolean;
}

/** One call of an op. */
export interface Case {
  inputs: Operand[];
  build: (...xs: Node[]) => Node;
  tolerance?: Tolerance;
}

/** The random data of an operand. */
export function dataOf(
  { shape, dtype, below = 256, positive }: Operand,
  name: string,
): HostArray {
  if (dtype === "f32" || dtype === "f16") {
    const numbers = Float32Array.from(values(shape, name, { positive }));
    return dtype === "f16" ? toHalf(numbers) : numbers;
  }
  const whole = integers(shape, name, { below });
  return dtype === "i32" ? whole : Uint8Array.from(whole);
}

const f32 = (...shape: number[]): Operand => ({ shape, dtype: "f32" });
const i32 = (shape: Shape, below: number): Operand => ({ shape, dtype: "i32", below });
const f16 = (...shape: number[]): Operand => ({ shape, dtype: "f16" });
const u8 = (...shape: number[]): Operand => ({ shape, dtype: "u8" });

const MATRICES: [number, number][] = [
  ...[[1, 1], [1, 65], [7, 16], [15, 17], [17, 15]] as [number, number][],
  ...[[63, 64], [64, 1], [65, 63]] as [number, number][],
];
const over = (build: (x: Node) => Node, tolerance?: Tolerance): Case[] =>
  MATRICES.map(([r, c]) => ({ inputs: [f32(r, c)], build, tolerance }));
const positive = (cases: Case[]): Case[] =>
  cases.map((c) => ({ ...c, inputs: c.inputs.map((x) => ({ ...x, positive: true })) }));
/** Rows of 1 to 65 elements, where errors grow with the length of a row. */
const rows = (build: (x: Node) => Node): Case[] =>
  MATRICES.map(([r, c]) => ({ inputs: [f32(r, c)], build, tolerance: { n: 4 * c } }));

const BROADCASTS: [Shape, Shape][] = [
  ...MATRICES.map(([r, c]): [Shape, Shape] => [[r, c], [c]]),
  ...[[[17, 1], [1, 15]], [[], [65]], [[7, 1, 63], [16, 1]], [[64], []]] as [Shape, Shape][],
];
const pairs = (build: (a: Node, b: Node) => Node): Case[] =>
  BROADCASTS.map(([a, b]) => ({ inputs: [f32(...a), f32(...b)], build }));
const wholePairs = (build: (a: Node, b: Node) => Node): Case[] =>
  BROADCASTS.map(([a, b]) => ({ inputs: [i32(a, 9), i32(b, 9)], build }));

const PRODUCTS: [number, number, number][] = [
  ...[[1, 1, 1], [1, 65, 1], [7, 16, 15], [17, 63, 64], [64, 17, 7]] as [number, number, number][],
  ...[[16, 64, 65], [65, 1, 63], [15, 7, 17]] as [number, number, number][],
];
const matmulCases = [[], [1], [3], [2, 3]].flatMap((lead) =>
  PRODUCTS.flatMap(([m, k, n]) =>
    [[false, false], [true, false], [false, true], [true, true]].map(([transA, transB]): Case => ({
      inputs: [
        f32(...lead, ...(transA ? [k, m] : [m, k])),
        f32(...lead, ...(transB ? [n, k] : [k, n])),
      ],
      build: (a, b) => ops.matmul(a, b, { transA, transB, alpha: k === 64 ? 0.125 : 1 }),
      // The terms of a sum cancel: its error goes with their size, not with its own.
      tolerance: { a: 1e-6 * Math.sqrt(k), n: k },
    }))
  )
);

const compareFns: CompareFn[] = ["lt", "le", "gt", "ge", "eq"];

/** Rows of up to three rounds of 64. */
const MANY: Shape[] = [[17, 65], [1, 64], [129, 3], [3, 4097]];

/** The calls of each op; none for those that stand in `agreement_scenarios.ts` or hold no computation. */
export const agreementCases: { [O in OpName]: Case[] } = {
  input: over((x) => x),
  constant: MATRICES.flatMap(([r, c]): Case[] =>
    [f32(r, c), f16(r, c), i32([r, c], 99), u8(r, c)].map((operand) => ({
      inputs: [],
      build: () => {
        const data = ops.constant(dataOf(operand, "constant"), operand.shape);
        return operand.dtype === "f32" ? data : ops.cast(data, "f32");
      },
    }))
  ),
  fill: [[], [1], [17], [3, 65]].flatMap((shape): Case[] => [
    { inputs: [], build: () => ops.fill(0.7, shape) },
    { inputs: [], build: () => ops.fill(-7, shape, "i32") },
  ]),
  unary: [
    ...[ops.neg, ops.exp, ops.reciprocal, ops.sigmoid, ops.tanh, ops.abs, ops.sign].flatMap((fn) =>
      over(fn, { n: 16 })
    ),
    ...positive([ops.log, ops.sqrt].flatMap((fn) => over(fn, { n: 16 }))),
  ],
  binary: [
    ...[ops.add, ops.sub, ops.mul, ops.div, ops.max, ops.min].flatMap(pairs),
    ...[ops.add, ops.sub, ops.mul, ops.max, ops.min].flatMap(wholePairs),
    // Quotients of both signs: division of integers drops the fraction, towards zero.
    ...wholePairs((a, b) => ops.div(ops.mul(a, ops.sub(a, 5)), ops.add(b, 1))),
  ],
  compare: compareFns.flatMap((fn) => [
    ...pairs((a, b) => ops.compare(fn, a, b)),
    ...wholePairs((a, b) => ops.compare(fn, a, b)),
  ]),
  where: [
    ...pairs((a, b) => ops.where(ops.compare("lt", a, 0), a, b)),
    ...pairs((a, b) => ops.where(ops.compare("lt", b, 0), 0.5, a)),
    ...wholePairs((a, b) => ops.where(ops.compare("lt", a, b), a, 3)),
  ],
  cast: [
    ...over((x) => ops.cast(x, "i32")),
    ...over((x) => ops.cast(ops.cast(ops.mul(x, 100), "i32"), "f32")),
    ...over((x) => ops.cast(ops.compare("gt", x, 0), "f32")),
    ...over((x) => ops.cast(ops.compare("gt", x, 0), "i32")),
    ...over((x) => ops.cast(ops.cast(x, "i32"), "bool")),
    ...MATRICES.map(([r, c]): Case => ({
      inputs: [f16(r, c)],
      build: (x) => ops.cast(x, "f32"),
      tolerance: { a: 0, eps: 0 },
    })),
    { inputs: [u8(17, 65)], build: (x) => ops.cast(x, "f32") },
    { inputs: [i32([17, 65], 999)], build: (x) => ops.cast(x, "f32") },
  ],
  detach: over((x) => ops.detach(x)),
  reduce: (["sum", "mean", "max"] as const).flatMap((fn) => [
    ...rows((x) => ops.reduce(fn, x, { axes: [1] })),
    ...[[0], [2], [0, 2], [1, 2], [0, 1, 2]].flatMap((axes) =>
      [true, false].map((keep): Case => ({
        inputs: [f32(7, 17, 65)],
        build: (x) => ops.reduce(fn, x, { axes, keep }),
        tolerance: { a: 1e-5, n: 7 * 17 * 65 },
      }))
    ),
  ]).map((c) => ({ ...c, tolerance: { a: 5e-6, ...c.tolerance } })),
  reshape: over((x) => ops.reshape(x, [-1])).concat([
    { inputs: [f32(7, 15, 64)], build: (x) => ops.reshape(x, [35, 3, -1]) },
    { inputs: [f32(1)], build: (x) => ops.reshape(x, []) },
  ]),
  transpose: over((x) => ops.transpose(x, [1, 0])).concat(
    [[2, 1, 0], [1, 2, 0], [0, 2, 1]].map((perm) => ({
      inputs: [f32(7, 17, 65)],
      build: (x) => ops.transpose(x, perm),
    })),
  ),
  broadcast: [
    ...over((x) => ops.broadcast(x, [3, ...x.shape])),
    { inputs: [f32(17, 1)], build: (x) => ops.broadcast(x, [2, 17, 65]) },
    { inputs: [f32()], build: (x) => ops.broadcast(x, [64, 1]) },
    { inputs: [i32([1, 7], 99)], build: (x) => ops.broadcast(x, [15, 7]) },
  ],
  slice: [
    ...over((x) => ops.sliceAxis(x, 1, { end: 1 })),
    ...over((x) => ops.sliceAxis(x, 0, { start: x.shape[0] - 1 })),
    { inputs: [f32(17, 16, 65)], build: (x) => ops.slice(x, [1, 0, 7], [16, 16, 8]) },
    { inputs: [f16(17, 16, 65)], build: (x) => ops.slice(x, [1, 0, 7], [16, 16, 8]) },
    ...MATRICES.map(([r, c]): Case => ({
      inputs: [f16(r, c)],
      build: (x) => ops.cast(ops.sliceAxis(x, 0, { start: r - 1 }), "f32"),
    })),
  ],
  pad: [
    ...over((x) => ops.pad(x, [0, 1], [2, 0])),
    { inputs: [f32(7, 1, 17)], build: (x) => ops.pad(x, [0, 15, 1], [1, 0, 46]) },
  ],
  concat: [
    ...over((x) => ops.concat([x, ops.neg(x), x], 1)),
    ...over((x) => ops.concat([x, ops.neg(x)], 0)),
    ...[0, 1, 2].map((axis): Case => ({
      inputs: [f32(3, 7, 5), f32(...[3, 7, 5].map((d, i) => i === axis ? 16 : d))],
      build: (a, b) => ops.concat([a, b], axis),
    })),
  ],
  matmul: matmulCases,
  gather: [
    ...MATRICES.map(([r, c]): Case => ({
      inputs: [f32(r, c), i32([17], r)],
      build: (x, ids) => ops.gather(x, ids),
    })),
    ...MATRICES.map(([r, c]): Case => ({
      inputs: [f16(r, c), i32([17], r)],
      build: (x, ids) => c % 2 ? ops.gather(x, ids) : ops.cast(ops.gather(x, ids), "f32"),
      tolerance: { a: 0, eps: 0 },
    })),
    { inputs: [f32(65, 7), i32([3, 16], 65)], build: (x, ids) => ops.gather(x, ids) },
    { inputs: [f32(63, 2, 3), i32([1], 63)], build: (x, ids) => ops.gather(x, ids) },
    { inputs: [i32([63, 2], 999), i32([15], 63)], build: (x, ids) => ops.gather(x, ids) },
  ],
  takeAlong: [
    ...MATRICES.map(([r, c]): Case => ({
      inputs: [f32(r, c), i32([r, 17], c)],
      build: (x, ids) => ops.takeAlong(x, ids),
    })),
    ...[0, 1, 2].map((axis): Case => ({
      inputs: [f32(7, 16, 3), i32([7, 16, 3].map((d, i) => i === axis ? 65 : d), 3)],
      build: (x, ids) => ops.takeAlong(x, ids, axis),
    })),
  ],
  scatterAdd: [
    ...MATRICES.map(([r, c]): Case => ({
      inputs: [i32([r], 17), f32(r, c)],
      build: (ids, x) => ops.scatterAdd(ids, x, 17),
      tolerance: { n: r },
    })),
    {
      inputs: [i32([15, 64], 7), f32(15, 64, 3)],
      build: (ids, x) => ops.scatterAdd(ids, x, 7),
      tolerance: { a: 2e-5, n: 15 * 64 },
    },
    { inputs: [i32([63], 5), f32(63)], build: (ids, x) => ops.scatterAdd(ids, x, 65) },
  ],
  topK: [
    ...MATRICES.flatMap(([r, c]) =>
      [1, c, Math.ceil(c / 2)].map((k): Case => ({
        inputs: [f32(r, c)],
        build: (x) => ops.topK(x, k),
      }))
    ),
    // Whole numbers below 5: many ties, and the lowest index wins each.
    ...[[17, 65], [1, 64], [3, 2000]].map((shape): Case => ({
      inputs: [i32(shape, 5)],
      build: (x) => ops.topK(ops.cast(x, "f32"), Math.min(shape[1], 16)),
    })),
  ],
  pick: [],
  softmax: [...rows(softmax), ...spreadOut(softmax)],
  logSoftmax: [...rows(logSoftmax), ...spreadOut(logSoftmax)],
  silu: over(silu, { n: 16 }),
  rmsNorm: MATRICES.flatMap(([r, c]) =>
    [[r, c], [2, r, c]].map((shape): Case => ({
      inputs: [f32(...shape), f32(c)],
      build: (x, w) => rmsNorm(x, w, { epsilon: 1e-5 }),
      tolerance: { n: 4 * c },
    }))
  ),
  rope: [1, 7, 16, 65].flatMap((t) =>
    [2, 16, 64].map((k): Case => ({
      inputs: [f32(2, 3, t, k), f32(t, k / 2), f32(t, k / 2)],
      build: rope,
    }))
  ),
  smoothL1: MATRICES.map(([r, c]) => ({ inputs: [f32(r, c), f32(r, c)], build: smoothL1 })),
  crossEntropy: MATRICES.map(([r, c]) => ({
    inputs: [f32(r, c), { ...f32(r, c), positive: true }],
    build: crossEntropy,
    tolerance: { a: 1e-5, n: 4 * c },
  })),
  quantizedMatmul: [1, 7, 17].flatMap((r) =>
    [[1, 1, 16, 8], [15, 3, 32, 8], [65, 2, 64, 8], [16, 1, 128, 8], [15, 3, 16, 4], [65, 2, 32, 4]]
      .map(([outer, blocks, block, bits]): Case => ({
        inputs: [
          f32(r, blocks * block),
          u8(outer, blocks, block * bits / 8),
          { ...f32(outer, blocks), positive: true },
        ],
        build: (x, packed, scales) => quantizedMatmul(x, packed, ops.div(scales, 2 ** (bits - 1))),
        // Natively activations may be rounded to 8 bits as well: half a step of 1.9 / 127 an element.
        tolerance: { a: 0.015 * Math.sqrt(blocks * block), n: blocks * block },
      }))
  ),
  halfMatmul: [true, false].flatMap((transB) =>
    // The last one is larger than what the CPU backend casts at a time: 59 rows of 60.
    [...PRODUCTS, [2, 70000, 60]].map(([m, k, n]): Case => ({
      inputs: [f32(m, transB ? k : n), f16(n, k)],
      build: (x, w) => halfMatmul(x, w, { transB }),
      tolerance: { a: 1e-6 * Math.sqrt(transB ? k : n), n: transB ? k : n },
    }))
  ),
  expertMix: [[1, 2, 1], [7, 5, 3], [66, 8, 2]].map(([n, count, chosen]): Case => ({
    inputs: [f32(n, 24), f32(n, count), f32(count, 20, 24), f32(count, 24, 10)],
    build: (x, scores, up, down) =>
      expertMix({ x, scores, up: ops.mul(up, 0.2), down: ops.mul(down, 0.3) }, { chosen }),
    tolerance: { a: 1e-5, n: 24 },
  })),
  treeAttention: [],
  keepRows: [],
  streamAttention: [],
  streamAttentionGradient: [],
  argmaxRows: [
    ...over(argmaxRows),
    // Whole numbers below 5: the lowest of many equal ones.
    ...MANY.map((shape): Case => ({
      inputs: [i32(shape, 5)],
      build: (x) => argmaxRows(ops.sub(ops.cast(x, "f32"), 5)),
    })),
  ],
  sampleRows: [
    // Sums are exact, and some of them are the target itself; below 2 most rows have zeros at their ends.
    ...[5, 2].flatMap((below) =>
      MANY.map((shape): Case => ({
        inputs: [i32(shape, below), i32([shape[0]], 64)],
        build: (p, u) => sampleRows(ops.cast(p, "f32"), ops.div(ops.cast(u, "f32"), 64)),
      }))
    ),
    ...MANY.map((shape): Case => ({
      inputs: [f32(...shape), f32(shape[0])],
      build: (x, u) => sampleRows(softmax(ops.mul(x, 4)), ops.mul(ops.abs(u), 0.5)),
    })),
  ],
  adamw: [],
};

/** Rows with large differences between their elements. */
function spreadOut(build: (x: Node) => Node): Case[] {
  return [[3, 17], [2, 65], [1, 1]].map((shape): Case => ({
    inputs: [f32(...shape)],
    build: (x) => build(ops.mul(x, 60)),
    tolerance: { a: 2e-5, n: 4 * sizeOf(shape) },
  }));
}
