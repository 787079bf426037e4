/**
 * What is the gradient of each op? One table, and the reverse sweep that walks it. Gradients are more
 * graph: a training step with its optimiser is one Program. Next on the walk: `program.ts`.
 */
import {
  add,
  broadcast,
  cast,
  compare,
  concat,
  div,
  exp,
  fill,
  matmul,
  mul,
  neg,
  pad,
  reciprocal,
  reduce,
  reshape,
  scatterAdd,
  sigmoid,
  sign,
  slice,
  sliceAxis,
  sqrt,
  sub,
  sum,
  transpose,
  where,
} from "./ops.ts";
import { expand, halfMatmul, logSoftmax, rope } from "./composites.ts";
import { streamAttentionGradient } from "./stream_attention.ts";
import {
  isOp,
  type Node,
  type OpAttrs,
  type OpName,
  sameShape,
  type Shape,
  sizeOf,
} from "./node.ts";
import { mergeEqual, topological } from "./program.ts";

/** Gradients for the inputs of a node, given the gradient `dy` of its result. `undefined` = none. */
type GradientRule<O extends OpName> = (node: Node<O>, dy: Node) => (Node | undefined)[];

/** `"expand"`: differentiate the expansion. `"none"`: no gradient is defined, asking for one is an error. */
type Entry<O extends OpName> = GradientRule<O> | "expand" | "none";

/** Adds over the dimensions along which `shape` was broadcast to make x. */
function sumTo(x: Node, shape: Shape): Node {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes = x.shape.flatMap((d, i) => i < lead || (shape[i - lead] === 1 && d !== 1) ? [i] : []);
  return reshape(sum(x, axes), shape);
}

