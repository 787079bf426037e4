/**
 * Attention of training: the newest pass's queries over the keys and values of all passes (griffin.md sections 4 and
 * 9), and its gradient, as two composites. Their expansions hold a T x T matrix of weights, which forward and
 * gradient share; a backend with kernels makes it tile by tile and keeps one number a row.
 */
import {
  add,
  compare,
  concat,
  constant,
  exp,
  log,
  matmul,
  mul,
  pad,
  pick,
  reduce,
  reshape,
  sliceAxis,
  sub,
  sum,
  transpose,
  where,
} from "./ops.ts";
import { type CompositeAttrs, HIDDEN, makeNode, type Node, sameShape, showShape } from "./node.ts";

/** Operands of {@link streamAttention}; stream 0 first. */
export interface StreamAttentionInputs {
  /** Rotated queries [B,H,T,K]. */
  q: Node;
  /** Rotated keys, [B,Hk,T,K] each. */
  keys: readonly Node[];
  /** Values, as the keys. */
  values: readonly Node[];
  /** Row at which each row's own example begins, f32 [B,T], never falling along T; without it all begin at 0. */
  start?: Node;
}

/**
 * Attention over streams: row r sees of stream 0 the columns c <= r - gap, and of stream s >= 1 the one column
 * r - backs[s-1], all of them from `start` on. With `future` the rows to come count with score 0 in the weights'
 * total, and give no value, as the published training code has it. Result: context [B, T, H K].
 * @throws when shapes do not fit, or some row would see nothing.
 */
export function streamAttention(
  { q, keys, values, start }: StreamAttentionInputs,
  { gap, backs, future = false }: {
    gap: number;
    backs: readonly number[];
    future?: boolean;
  },
): Node {
  const [b, h, t, k] = q.shape, kvHeads = keys[0]?.shape[1] ?? 0, wanted = [b, kvHeads, t, k];
  const odd = [...keys, ...values].find((x) => !sameShape(x.shape, wanted)) ??
    (start === undefined || sameShape(start.shape, [b, t]) ? undefined : start);
  if (odd !== undefined || q.shape.length !== 4) {
    throw new Error(
      `Cannot attend with queries ${showShape(q.shape)} over ${kvHeads} key heads: found ${
        showShape((odd ?? q).shape)
      }, wanted ${showShape(odd !== undefined && odd === start ? [b, t] : wanted)}`,
    );
  }
  if (h % kvHeads !== 0) {
    throw new Error(`Cannot share ${kvHeads} key heads among ${h} query heads: not a multiple`);
  }
  if (keys.length !== backs.length + 1 || values.length !== keys.length) {
    throw new Error(
      `Cannot attend over ${keys.length} keys and ${values.length} values: wanted ${
        backs.length + 1
      } streams of both`,
    );
  }
  if (gap > 0 && !backs.includes(0)) {
    throw new Error(
      `Cannot attend ${gap} rows back in stream 0 alone: its first rows would see nothing, wanted a later stream of 0 back`,
    );
  }
  const node = makeNode(
    "streamAttention",
    [q, ...keys, ...values, ...(start === undefined ? [] : [start])],
    { gap, backs, future },
    {
      shape: [b, t, h * k],
      dtype: "f32",
      // The logarithm of each row's sum of exponentials: all that the gradient needs of the weights.
      parts: [{ shape: [b, t, h * k], dtype: "f32" }, { shape: [b, h, t], dtype: "f32" }],
    },
  );
  return pick(node, 0);
}

/**
 * Gradients of a streamAttention for its operands but `start`, given dy [B, T, H K] of its context: q, keys,
 * values. Natively from what the forward left: context and logarithms.
 */
export function streamAttentionGradient(forward: Node<"streamAttention">, dy: Node): Node[] {
  const operands = forward.inputs.slice(0, 1 + 2 * streamsOf(forward.attrs));
  const parts = operands.map(({ shape }) => ({ shape, dtype: "f32" as const }));
  const node = makeNode(
    "streamAttentionGradient",
    [dy, pick(forward, 0), pick(forward, 1), ...forward.inputs],
    forward.attrs,
    { ...parts[0], parts },
  );
  return parts.map((_, i) => pick(node, i));
}

