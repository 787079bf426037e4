/**
 * Training steps to time: a plain LLaMA stack with soft-label cross entropy (the model that other frameworks
 * can be given too) and a GRIFFIN step of three passes. Forward, backward and AdamW in one Program.
 */
import type { Backend, Params } from "../backend/backend.ts";
import {
  add,
  constant,
  div,
  gather,
  input,
  matmul,
  mul,
  reshape,
  sum,
  transpose,
} from "../graph/ops.ts";
import { adamw, crossEntropy, rmsNorm, rope, silu, softmax } from "../graph/composites.ts";
import { gradients } from "../graph/gradients.ts";
import { HIDDEN, type Node, type Shape, sizeOf } from "../graph/node.ts";
import { type Program, program } from "../graph/program.ts";
import type { DraftConfig } from "../model/config.ts";
import { toHalf } from "../io/float16.ts";
import { linear } from "../model/llama.ts";
import { rotaryTables } from "../model/rotary.ts";
import { random } from "../random.ts";
import { DEFAULT_RECIPE } from "../train/recipe.ts";
import { trainingProgram } from "../train/step.ts";

/** Sizes of the plain stack. */
export interface StackSizes {
  layers: number;
  width: number;
  heads: number;
  inner: number;
  vocabulary: number;
  batch: number;
  length: number;
}

/** The sizes that are timed; the first three have one layer of 1.84 M parameters with the head. */
export const STACKS: StackSizes[] = [
  { layers: 1, width: 256, heads: 4, inner: 688, vocabulary: 4096, batch: 4, length: 256 },
  { layers: 1, width: 256, heads: 4, inner: 688, vocabulary: 4096, batch: 1, length: 256 },
  { layers: 1, width: 256, heads: 4, inner: 688, vocabulary: 4096, batch: 1, length: 64 },
  { layers: 6, width: 512, heads: 8, inner: 1376, vocabulary: 4096, batch: 4, length: 256 },
];

/** The stack's optimiser. */
const STACK_ADAMW = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01 };

/** Trained parameters of the stack by name; the embedding is frozen, as in the timing of other frameworks. */
export function stackShapes(
  { layers, width: d, inner, vocabulary }: StackSizes,
): Record<string, Shape> {
  const shapes: Record<string, Shape> = {};
  for (let l = 0; l < layers; l++) {
    for (const name of ["q", "k", "v", "o"]) shapes[`${l}.${name}`] = [d, d];
    shapes[`${l}.gate`] = shapes[`${l}.up`] = [inner, d];
    shapes[`${l}.down`] = [d, inner];
    shapes[`${l}.norm1`] = shapes[`${l}.norm2`] = [d];
  }
  return { ...shapes, norm: [d], head: [vocabulary, d] };
}

/** Floating-point operations of a step: 2 a multiply-add, products only, backward twice the forward. */
export function stackFlops(sizes: StackSizes): number {
  const { layers, width: d, inner, vocabulary, batch, length } = sizes, rows = batch * length;
  const layer = 2 * rows * (4 * d * d + 3 * d * inner) + 4 * rows * length * d;
  return 3 * (layers * layer + 2 * rows * d * vocabulary);
}