const table: { [O in OpName]: Entry<O> } = {
  input: () => [],
  constant: () => [],
  fill: () => [],
  detach: () => [undefined],
  compare: () => [undefined, undefined],
  topK: () => [undefined],
  cast: (n, dy) => [n.inputs[0].dtype === "f32" && n.attrs.to === "f32" ? dy : undefined],
  unary: (n, dy) => {
    const [x] = n.inputs, y = n as Node;
    switch (n.attrs.fn) {
      case "neg":
        return [neg(dy)];
      case "exp":
        return [mul(dy, y)];
      case "log":
        return [div(dy, x)];
      case "sqrt":
        return [div(mul(dy, 0.5), y)];
      case "reciprocal":
        return [neg(mul(dy, mul(y, y)))];
      case "sigmoid":
        return [mul(dy, mul(y, sub(1, y)))];
      case "tanh":
        return [mul(dy, sub(1, mul(y, y)))];
      case "abs":
        return [mul(dy, sign(x))];
      case "sign":
        return [undefined];
    }
  },
  binary: (n, dy) => {
    const [a, b] = n.inputs, to = (x: Node, like: Node) => sumTo(x, like.shape);
    if (n.dtype !== "f32") return [undefined, undefined];
    const keep = (fn: "gt" | "lt" | "ge" | "le") => cast(compare(fn, a, b), "f32");
    switch (n.attrs.fn) {
      case "add":
        return [to(dy, a), to(dy, b)];
      case "sub":
        return [to(dy, a), to(neg(dy), b)];
      case "mul":
        return [to(mul(dy, b), a), to(mul(dy, a), b)];
      case "div":
        return [to(div(dy, b), a), to(neg(div(mul(dy, n as Node), b)), b)];
      case "max": // where both are equal, the first takes the gradient
        return [to(mul(dy, keep("ge")), a), to(mul(dy, keep("lt")), b)];
      case "min":
        return [to(mul(dy, keep("le")), a), to(mul(dy, keep("gt")), b)];
    }
  },
  where: (n, dy) => {
    const [condition, a, b] = n.inputs;
    return [
      undefined,
      sumTo(where(condition, dy, 0), a.shape),
      sumTo(where(condition, 0, dy), b.shape),
    ];
  },
  reduce: (n, dy) => {
    const [x] = n.inputs, { fn, axes } = n.attrs;
    const kept = x.shape.map((d, i) => axes.includes(i) ? 1 : d);
    const wide = broadcast(reshape(dy, kept), x.shape);
    if (fn === "sum") return [wide];
    if (fn === "mean") return [mul(wide, sizeOf(n.shape) / sizeOf(x.shape))];
    const hit = cast(compare("eq", x, broadcast(reshape(n as Node, kept), x.shape)), "f32");
    return [div(mul(wide, hit), broadcast(sum(hit, axes, { keep: true }), x.shape))];
  },
  reshape: (n, dy) => [reshape(dy, n.inputs[0].shape)],
  transpose: (n, dy) => [transpose(dy, n.attrs.perm.map((_, i) => n.attrs.perm.indexOf(i)))],
  broadcast: (n, dy) => [sumTo(dy, n.inputs[0].shape)],
  slice: (n, dy) => {
    const { starts, ends } = n.attrs, full = n.inputs[0].shape;
    return [pad(dy, starts, ends.map((e, i) => full[i] - e))];
  },
  pad: (n, dy) => {
    const { before } = n.attrs, [x] = n.inputs;
    return [slice(dy, before, before.map((s, i) => s + x.shape[i]))];
  },
  concat: (n, dy) => {
    let start = 0;
    return n.inputs.map((x) => {
      const end = start + x.shape[n.attrs.axis];
      const part = sliceAxis(dy, n.attrs.axis, { start, end });
      start = end;
      return part;
    });
  },
  matmul: (n, dy) => {
    const [a, b] = n.inputs, { transA, transB, alpha } = n.attrs;
    const da = transA
      ? matmul(b, dy, { transA: transB, transB: true, alpha })
      : matmul(dy, b, { transB: !transB, alpha });
    const db = transB
      ? matmul(dy, a, { transA: true, transB: transA, alpha })
      : matmul(a, dy, { transA: !transA, alpha });
    return [da, db];
  },
  gather: (n, dy) => [scatterAdd(n.inputs[1], dy, n.inputs[0].shape[0]), undefined],
  takeAlong: "none",
  scatterAdd: "none",
  pick: () => {
    throw new Error("pick is resolved by the sweep");
  },
  softmax: (n, dy) => {
    const y = n as Node, weighted = mul(y, dy);
    return [sub(weighted, mul(y, sum(weighted, [-1], { keep: true })))];
  },
  logSoftmax: (n, dy) => [sub(dy, mul(exp(n as Node), sum(dy, [-1], { keep: true })))],
  silu: (n, dy) => {
    const s = sigmoid(n.inputs[0]);
    return [mul(dy, add(s, mul(n as Node, sub(1, s))))];
  },
  rmsNorm: (n, dy) => {
    const [x, w] = n.inputs;
    const square = reduce("mean", mul(x, x), { axes: [-1], keep: true });
    const inverse = reciprocal(sqrt(add(square, n.attrs.epsilon)));
    const unit = mul(x, inverse), dUnit = mul(dy, w);
    const along = reduce("mean", mul(dUnit, unit), { axes: [-1], keep: true });
    return [mul(sub(dUnit, mul(unit, along)), inverse), sumTo(mul(dy, unit), w.shape)];
  },
  // Turning back by the same angle; the tables are constants and get no gradient.
  rope: (n, dy) => [rope(dy, n.inputs[1], neg(n.inputs[2])), undefined, undefined],
  smoothL1: (n, dy) => {
    const d = sub(n.inputs[0], n.inputs[1]);
    const slope = mul(dy, where(compare("lt", mul(d, d), 1), d, sign(d)));
    return [slope, neg(slope)];
  },
  crossEntropy: (n, dy) => {
    const [logits, p] = n.inputs;
    const slope = reshape(dy, [...dy.shape, 1]), mass = sum(p, [-1], { keep: true });
    // The logarithms stand in the loss already: exponents of them, rather than a softmax from the start.
    const q = exp(logSoftmax(logits));
    return [sub(mul(q, mul(mass, slope)), mul(p, slope)), undefined];
  },
  quantizedMatmul: "none",
  halfMatmul: (n, dy) => [halfMatmul(dy, n.inputs[1], { transB: !n.attrs.transB }), undefined],
  treeAttention: "none",
  keepRows: "none",
  streamAttention: (n, dy) => streamAttentionGradient(n, dy), // `start` gets none
  streamAttentionGradient: "none",
  argmaxRows: () => [undefined],
  sampleRows: () => [undefined, undefined],
  expertMix: "none",
  adamw: "none",
};

/**
 * Gradients of a scalar `loss` with respect to each of `wrt`, as more graph; zero where the loss does not
 * depend on a value.
 * @throws when loss is not a scalar, a value of `wrt` is stored in f16, or the path runs through an op without a
 * gradient.
 */
export function gradients(loss: Node, wrt: readonly Node[]): Node[] {
  if (loss.shape.length !== 0) {
    throw new Error(`Cannot differentiate a value of shape [${loss.shape}]: wanted a scalar`);
  }
  // Equal subexpressions first: one that several parts of the loss share is then swept once, with the sum of
  // what arrives, instead of once for each part.
  const merged = mergeEqual([loss]), kept = wrt.map((w) => merged.get(w) ?? w);
  return sweep([merged.get(loss)!], [fill(1)], { wrt: kept })
    .map((g, i) => g ?? fill(0, wrt[i].shape));
}

