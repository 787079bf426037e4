/**
 * Composites that choose one element of each row: the largest, or one drawn by a given uniform number. They give
 * indices, so no gradient flows. `composites.ts` lists their expansions beside all others.
 */
import {
  add,
  cast,
  compare,
  constant,
  exp,
  matmul,
  mul,
  neg,
  pad,
  reduce,
  reshape,
  sliceAxis,
  sub,
  sum,
  takeAlong,
  topK,
  where,
} from "./ops.ts";
import { makeNode, type Node, sameShape, showShape } from "./node.ts";

/** Indices that f32 counts without gaps: the expansion of {@link sampleRows} counts in f32. */
const LARGEST_ROW = 2 ** 24;

/**
 * Index of the largest element of each row, of equal ones the lowest: x [N,V] -> i32 [N].
 * @throws when x is not f32 [N,V].
 */
export function argmaxRows(x: Node): Node {
  if (x.dtype !== "f32" || x.shape.length !== 2) {
    throw new Error(
      `Cannot take the largest of rows of ${x.dtype} ${showShape(x.shape)}: wanted f32 [N,V]`,
    );
  }
  return makeNode("argmaxRows", [x], {}, { shape: [x.shape[0]], dtype: "i32" });
}

/**
 * Draws an index from each row by its inverse distribution function: the first of positive probability at which the
 * sum of probabilities so far exceeds u times their total; where rounding leaves none, the last of positive
 * probability, and 0 where there is none. probabilities [N,V] need not add up to 1; uniforms [N] in [0, 1);
 * result i32 [N].
 * @throws when shapes do not fit.
 */
export function sampleRows(probabilities: Node, uniforms: Node): Node {
  const [n, v] = probabilities.shape;
  const fits = probabilities.shape.length === 2 && v <= LARGEST_ROW &&
    sameShape(uniforms.shape, [n]);
  if (probabilities.dtype !== "f32" || uniforms.dtype !== "f32" || !fits) {
    throw new Error(
      `Cannot draw from rows of ${probabilities.dtype} ${
        showShape(probabilities.shape)
      } by ${uniforms.dtype} ${showShape(uniforms.shape)}: wanted f32 [N,V] and f32 [N]`,
    );
  }
  return makeNode("sampleRows", [probabilities, uniforms], {}, { shape: [n], dtype: "i32" });
}

/** How {@link processRows} makes probabilities of logits; the host's twin is `lib/decode/sample.ts`. */
export interface RowSampling {
  /** Logits are divided by it; more than 0. Greedy decoding takes {@link argmaxRows} of the logits. */
  temperature: number;
  /** Keeps the k most likely; 0 keeps all. */
  topK?: number;
  /** Keeps the smallest set of most likely ones that reaches this sum; 1 keeps all. */
  topP?: number;
}

/**
 * Logits [N,V] as probabilities to draw from, after temperature, top-k and top-p in this order; what is left out
 * has 0, and the rest of a row need not add up to 1. Ties with the last one kept are kept. Made of primitives.
 * @throws on settings out of range, and on top-p without top-k, which would sort whole vocabularies.
 */
export function processRows(
  logits: Node,
  { temperature, topK: k = 0, topP = 1 }: RowSampling,
): Node {
  const v = logits.shape.at(-1)!;
  if (!(temperature > 0 && topP > 0 && topP <= 1 && Number.isInteger(k) && k >= 0)) {
    throw new Error(
      `Cannot process rows at temperature ${temperature}, top-k ${k}, top-p ${topP}: wanted a temperature above 0, ` +
        "a whole k, and p above 0 and at most 1",
    );
  }
  if (topP < 1 && k === 0) {
    throw new Error(
      `Cannot process rows of ${v} with top-p ${topP} alone: wanted top-k too, whose tokens are all that is sorted`,
    );
  }
  const scaled = mul(logits, 1 / temperature);
  const weights = exp(sub(scaled, reduce("max", scaled, { axes: [1], keep: true })));
  if (k === 0 || (k >= v && topP === 1)) return weights;
  const best = takeAlong(weights, topK(logits, Math.min(k, v))), count = best.shape[1]; // falling
  if (topP === 1) return keepDownTo(weights, sliceAxis(best, 1, { start: count - 1 }));
  const before = sub(sliceAxis(runningSums(best), 1, { end: count }), best);
  const wanted = compare("lt", before, mul(sum(best, [1], { keep: true }), topP));
  // The smallest of those that are kept: the largest of their negatives. Weights are at most 1.
  const least = neg(reduce("max", where(wanted, neg(best), -2), { axes: [1], keep: true }));
  return keepDownTo(weights, least);
}

const keepDownTo = (x: Node, least: Node): Node => where(compare("ge", x, least), x, 0);

export function expandArgmaxRows([x]: readonly Node[]): Node[] {
  return [reshape(topK(x, 1), [x.shape[0]])];
}

/** Ones where the row is below the column (or on it), so that x times it is the sum of what comes before. */
function ones(size: number, { inclusive }: { inclusive: boolean }): Node {
  const at = (i: number) => Math.floor(i / size) - i % size;
  const data = Float32Array.from(
    { length: size * size },
    (_, i) => at(i) < 0 || (inclusive && at(i) === 0) ? 1 : 0,
  );
  return constant(data, [size, size]);
}

/** Sums of each row [N,V] up to every element: by products with triangles of about sqrt(V), not of V. */
function runningSums(x: Node): Node {
  const [n, v] = x.shape, width = Math.ceil(Math.sqrt(v)), blocks = Math.ceil(v / width);
  const rows = reshape(pad(x, [0, 0], [0, blocks * width - v]), [n * blocks, width]);
  const inside = reshape(matmul(rows, ones(width, { inclusive: true })), [n, blocks, width]);
  const before = matmul(reshape(sum(rows, [1]), [n, blocks]), ones(blocks, { inclusive: false }));
  return reshape(add(inside, reshape(before, [n, blocks, 1])), [n, blocks * width]);
}

export function expandSampleRows([p, u]: readonly Node[]): Node[] {
  const [n, v] = p.shape, sums = runningSums(p), padded = sums.shape[1];
  const positive = compare("gt", pad(p, [0, 0], [0, padded - v]), 0);
  const target = mul(reshape(u, [n, 1]), sum(p, [1], { keep: true }));
  const count = constant(Float32Array.from({ length: padded }, (_, i) => i), [1, padded]);
  const largest = (x: Node) => reduce("max", x, { axes: [1] });
  // Counted from the end, so that the first is the largest; 0 where there is none.
  const left = where(compare("gt", sums, target), sub(padded, count), 0);
  const first = largest(where(positive, left, 0));
  const last = largest(where(positive, count, 0));
  return [cast(where(compare("gt", first, 0), sub(padded, first), last), "i32")];
}