const streamsOf = ({ backs }: CompositeAttrs["streamAttention"]): number => backs.length + 1;

/** Inputs of a streamAttention, or what a backend has for each of them, by name. */
export function operandsOf<T>(
  [q, ...rest]: readonly T[],
  attrs: CompositeAttrs["streamAttention"],
): { q: T; keys: T[]; values: T[]; start?: T } {
  const p = streamsOf(attrs);
  return { q, keys: rest.slice(0, p), values: rest.slice(p, 2 * p), start: rest[2 * p] };
}

/** Moves rows [B,Hk,T,K] down by n, zeros first. */
function shiftDown(x: Node, n: number): Node {
  if (n === 0) return x;
  return pad(sliceAxis(x, 2, { end: x.shape[2] - n }), [0, 0, n, 0], [0, 0, 0, 0]);
}

/** Moves rows up by n, zeros last: what shiftDown does to a gradient. */
function shiftUp(x: Node, n: number): Node {
  return n === 0 ? x : pad(sliceAxis(x, 2, { start: n }), [0, 0, 0, 0], [0, 0, n, 0]);
}

/** Hidden where a row has no row `back` before it in its example: [T,1] or, with starts, [B,1,1,T,1]. */
function hideFirst(length: number, back: number, start?: Node): Node {
  const count = Float32Array.from({ length }, (_, r) => r);
  if (start === undefined) {
    return constant(count.map((r) => r < back ? HIDDEN : 0), [length, 1]);
  }
  const place = sub(constant(count, [1, length]), start);
  const early = compare("lt", reshape(place, [start.shape[0], 1, 1, length, 1]), back);
  return where(early, HIDDEN, 0);
}

/** Hidden where a column lies before the row's own example: [B,1,1,T,T]. */
function hideOthers(start: Node): Node {
  const [b, t] = start.shape;
  const column = constant(Float32Array.from({ length: t }, (_, i) => i), [1, 1, t]);
  const other = compare("lt", column, reshape(start, [b, t, 1])); // [B,T,T]
  return reshape(where(other, HIDDEN, 0), [b, 1, 1, t, t]);
}

/** What forward and gradient share. */
interface Weights {
  scores: Node;
  /** Softmax of the scores, [B,Hk,G,T,T+P-1]: columns of stream 0, then one of each later stream. */
  weights: Node;
  /** Weights that stream 0's values are taken with, [B,Hk,G T,T]. */
  onBase: Node;
  /** 1 where stream 0 is seen, [T,T]; only where what is not seen has weight. */
  seen?: Node;
}

/** Weights by the operands of the forward node, so that the gradient's expansion finds them. */
const known = new WeakMap<readonly Node[], Weights>();

function weightsOf(inputs: readonly Node[], attrs: CompositeAttrs["streamAttention"]): Weights {
  const made = known.get(inputs) ?? makeWeights(inputs, attrs);
  known.set(inputs, made);
  return made;
}

function shapesOf(inputs: readonly Node[]) {
  const [b, h, t, k] = inputs[0].shape, kvHeads = inputs[1].shape[1], g = h / kvHeads;
  return {
    ...{ b, h, t, k, g, kvHeads, alpha: 1 / Math.sqrt(k) },
    grouped: [b, kvHeads, g, t, k],
    joined: [b, kvHeads, g * t, k],
    /** One stream's rows beside grouped queries. */
    row: (x: Node, back: number) => reshape(shiftDown(x, back), [b, kvHeads, 1, t, k]),
  };
}