/** One step of the stack: inputs ids [B,T], target [B T,V], parameters, moments, schedule; output `loss`. */
export function stackProgram(sizes: StackSizes): Program {
  const { layers, width: d, heads: h, vocabulary, batch, length: t } = sizes,
    n = batch * t,
    k = d / h;
  const shapes = stackShapes(sizes);
  const w = Object.fromEntries(Object.entries(shapes).map(([name, s]) => [name, input(name, s)]));
  const embedding = input("embedding", [vocabulary, d]), epsilon = 1e-5;
  const { cos, sin } = rotaryTables(t, { headSize: k, ropeTheta: 10000 });
  const hidden = Float32Array.from(
    { length: t * t },
    (_, i) => i % t > Math.floor(i / t) ? HIDDEN : 0,
  );
  const causal = constant(hidden, [t, t]);
  const split = (x: Node) => transpose(reshape(x, [batch, t, h, k]), [0, 2, 1, 3]);
  let x = reshape(gather(embedding, input("ids", [batch, t], "i32")), [n, d]);
  for (let l = 0; l < layers; l++) {
    const u = rmsNorm(x, w[`${l}.norm1`], { epsilon });
    const q = rope(split(linear(u, w[`${l}.q`])), cos, sin);
    const key = rope(split(linear(u, w[`${l}.k`])), cos, sin), v = split(linear(u, w[`${l}.v`]));
    const scores = matmul(q, key, { transB: true, alpha: 1 / Math.sqrt(k) });
    const context = matmul(softmax(add(scores, causal)), v);
    const rows = reshape(transpose(context, [0, 2, 1, 3]), [n, d]);
    x = add(x, linear(rows, w[`${l}.o`]));
    const z = rmsNorm(x, w[`${l}.norm2`], { epsilon });
    const gated = mul(silu(linear(z, w[`${l}.gate`])), linear(z, w[`${l}.up`]));
    x = add(x, linear(gated, w[`${l}.down`]));
  }
  const logits = linear(rmsNorm(x, w.norm, { epsilon }), w.head);
  const loss = div(sum(crossEntropy(logits, input("target", [n, vocabulary]))), n);
  const names = Object.keys(shapes), slopes = gradients(loss, names.map((name) => w[name]));
  const schedule = input("schedule", [3]), updates: Record<string, Node> = {};
  names.forEach((name, i) => {
    const [first, second] = ["first", "second"].map((m) => input(`${m}.${name}`, shapes[name]));
    const next = adamw(
      { parameter: w[name], gradient: slopes[i], first, second, schedule },
      { ...STACK_ADAMW, clip: 0 },
    );
    updates[name] = next.parameter;
    updates[`first.${name}`] = next.first;
    updates[`second.${name}`] = next.second;
  });
  return program({ loss }, { updates });
}

/** A draft of the GRIFFIN step that is timed. */
export const GRIFFIN_SIZES = { passes: 3, batch: 4, length: 256 };
const GRIFFIN_CONFIG: DraftConfig = {
  width: 512,
  inner: 1376,
  heads: 8,
  kvHeads: 8,
  headSize: 64,
  vocabulary: 4096,
  positions: 2048,
  epsilon: 1e-6,
  ropeTheta: 10000,
  fusion: "tgf",
  head: "dual",
};

/** The Program of a GRIFFIN step of three passes at D 512. */
export function griffinProgram(): Program {
  const { passes, batch, length } = GRIFFIN_SIZES;
  const recipe = { ...DEFAULT_RECIPE, passes };
  return trainingProgram(GRIFFIN_CONFIG, { recipe, shape: { batch, length } });
}

/** What a peer is told of the GRIFFIN step. */
export const griffinSizes = () => ({
  ...GRIFFIN_CONFIG,
  ...GRIFFIN_SIZES,
  recipe: { ...DEFAULT_RECIPE, passes: GRIFFIN_SIZES.passes },
});

/** What a peer is told of a stack. */
export const stackSizes = (sizes: StackSizes) => ({ ...sizes, recipe: STACK_ADAMW });

/** Values in f16, row by row: all of them in f32 would be part of the peak that `frozen.ts` measures. */
function halves(size: number, value: () => number): Uint16Array {
  const bits = new Uint16Array(size), row = new Float32Array(4096);
  for (let at = 0; at < size; at += row.length) {
    const part = row.subarray(0, Math.min(row.length, size - at));
    bits.set(toHalf(part.map(value)), at);
  }
  return bits;
}

/** Random inputs for any of the Programs, never all zero; moments small and positive. */
export function randomInputs(backend: Backend, { inputs }: Program): Params {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, dtype }]) => {
      const from = random(1, "bench", name), size = sizeOf(shape);
      const fill = (value: () => number) => Float32Array.from({ length: size }, value);
      const scale = shape.length > 1 ? shape[shape.length - 1] ** -0.5 : 1;
      const data = dtype === "i32"
        ? Int32Array.from({ length: size }, () => from.integer(4096))
        : name === "schedule"
        ? Float32Array.of(1e-4, 0.1, 0.05)
        : name === "mask" // the last row of an example has no goal and is never trained
        ? Float32Array.from({ length: size }, (_, i) => (i + 1) % shape[1] === 0 ? 0 : 1)
        : dtype === "f16"
        ? halves(size, () => scale * (2 * from.uniform() - 1))
        : shape.length === 1 && !name.includes("first") && !name.includes("second")
        ? fill(() => 1)
        : name === "target"
        ? fill(() => from.uniform() * 2 / shape[1])
        : name.startsWith("first.") || name.startsWith("second.")
        ? fill(() => 1e-6 * from.uniform())
        : fill(() => scale * (2 * from.uniform() - 1));
      return [name, backend.tensor(data, shape)];
    }),
  );
}
