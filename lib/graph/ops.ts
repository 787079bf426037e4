/**
 * The primitive ops: constructors that check shapes and say clearly what does not fit. A backend has
 * one row for each of these in its table; everything else (`composites.ts`) is defined through them.
 * Nothing is computed here. Next on the walk: `composites.ts`.
 */
import {
  type BinaryFn,
  broadcastShapes,
  type CompareFn,
  type DType,
  dtypeOf,
  type HostArray,
  isOp,
  makeNode,
  type Node,
  type ReduceFn,
  sameShape,
  type Shape,
  showShape,
  sizeOf,
  type UnaryFn,
} from "./node.ts";

/** A named value supplied at run time (or bound as a weight when the program is compiled). */
export function input(name: string, shape: Shape, dtype: DType = "f32"): Node {
  for (const d of shape) {
    if (!Number.isInteger(d) || d < 1) {
      throw new Error(
        `Cannot declare input ${name} ${showShape(shape)}: every size must be a positive integer`,
      );
    }
  }
  return makeNode("input", [], { name }, { shape, dtype });
}

/** A value fixed in the graph; element type follows the array. */
export function constant(data: HostArray, shape: Shape): Node {
  if (data.length !== sizeOf(shape)) {
    throw new Error(
      `Cannot make a constant ${showShape(shape)} from ${data.length} values: wanted ${
        sizeOf(shape)
      }`,
    );
  }
  return makeNode("constant", [], { data }, { shape, dtype: dtypeOf(data) });
}

/** One number everywhere. */
export function fill(value: number, shape: Shape = [], dtype: DType = "f32"): Node {
  if (dtype === "f16") throw new Error("Cannot fill f16: it is storage, wanted another type");
  return makeNode("fill", [], { value }, { shape, dtype });
}

function operand(x: Node | number, like: DType): Node {
  return typeof x === "number" ? fill(x, [], like === "f16" ? "f32" : like) : x;
}

function unary(fn: UnaryFn, x: Node): Node {
  if (x.dtype !== "f32") throw new Error(`Cannot apply ${fn} to ${x.dtype}: wanted f32`);
  return makeNode("unary", [x], { fn }, { shape: x.shape, dtype: "f32" });
}

export const neg = (x: Node): Node => unary("neg", x);
export const exp = (x: Node): Node => unary("exp", x);
export const log = (x: Node): Node => unary("log", x);
export const sqrt = (x: Node): Node => unary("sqrt", x);
export const reciprocal = (x: Node): Node => unary("reciprocal", x);
export const sigmoid = (x: Node): Node => unary("sigmoid", x);
export const tanh = (x: Node): Node => unary("tanh", x);
export const abs = (x: Node): Node => unary("abs", x);
export const sign = (x: Node): Node => unary("sign", x);

function binary(fn: BinaryFn, a: Node | number, b: Node | number): Node {
  const like = typeof a === "number" ? (b as Node).dtype : a.dtype;
  const x = operand(a, like), y = operand(b, like);
  if (x.dtype !== y.dtype || (x.dtype !== "f32" && x.dtype !== "i32")) {
    throw new Error(
      `Cannot ${fn} ${x.dtype} and ${y.dtype}: wanted the same type on both sides, f32 or i32`,
    );
  }
  return makeNode("binary", [x, y], { fn }, {
    shape: broadcastShapes(x.shape, y.shape, fn),
    dtype: x.dtype,
  });
}

type Operand = Node | number;
export const add = (a: Operand, b: Operand): Node => binary("add", a, b);
export const sub = (a: Operand, b: Operand): Node => binary("sub", a, b);
export const mul = (a: Operand, b: Operand): Node => binary("mul", a, b);
export const div = (a: Operand, b: Operand): Node => binary("div", a, b);
export const max = (a: Operand, b: Operand): Node => binary("max", a, b);
export const min = (a: Operand, b: Operand): Node => binary("min", a, b);