function makeWeights(
  inputs: readonly Node[],
  attrs: CompositeAttrs["streamAttention"],
): Weights {
  const { q, keys, start } = operandsOf(inputs, attrs), { gap, backs, future } = attrs;
  const { b, t, g, kvHeads, alpha, grouped, joined, row } = shapesOf(inputs);
  const base = reshape(
    matmul(reshape(q, joined), keys[0], { transB: true, alpha }),
    [b, kvHeads, g, t, t],
  );
  const table = (value: (back: number) => number) =>
    constant(
      Float32Array.from({ length: t * t }, (_, i) => value(Math.floor(i / t) - i % t)),
      [t, t],
    );
  const seen = future ? table((back) => back >= gap ? 1 : 0) : undefined;
  const hidden = table((back) => back >= gap || (future && back < 0) ? 0 : HIDDEN);
  let first = add(seen === undefined ? base : mul(base, seen), hidden);
  if (start !== undefined) first = add(first, hideOthers(start));
  const later = backs.map((back, s) => {
    const products = mul(reshape(q, grouped), row(keys[s + 1], back));
    const own = mul(sum(products, [-1], { keep: true }), alpha); // [B,Hk,G,T,1]
    return back === 0 ? own : add(own, hideFirst(t, back, start));
  });
  const scores = concat([first, ...later], -1);
  const weights = makeNode("softmax", [scores], {}, { shape: scores.shape, dtype: "f32" });
  const share = sliceAxis(weights, -1, { end: t });
  const onBase = reshape(seen === undefined ? share : mul(share, seen), [b, kvHeads, g * t, t]);
  return { scores, weights, onBase, seen };
}

export function expandStreamAttention(
  inputs: readonly Node[],
  attrs: CompositeAttrs["streamAttention"],
): Node[] {
  const { values } = operandsOf(inputs, attrs), { b, h, t, k, grouped, row } = shapesOf(inputs);
  const { scores, weights, onBase } = weightsOf(inputs, attrs);
  let context = reshape(matmul(onBase, values[0]), grouped);
  attrs.backs.forEach((back, s) => {
    const share = sliceAxis(weights, -1, { start: t + s, end: t + s + 1 });
    context = add(context, mul(share, row(values[s + 1], back)));
  });
  const rows = transpose(reshape(context, [b, h, t, k]), [0, 2, 1, 3]);
  const most = reduce("max", scores, { axes: [-1], keep: true });
  const total = add(most, log(sum(exp(sub(scores, most)), [-1], { keep: true })));
  return [reshape(rows, [b, t, h * k]), reshape(total, [b, h, t])];
}

export function expandStreamAttentionGradient(
  [dy, context]: readonly Node[],
  attrs: CompositeAttrs["streamAttention"],
): Node[] {
  const { inputs } = context.inputs[0]; // those of the forward node, whose weights these are
  const { q, keys, values } = operandsOf(inputs, attrs), { backs } = attrs;
  const { b, h, t, k, g, kvHeads, alpha, grouped, joined, row } = shapesOf(inputs);
  const { weights, onBase, seen } = weightsOf(inputs, attrs);
  const down = transpose(reshape(dy, [b, t, h, k]), [0, 2, 1, 3]); // [B,H,T,K]
  const slope = reshape(down, grouped), wide = reshape(down, joined), queries = reshape(q, grouped);
  const masked = (x: Node) => seen === undefined ? x : mul(x, seen);

  const onFirst = masked(
    reshape(matmul(wide, values[0], { transB: true }), [b, kvHeads, g, t, t]),
  );
  const onLater = backs.map((back, s) =>
    sum(mul(slope, row(values[s + 1], back)), [-1], { keep: true })
  );
  const weighted = mul(weights, concat([onFirst, ...onLater], -1));
  const slopes = sub(weighted, mul(weights, sum(weighted, [-1], { keep: true })));

  const first = reshape(masked(sliceAxis(slopes, -1, { end: t })), [b, kvHeads, g * t, t]);
  let dq = reshape(matmul(first, keys[0], { alpha }), grouped);
  const dKeys = [matmul(first, reshape(q, joined), { transA: true, alpha })];
  const dValues = [matmul(onBase, wide, { transA: true })];
  backs.forEach((back, s) => {
    const column = (x: Node) => sliceAxis(x, -1, { start: t + s, end: t + s + 1 });
    const turned = mul(column(slopes), alpha), home = (x: Node) => shiftUp(sum(x, [2]), back);
    dq = add(dq, mul(turned, row(keys[s + 1], back)));
    dKeys.push(home(mul(turned, queries)));
    dValues.push(home(mul(column(weights), slope)));
  });
  return [reshape(dq, [b, h, t, k]), ...dKeys, ...dValues];
}
