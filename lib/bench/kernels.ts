/**
 * Which calls of the kernels are timed: the shapes of a training step (1 layer, width 256, 1024 rows, vocabulary
 * 4096) and of decoding (width 512). Each is a Program, so that what is timed is what runs. The peer's side of the
 * same calls: `tests/peers/jax_js_kernels.ts`.
 */
import type { Backend } from "../backend/backend.ts";
import {
  adamw,
  argmaxRows,
  crossEntropy,
  halfMatmul,
  quantizedMatmul,
  rmsNorm,
  rope,
  sampleRows,
  silu,
  smoothL1,
  softmax,
  streamAttention,
  treeAttention,
} from "../graph/composites.ts";
import { gradients } from "../graph/gradients.ts";
import { type DType, type HostArray, type Node, type Shape, sizeOf } from "../graph/node.ts";
import * as ops from "../graph/ops.ts";
import { type Program, program } from "../graph/program.ts";
import { toHalf } from "../io/float16.ts";
import { random } from "../random.ts";
import { timeRepeated } from "./gpu_rates.ts";

/** One call. */
export interface KernelCase {
  /** The kernel's page, or pages. */
  kernel: string;
  shape: string;
  inputs: Record<string, { shape: Shape; dtype?: DType; below?: number }>;
  build: (inputs: Record<string, Node>) => Program;
  /** f32 operations, two for a multiplication that is added; 0 where bytes count. */
  flops: number;
  /** Bytes that must be read and written at least. */
  bytes: number;
  /** How often a training step does it; 0 for decoding. */
  inStep: number;
  /** What the peer is asked for. */
  peer?: { op: string; transA?: boolean; transB?: boolean };
}

const y = (value: Node): Program => program({ y: value });
const mb = (...shapes: Shape[]) => 4 * shapes.reduce((n, s) => n + sizeOf(s), 0);

function product(
  [m, k, n]: [number, number, number],
  { transA = false, transB = false, inStep = 0 }: {
    transA?: boolean;
    transB?: boolean;
    inStep?: number;
  } = {},
): KernelCase {
  const a = transA ? [k, m] : [m, k], b = transB ? [n, k] : [k, n];
  return {
    kernel: m <= 8 ? "row_product" : "matmul",
    shape: `${m} x ${k} x ${n} ${transA ? "t" : "n"}${transB ? "t" : "n"}`,
    inputs: { a: { shape: a }, b: { shape: b } },
    build: ({ a, b }) => y(ops.matmul(a, b, { transA, transB })),
    flops: 2 * m * k * n,
    bytes: mb(a, b, [m, n]),
    inStep,
    peer: { op: "matmul", transA, transB },
  };
}

/** Rows times a matrix [4096, 512] in f16. */
function halfProduct(rows: number): KernelCase {
  const [k, n] = [512, 4096];
  return {
    kernel: rows <= 8 ? "row_product" : "matmul",
    shape: `${rows} x ${k} x ${n}, f16`,
    inputs: { x: { shape: [rows, k] }, w: { shape: [n, k], dtype: "f16" } },
    build: ({ x, w }) => y(halfMatmul(x, w)),
    flops: 2 * rows * k * n,
    bytes: 2 * n * k + mb([rows, k], [rows, n]),
    inStep: 0,
  };
}

/** Rows times a matrix [4096, 512] in 8 or 4 bits. */
function packedProduct(rows: number, bits: 8 | 4): KernelCase {
  const [k, n, block] = [512, 4096, bits === 8 ? 128 : 32], blocks = k / block;
  return {
    kernel: rows <= 8 ? "packed_rows" : "matmul",
    shape: `${rows} x ${k} x ${n}, ${bits} bits`,
    inputs: {
      x: { shape: [rows, k] },
      w: { shape: [n, blocks, block * bits / 8], dtype: "u8", below: 256 },
      s: { shape: [n, blocks] },
    },
    build: ({ x, w, s }) => y(quantizedMatmul(x, w, s)),
    flops: 2 * rows * k * n,
    bytes: n * k * bits / 8 + mb([n, blocks], [rows, k], [rows, n]),
    inStep: 0,
  };
}