/** Compares two values of the same type; the result is `bool`. */
export function compare(fn: CompareFn, a: Node, b: Operand): Node {
  const y = operand(b, a.dtype);
  if (a.dtype !== y.dtype) throw new Error(`Cannot compare ${a.dtype} with ${y.dtype}`);
  return makeNode("compare", [a, y], { fn }, {
    shape: broadcastShapes(a.shape, y.shape, "compare"),
    dtype: "bool",
  });
}

/** `condition ? a : b`, elementwise. */
export function where(condition: Node, a: Operand, b: Operand): Node {
  if (condition.dtype !== "bool") {
    throw new Error(`Cannot choose by a condition of type ${condition.dtype}: wanted bool`);
  }
  const like = typeof a === "number" ? (typeof b === "number" ? "f32" : b.dtype) : a.dtype;
  const x = operand(a, like), y = operand(b, like);
  if (x.dtype !== y.dtype) throw new Error(`Cannot choose between ${x.dtype} and ${y.dtype}`);
  const shape = broadcastShapes(
    broadcastShapes(condition.shape, x.shape, "choose"),
    y.shape,
    "choose",
  );
  return makeNode("where", [condition, x, y], {}, { shape, dtype: x.dtype });
}

/** Changes the element type; f32 to i32 truncates towards zero. f16 becomes f32, and nothing becomes f16. */
export function cast(x: Node, to: DType): Node {
  if (x.dtype !== to && (to === "f16" || (x.dtype === "f16" && to !== "f32"))) {
    throw new Error(`Cannot cast ${x.dtype} to ${to}: f16 is storage, wanted f16 to f32`);
  }
  return x.dtype === to ? x : makeNode("cast", [x], { to }, { shape: x.shape, dtype: to });
}

/** The same value, through which no gradient flows. */
export function detach(x: Node): Node {
  return makeNode("detach", [x], {}, { shape: x.shape, dtype: x.dtype });
}

function normalizeAxis(axis: number, rank: number, action: string): number {
  const a = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(a) || a < 0 || a >= rank) {
    throw new Error(`Cannot ${action} axis ${axis} of a value with ${rank} dimensions`);
  }
  return a;
}

/** Sum, mean or maximum over axes. */
export function reduce(
  fn: ReduceFn,
  x: Node,
  { axes, keep = false }: { axes: readonly number[]; keep?: boolean },
): Node {
  const at = [...new Set(axes.map((a) => normalizeAxis(a, x.shape.length, "reduce")))].sort((
    a,
    b,
  ) => a - b);
  if (x.dtype !== "f32") throw new Error(`Cannot reduce ${x.dtype}: wanted f32`);
  const shape = keep
    ? x.shape.map((d, i) => at.includes(i) ? 1 : d)
    : x.shape.filter((_, i) => !at.includes(i));
  return makeNode("reduce", [x], { fn, axes: at, keep }, { shape, dtype: x.dtype });
}

/** Sum over axes; over everything when no axes are given. */
export function sum(x: Node, axes?: readonly number[], { keep = false } = {}): Node {
  return reduce("sum", x, { axes: axes ?? x.shape.map((_, i) => i), keep });
}

/** The same elements in another shape; one size may be -1. */
export function reshape(x: Node, wanted: Shape): Node {
  const known = sizeOf(wanted.filter((d) => d !== -1));
  const shape = wanted.map((d) => d === -1 ? sizeOf(x.shape) / known : d);
  if (sizeOf(shape) !== sizeOf(x.shape) || shape.some((d) => !Number.isInteger(d))) {
    throw new Error(
      `Cannot reshape ${showShape(x.shape)} to ${showShape(wanted)}: ${
        sizeOf(x.shape)
      } elements against ${known}`,
    );
  }
  if (sameShape(shape, x.shape)) return x;
  return makeNode("reshape", [x], {}, { shape, dtype: x.dtype });
}