/**
 * A reverse sweep in pieces: gradients of sum(results * seeds) with respect to each of `wrt`, on a graph that is
 * cut at `stops`. A stop among `wrt` gets what reaches it; what lies behind it gets nothing, until another piece
 * starts there with that as its seed. `undefined` where nothing arrives.
 */
export function pullback(
  results: readonly Node[],
  seeds: readonly (Node | undefined)[],
  { wrt, stops = [] }: { wrt: readonly Node[]; stops?: readonly Node[] },
): (Node | undefined)[] {
  const merged = mergeEqual(results), same = (x: Node) => merged.get(x) ?? x;
  return sweep(results.map(same), seeds, {
    wrt: wrt.map(same),
    stops: new Set(stops.map(same)),
  });
}

/** The only axis along which a pad adds anything, with the range that x takes there. */
function padded(x: Node): { axis: number; start: number; end: number } | undefined {
  if (!isOp(x, "pad")) return undefined;
  const { before, after } = x.attrs;
  const axes = before.flatMap((n, i) => n > 0 || after[i] > 0 ? [i] : []), [axis] = axes;
  if (axes.length !== 1) return undefined;
  return { axis, start: before[axis], end: before[axis] + x.inputs[0].shape[axis] };
}

/** Adds two gradients; slices side by side, each padded with zeros, are put together instead. */
function addGradients(a: Node, b: Node): Node {
  const x = padded(a), y = padded(b);
  if (x === undefined || y === undefined || x.axis !== y.axis) return add(a, b);
  if (y.end === x.start) return addGradients(b, a);
  if (x.end !== y.start) return add(a, b);
  const zeros = (n: number) => a.shape.map((_, i) => i === x.axis ? n : 0);
  const both = concat([a.inputs[0], b.inputs[0]], x.axis);
  return pad(both, zeros(x.start), zeros(a.shape[x.axis] - y.end));
}

/**
 * Vector-Jacobian product: gradients of sum(results * seeds) with respect to `wrt`. Does not go beyond
 * `stops`; without them a value of `wrt` may depend on another one.
 */
function sweep(
  results: readonly Node[],
  seeds: readonly (Node | undefined)[],
  { wrt, stops = new Set() }: { wrt: readonly Node[]; stops?: ReadonlySet<Node> },
): (Node | undefined)[] {
  const frozen = wrt.find((w) => w.dtype === "f16");
  if (frozen !== undefined) {
    throw new Error(
      `Cannot differentiate with respect to f16 [${frozen.shape}]: what is stored so is frozen, wanted f32`,
    );
  }
  const order = topological(results, stops), wanted = new Set(wrt);
  const reaches = new Set<Node>(), passes = new Set<Node>();
  for (const n of order) {
    if (!stops.has(n) && n.op !== "detach" && n.inputs.some((x) => reaches.has(x))) passes.add(n);
    if (wanted.has(n) || passes.has(n)) reaches.add(n);
  }
  const collected = new Map<Node, Node>(), partsOf = new Map<Node, (Node | undefined)[]>();
  const give = (n: Node, g: Node) => {
    const known = collected.get(n);
    collected.set(n, known === undefined ? g : addGradients(known, g));
  };
  results.forEach((r, i) => seeds[i] !== undefined && give(r, seeds[i]!));
  for (const n of order.toReversed()) {
    if (!passes.has(n)) continue;
    const dy = collected.get(n);
    if (n.op === "pick") {
      if (dy === undefined) continue;
      const parts = partsOf.get(n.inputs[0]) ?? [];
      parts[(n.attrs as OpAttrs["pick"]).index] = dy;
      partsOf.set(n.inputs[0], parts);
      continue;
    }
    const parts = partsOf.get(n) ?? (dy === undefined ? undefined : [dy]);
    if (parts === undefined) continue;
    propagate(n, parts).forEach((g, i) => {
      if (g !== undefined && reaches.has(n.inputs[i])) give(n.inputs[i], g);
    });
  }
  return wrt.map((w) => collected.get(w));
}

function propagate(n: Node, parts: (Node | undefined)[]): (Node | undefined)[] {
  const rule = table[n.op] as Entry<OpName>;
  if (rule === "none") throw new Error(`Cannot differentiate through ${n.op}: it has no gradient`);
  const beside = parts.findIndex((dy, i) => i > 0 && dy !== undefined);
  if (rule !== "expand" && beside > 0) {
    throw new Error(`Cannot differentiate through result ${beside} of ${n.op}: wanted result 0`);
  }
  if (rule !== "expand") return rule(n, parts[0]!);
  return sweep(expand(n), parts, { wrt: n.inputs, stops: new Set(n.inputs) });
}