/** Attention of training over one stream, as the peer has it; backward with the forward that it needs. */
function attentionCases(): KernelCase[] {
  const [b, h, t, k] = [4, 4, 256, 64], rows = [b, h, t, k], shape = rows.join(" x ");
  const inputs = { q: { shape: rows }, k: { shape: rows }, v: { shape: rows } };
  const context = ({ q, k, v }: Record<string, Node>) =>
    streamAttention({ q, keys: [k], values: [v] }, { gap: 0, backs: [] });
  const one = 2 * b * h * t * t * k / 2; // one product, over the columns that are seen
  return [
    {
      ...{ kernel: "stream_attention", shape, inputs, build: (x) => y(context(x)) },
      ...{ flops: 2 * one, bytes: mb(rows, rows, rows, rows), inStep: 0 },
      peer: { op: "attention" },
    },
    {
      ...{ kernel: "stream_queries, stream_keys", shape: `${shape}, with forward`, inputs },
      build: (x) => {
        const [q, k, v] = gradients(ops.sum(context(x)), [x.q, x.k, x.v]);
        return program({ q, k, v });
      },
      // Backward makes scores and dy . v twice.
      ...{ flops: 9 * one, bytes: 2 * mb(rows, rows, rows, rows), inStep: 1 },
      peer: { op: "attentionGradient" },
    },
  ];
}

/** All calls that are timed. */
export function kernelCases(): KernelCase[] {
  const rows = [1024, 256], wide = [1024, 688], logits = [1024, 4096], scores = [4, 4, 256, 256];
  const wideHeads = [1024, 512];
  const head = [4096, 256], heads = 8, kvHeads = 4, k = 64, capacity = 512, t = 8;
  const cache = [1, kvHeads, capacity, k], qkv = [1, t, (heads + 2 * kvHeads) * k];
  const scalar = (shape: Shape) => ({ shape, dtype: "i32" as const, below: 256 });
  return [
    product([1024, 256, 4096], { transB: true, inStep: 1 }),
    product([1024, 4096, 256], { inStep: 1 }),
    product([4096, 1024, 256], { transA: true, inStep: 1 }),
    product([1024, 256, 688], { transB: true, inStep: 2 }),
    product([1024, 688, 256], { transB: true, inStep: 3 }),
    product([1024, 256, 256], { transB: true, inStep: 8 }),
    product([256, 1024, 256], { transA: true, inStep: 4 }),
    {
      ...{ kernel: "softmax", shape: "4 x 4 x 256 x 256", inputs: { x: { shape: scores } } },
      build: ({ x }) => y(softmax(x)),
      ...{ flops: 0, bytes: mb(scores, scores), inStep: 0, peer: { op: "softmax" } },
    },
    ...attentionCases(),
    {
      ...{ kernel: "cross_entropy", shape: "1024 x 4096" },
      inputs: { x: { shape: logits }, p: { shape: logits } },
      build: ({ x, p }) => y(crossEntropy(x, p)),
      ...{ flops: 0, bytes: mb(logits, logits), inStep: 1, peer: { op: "crossEntropy" } },
    },
    {
      ...{ kernel: "rms_norm", shape: "1024 x 256" },
      inputs: { x: { shape: rows }, w: { shape: [256] } },
      build: ({ x, w }) => y(rmsNorm(x, w, { epsilon: 1e-5 })),
      ...{ flops: 0, bytes: mb(rows, rows), inStep: 3, peer: { op: "rmsNorm" } },
    },
    {
      ...{ kernel: "pointwise", shape: "silu(a) b, 1024 x 688" },
      inputs: { a: { shape: wide }, b: { shape: wide } },
      build: ({ a, b }) => y(ops.mul(silu(a), b)),
      ...{ flops: 0, bytes: mb(wide, wide, wide), inStep: 3, peer: { op: "gated" } },
    },
    {
      ...{ kernel: "rope", shape: "4 x 8 x 256 x 64 of rows side by side" },
      inputs: { x: { shape: wideHeads }, c: { shape: [256, 32] }, s: { shape: [256, 32] } },
      build: ({ x, c, s }) =>
        y(rope(ops.transpose(ops.reshape(x, [4, 256, 8, 64]), [0, 2, 1, 3]), c, s)),
      ...{ flops: 0, bytes: mb(wideHeads, wideHeads), inStep: 4 },
    },
    {
      ...{ kernel: "reduce", shape: "mean SmoothL1 of 1024 rows of 256" },
      inputs: { a: { shape: rows }, b: { shape: rows } },
      build: ({ a, b }) => y(ops.reduce("mean", smoothL1(a, b), { axes: [1] })),
      ...{ flops: 0, bytes: mb(rows, rows), inStep: 1 },
    },
    {
      ...{ kernel: "reduce", shape: "sum of 1024 rows of 256", inputs: { x: { shape: rows } } },
      build: ({ x }) => y(ops.sum(x, [0])),
      ...{ flops: 0, bytes: mb(rows), inStep: 3, peer: { op: "sumRows" } },
    },
    {
      ...{ kernel: "adamw", shape: "4096 x 256" },
      inputs: {
        ...{ p: { shape: head }, g: { shape: head }, m: { shape: head }, v: { shape: head } },
        s: { shape: [3] },
      },
      build: ({ p, g, m, v, s }) => {
        const step = adamw({ parameter: p, gradient: g, first: m, second: v, schedule: s }, {
          ...{ beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clip: 0.5 },
        });
        return program({}, { updates: { p: step.parameter, m: step.first, v: step.second } });
      },
      ...{ flops: 0, bytes: 7 * mb(head), inStep: 1, peer: { op: "adamw" } },
    },
    product([1, 512, 4096], { transB: true }),
    product([8, 512, 4096], { transB: true }),
    product([64, 512, 4096], { transB: true }),
    ...[1, 8, 64].map(halfProduct),
    ...([8, 4] as const).flatMap((bits) => [1, 8, 64].map((rows) => packedProduct(rows, bits))),
    {
      ...{ kernel: "tree_attention", shape: "8 rows, 8 heads of 64, 256 of 512 cached" },
      inputs: {
        ...{ qkv: { shape: qkv }, keys: { shape: cache }, values: { shape: cache } },
        ...{ length: { ...scalar([1]), below: 257 }, positions: scalar([1, t]) },
        ...{ bias: { shape: [1, 1, t, capacity] }, cos: { shape: [capacity, k / 2] } },
        sin: { shape: [capacity, k / 2] },
      },
      build: (x) => {
        const { context, keys, values } = treeAttention(
          x as unknown as Parameters<typeof treeAttention>[0],
          { heads, kvHeads },
        );
        return program({ context }, { updates: { keys, values } });
      },
      ...{ flops: 0, bytes: mb(cache, qkv), inStep: 0 },
    },
    {
      ...{ kernel: "top_k", shape: "10 of 8 x 4096", inputs: { x: { shape: [8, 4096] } } },
      build: ({ x }) => y(ops.topK(x, 10)),
      ...{ flops: 0, bytes: mb([8, 4096]), inStep: 0 },
    },
    {
      ...{ kernel: "argmax", shape: "8 x 32000", inputs: { x: { shape: [8, 32000] } } },
      build: ({ x }) => y(argmaxRows(x)),
      ...{ flops: 0, bytes: mb([8, 32000]), inStep: 0, peer: { op: "argmax" } },
    },
    {
      ...{ kernel: "sample", shape: "8 x 32000" },
      inputs: { p: { shape: [8, 32000] }, u: { shape: [8] } },
      build: ({ p, u }) => y(sampleRows(p, ops.mul(u, 0.5))),
      ...{ flops: 0, bytes: mb([8, 32000]), inStep: 0 },
    },
  ];
}