/** Reorders dimensions: result dimension i is dimension `perm[i]` of x. */
export function transpose(x: Node, perm: readonly number[]): Node {
  const sorted = [...perm].sort((a, b) => a - b);
  if (perm.length !== x.shape.length || sorted.some((p, i) => p !== i)) {
    throw new Error(
      `Cannot transpose ${showShape(x.shape)} by [${
        perm.join(",")
      }]: wanted each of its dimensions once`,
    );
  }
  if (perm.every((p, i) => p === i)) return x;
  return makeNode("transpose", [x], { perm }, {
    shape: perm.map((p) => x.shape[p]),
    dtype: x.dtype,
  });
}

/** Repeats along dimensions of size 1 (and new leading ones) until the shape is as wanted. */
export function broadcast(x: Node, shape: Shape): Node {
  if (sameShape(x.shape, shape)) return x;
  if (!sameShape(broadcastShapes(x.shape, shape, "broadcast"), shape)) {
    throw new Error(`Cannot broadcast ${showShape(x.shape)} to ${showShape(shape)}`);
  }
  return makeNode("broadcast", [x], {}, { shape, dtype: x.dtype });
}

/** The part from `starts` up to, not including, `ends`, one number for each dimension. */
export function slice(x: Node, starts: readonly number[], ends: readonly number[]): Node {
  const fits = starts.length === x.shape.length && ends.length === x.shape.length &&
    x.shape.every((d, i) => 0 <= starts[i] && starts[i] < ends[i] && ends[i] <= d);
  if (!fits) {
    throw new Error(
      `Cannot slice ${showShape(x.shape)} from ${showShape(starts)} to ${showShape(ends)}`,
    );
  }
  if (x.shape.every((d, i) => starts[i] === 0 && ends[i] === d)) return x;
  return makeNode("slice", [x], { starts, ends }, {
    shape: starts.map((s, i) => ends[i] - s),
    dtype: x.dtype,
  });
}

/** The part [start, end) of one axis. */
export function sliceAxis(x: Node, axis: number, { start = 0, end = Infinity } = {}): Node {
  const a = normalizeAxis(axis, x.shape.length, "slice");
  return slice(
    x,
    x.shape.map((_, i) => i === a ? start : 0),
    x.shape.map((d, i) => i === a ? Math.min(end, d) : d),
  );
}

/** Zeros around x. */
export function pad(x: Node, before: readonly number[], after: readonly number[]): Node {
  const ok = (v: readonly number[]) => v.length === x.shape.length && v.every((n) => n >= 0);
  if (!ok(before) || !ok(after)) {
    throw new Error(
      `Cannot pad ${showShape(x.shape)} by ${showShape(before)} and ${showShape(after)}`,
    );
  }
  if (before.every((n) => n === 0) && after.every((n) => n === 0)) return x;
  return makeNode("pad", [x], { before, after }, {
    shape: x.shape.map((d, i) => before[i] + d + after[i]),
    dtype: x.dtype,
  });
}

/** Values one after the other along an axis. */
export function concat(xs: readonly Node[], axis: number): Node {
  const [first] = xs;
  if (first === undefined) throw new Error("Cannot concatenate nothing: wanted at least one value");
  if (xs.length === 1) return first;
  const at = normalizeAxis(axis, first.shape.length, "concatenate along");
  for (const x of xs) {
    if (
      x.dtype !== first.dtype || x.shape.length !== first.shape.length ||
      x.shape.some((d, i) => i !== at && d !== first.shape[i])
    ) {
      throw new Error(
        `Cannot concatenate ${showShape(first.shape)} and ${showShape(x.shape)} along axis ${at}`,
      );
    }
  }
  const shape = first.shape.map((d, i) => i === at ? xs.reduce((n, x) => n + x.shape[at], 0) : d);
  return makeNode("concat", xs, { axis: at }, { shape, dtype: first.dtype });
}

/**
 * Matrix product of the last two dimensions, `alpha * op(a) op(b)`; leading dimensions must agree.
 * @throws when inner sizes or leading dimensions differ.
 */
export function matmul(
  a: Node,
  b: Node,
  { transA = false, transB = false, alpha = 1 } = {},
): Node {
  const ra = a.shape.length, rb = b.shape.length;
  const left = `${showShape(a.shape)}${transA ? " transposed" : ""}`;
  const right = `${showShape(b.shape)}${transB ? " transposed" : ""}`;
  if (ra < 2 || rb !== ra || !sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2))) {
    throw new Error(
      `Cannot multiply ${left} by ${right}: wanted equal leading dimensions and at least two`,
    );
  }
  const [m, ka] = transA ? [a.shape[ra - 1], a.shape[ra - 2]] : [a.shape[ra - 2], a.shape[ra - 1]];
  const [kb, n] = transB ? [b.shape[rb - 1], b.shape[rb - 2]] : [b.shape[rb - 2], b.shape[rb - 1]];
  if (ka !== kb) {
    throw new Error(`Cannot multiply ${left} by ${right}: inner sizes are ${ka} and ${kb}`);
  }
  return makeNode("matmul", [a, b], { transA, transB, alpha }, {
    shape: [...a.shape.slice(0, -2), m, n],
    dtype: "f32",
  });
}

/** Rows of `table` [R, ...] chosen by `ids` (any shape, i32): result shape is ids' shape then the rest of the table's. */
export function gather(table: Node, ids: Node): Node {
  if (ids.dtype !== "i32") throw new Error(`Cannot gather by ids of type ${ids.dtype}: wanted i32`);
  return makeNode("gather", [table, ids], {}, {
    shape: [...ids.shape, ...table.shape.slice(1)],
    dtype: table.dtype,
  });
}

/** For every position, the element of x at index `ids` along one axis; other sizes must agree. */
export function takeAlong(x: Node, ids: Node, axis = -1): Node {
  const at = normalizeAxis(axis, x.shape.length, "take along");
  if (
    ids.dtype !== "i32" || ids.shape.length !== x.shape.length ||
    ids.shape.some((d, i) => i !== at && d !== x.shape[i])
  ) {
    throw new Error(
      `Cannot take from ${showShape(x.shape)} by ids ${
        showShape(ids.shape)
      } of type ${ids.dtype} along axis ${at}: wanted i32 and equal sizes elsewhere`,
    );
  }
  return makeNode("takeAlong", [x, ids], { axis: at }, { shape: ids.shape, dtype: x.dtype });
}

/** Zeros [rows, ...] to which row i of `values` is added at index `ids[i]`; the gradient of gather. */
export function scatterAdd(ids: Node, values: Node, rows: number): Node {
  const lead = values.shape.slice(0, ids.shape.length);
  if (ids.dtype !== "i32" || !sameShape(lead, ids.shape)) {
    throw new Error(
      `Cannot scatter ${showShape(values.shape)} by ids ${
        showShape(ids.shape)
      } of type ${ids.dtype}`,
    );
  }
  return makeNode("scatterAdd", [ids, values], { rows }, {
    shape: [rows, ...values.shape.slice(ids.shape.length)],
    dtype: values.dtype,
  });
}

/** Indices [.., k] (i32) of the k largest elements of the last axis, largest first. */
export function topK(x: Node, k: number): Node {
  const last = x.shape[x.shape.length - 1];
  if (!(Number.isInteger(k) && k >= 1 && k <= last)) {
    throw new Error(`Cannot take the top ${k} of ${showShape(x.shape)}: wanted 1 to ${last}`);
  }
  return makeNode("topK", [x], { k }, { shape: [...x.shape.slice(0, -1), k], dtype: "i32" });
}

/** One result of a composite that has several. */
export function pick(x: Node, index: number): Node {
  const part = x.parts?.[index];
  if (part === undefined) {
    throw new Error(`Cannot pick result ${index} of ${x.op}: it has ${x.parts?.length ?? 1}`);
  }
  return makeNode("pick", [x], { index }, part);
}

/** The single number a `fill` holds, if x is one. */
export function filledWith(x: Node): number | undefined {
  return isOp(x, "fill") ? x.attrs.value : undefined;
}