/** Random data of an input. */
export function dataFor(
  name: string,
  { shape, dtype = "f32", below = 2 }: { shape: Shape; dtype?: DType; below?: number },
): HostArray {
  const from = random(0, "kernels", name), length = sizeOf(shape);
  if (dtype === "f32") return Float32Array.from({ length }, () => 0.1 + from.uniform());
  const whole = { length };
  if (dtype === "f16") return toHalf(Float32Array.from({ length }, () => 0.1 + from.uniform()));
  return dtype === "i32"
    ? Int32Array.from(whole, () => name === "length" ? below - 1 : from.integer(below))
    : Uint8Array.from(whole, () => from.integer(below));
}

/** A call that is ready: `run` does it some times and waits once. */
export async function openCase(
  backend: Backend,
  one: KernelCase,
  { wait }: { wait: () => Promise<unknown> },
): Promise<{ run: (times: number) => Promise<void> } & Disposable> {
  using resources = new DisposableStack();
  const nodes = Object.fromEntries(
    Object.entries(one.inputs).map(([n, { shape, dtype }]) => [n, ops.input(n, shape, dtype)]),
  );
  const executable = resources.use(await backend.compile(one.build(nodes)));
  const tensors = Object.fromEntries(
    Object.entries(one.inputs).map(([name, given]) => [
      name,
      resources.use(backend.tensor(dataFor(name, given), given.shape)),
    ]),
  );
  const opened = resources.move();
  return {
    async run(times) {
      for (let i = 0; i < times; i++) await executable.run(tensors);
      await wait();
    },
    [Symbol.dispose]: () => opened.dispose(),
  };
}

/** Milliseconds of a call. */
export async function timeCase(
  backend: Backend,
  one: KernelCase,
  options: { wait: () => Promise<unknown>; enough?: number },
): Promise<number> {
  using opened = await openCase(backend, one, options);
  return await timeRepeated((times) => opened.run(times), options);
}
