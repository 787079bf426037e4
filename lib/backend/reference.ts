/**
 * What does each op mean? The float64 interpreter: one table row a primitive, composites by `expand`. It is
 * the definition that every other backend is tested against, so it is written to be read, not to be quick;
 * use it at the size of tests. Next on the walk: `onnx/lower.ts`, the same table in ONNX.
 */
import { flatten } from "../graph/flatten.ts";
import {
  type BinaryFn,
  type CompareFn,
  type DType,
  dtypeOf,
  type HostArray,
  type Node,
  type PrimitiveName,
  sameShape,
  type Shape,
  showShape,
  sizeOf,
  stridesOf,
  type UnaryFn,
} from "../graph/node.ts";
import type { Program } from "../graph/program.ts";
import { fromHalf, toHalf } from "../io/float16.ts";
import { type Backend, checkInputs, type Executable, type Params, type Tensor } from "./backend.ts";

/** Value of a node from the values of its inputs; `given` finds the program's inputs by name. */
type Rule<O extends PrimitiveName> = (
  node: Node<O>,
  inputs: readonly Float64Array[],
  given: (name: string) => Float64Array,
) => Float64Array;

/** Strides that repeat an array of shape `from` over the shape `to`: 0 along repeated dimensions. */
function repeatStrides(from: Shape, to: Shape): number[] {
  const strides = stridesOf(from), lead = to.length - from.length;
  return to.map((_, i) => i < lead || from[i - lead] === 1 ? 0 : strides[i - lead]);
}

/** Where the elements of `shape`, taken row by row, lie in a flat array with these strides. */
function positions(shape: Shape, strides: readonly number[], start = 0): Int32Array {
  const at = new Int32Array(sizeOf(shape));
  at[0] = start;
  let done = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    for (let i = done; i < done * shape[axis]; i++) at[i] = at[i - done] + strides[axis];
    done *= shape[axis];
  }
  return at;
}

function take(x: Float64Array, at: Int32Array): Float64Array {
  const out = new Float64Array(at.length);
  for (let i = 0; i < out.length; i++) out[i] = x[at[i]];
  return out;
}

function put(x: Float64Array, at: Int32Array, out: Float64Array): void {
  for (let i = 0; i < at.length; i++) out[at[i]] = x[i];
}

function spread(x: Float64Array, from: Shape, to: Shape): Float64Array {
  return sameShape(from, to) ? x : take(x, positions(to, repeatStrides(from, to)));
}

function dot(at: readonly number[], strides: readonly number[]): number {
  return at.reduce((n, a, i) => n + a * strides[i], 0);
}

function checkRow(id: number, rows: number, action: string): number {
  if (id >= 0 && id < rows) return id;
  throw new Error(`Cannot ${action} row ${id}: wanted 0 to ${rows - 1}, there are ${rows} rows`);
}

const UNARY: Record<UnaryFn, (x: number) => number> = {
  neg: (x) => -x,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  abs: Math.abs,
  sign: Math.sign,
};
const BINARY: Record<BinaryFn, (x: number, y: number) => number> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  max: Math.max,
  min: Math.min,
};
const COMPARE: Record<CompareFn, (x: number, y: number) => boolean> = {
  lt: (x, y) => x < y,
  le: (x, y) => x <= y,
  gt: (x, y) => x > y,
  ge: (x, y) => x >= y,
  eq: (x, y) => x === y,
};
/** Nothing is cast to f16. */
const CAST: Record<Exclude<DType, "f16">, (x: number) => number> = {
  f32: (x) => x,
  i32: Math.trunc,
  bool: (x) => x === 0 ? 0 : 1,
  u8: (x) => Math.trunc(x) & 255,
};

const table: { [O in PrimitiveName]: Rule<O> } = {
  input: (n, _, given) => given(n.attrs.name),
  constant: (n) => exactly(n.attrs.data),
  fill: (n) => new Float64Array(sizeOf(n.shape)).fill(n.attrs.value),
  unary: (n, [x]) => x.map(UNARY[n.attrs.fn]),
  binary: (n, inputs) => {
    const [x, y] = inputs.map((v, i) => spread(v, n.inputs[i].shape, n.shape));
    const f = BINARY[n.attrs.fn], out = new Float64Array(x.length);
    for (let i = 0; i < out.length; i++) out[i] = f(x[i], y[i]);
    // Integer division drops the fraction, towards zero.
    return n.dtype === "i32" ? out.map(Math.trunc) : out;
  },
  compare: (n, inputs) => {
    const [x, y] = inputs.map((v, i) => spread(v, n.inputs[i].shape, n.shape));
    const f = COMPARE[n.attrs.fn], out = new Float64Array(x.length);
    for (let i = 0; i < out.length; i++) out[i] = f(x[i], y[i]) ? 1 : 0;
    return out;
  },
  where: (n, inputs) => {
    const [c, x, y] = inputs.map((v, i) => spread(v, n.inputs[i].shape, n.shape));
    return c.map((chosen, i) => chosen === 0 ? y[i] : x[i]);
  },
  cast: (n, [x]) => x.map(CAST[n.attrs.to as keyof typeof CAST]),
  detach: (_, [x]) => x,
  reduce: (n, [x]) => {
    const { fn, axes } = n.attrs, shape = n.inputs[0].shape;
    const kept = shape.map((d, i) => axes.includes(i) ? 1 : d);
    const at = positions(shape, repeatStrides(kept, shape));
    const out = new Float64Array(sizeOf(kept)).fill(fn === "max" ? -Infinity : 0);
    if (fn === "max") {
      for (let i = 0; i < x.length; i++) out[at[i]] = Math.max(out[at[i]], x[i]);
      return out;
    }
    for (let i = 0; i < x.length; i++) out[at[i]] += x[i];
    return fn === "sum" ? out : out.map((total) => total * out.length / x.length);
  },
  reshape: (_, [x]) => x,
  transpose: (n, [x]) => {
    const strides = stridesOf(n.inputs[0].shape);
    return take(x, positions(n.shape, n.attrs.perm.map((p) => strides[p])));
  },
  broadcast: (n, [x]) => spread(x, n.inputs[0].shape, n.shape),
  slice: (n, [x]) => {
    const strides = stridesOf(n.inputs[0].shape);
    return take(x, positions(n.shape, strides, dot(n.attrs.starts, strides)));
  },
  pad: (n, [x]) => {
    const out = new Float64Array(sizeOf(n.shape)), strides = stridesOf(n.shape);
    put(x, positions(n.inputs[0].shape, strides, dot(n.attrs.before, strides)), out);
    return out;
  },
  concat: (n, inputs) => {
    const out = new Float64Array(sizeOf(n.shape)), strides = stridesOf(n.shape);
    let start = 0;
    inputs.forEach((x, i) => {
      put(x, positions(n.inputs[i].shape, strides, start), out);
      start += n.inputs[i].shape[n.attrs.axis] * strides[n.attrs.axis];
    });
    return out;
  },
  matmul: (n, [a, b]) => {
    const { transA, transB, alpha } = n.attrs, [rowsA, colsA] = n.inputs[0].shape.slice(-2);
    const [rows, cols] = n.shape.slice(-2), inner = transA ? rowsA : colsA;
    const colsB = transB ? inner : cols, out = new Float64Array(sizeOf(n.shape));
    const [aRow, aInner] = transA ? [1, colsA] : [colsA, 1];
    const [bInner, bCol] = transB ? [1, colsB] : [colsB, 1];
    for (let o = 0; o < out.length; o++) {
      const col = o % cols, row = Math.floor(o / cols) % rows, lead = Math.floor(o / cols / rows);
      let total = 0, p = lead * rows * inner + row * aRow, q = lead * inner * cols + col * bCol;
      for (let k = 0; k < inner; k++, p += aInner, q += bInner) total += a[p] * b[q];
      out[o] = alpha * total;
    }
    return out;
  },
  gather: (n, [rows, ids]) => {
    const [count, ...rest] = n.inputs[0].shape, width = sizeOf(rest);
    const out = new Float64Array(sizeOf(n.shape));
    ids.forEach((id, i) => {
      const start = checkRow(id, count, "gather") * width;
      out.set(rows.subarray(start, start + width), i * width);
    });
    return out;
  },
  takeAlong: (n, [x, ids]) => {
    const shape = n.inputs[0].shape, { axis } = n.attrs, strides = stridesOf(shape);
    const at = positions(n.shape, strides.map((s, i) => i === axis ? 0 : s));
    ids.forEach((id, i) => at[i] += checkRow(id, shape[axis], "take") * strides[axis]);
    return take(x, at);
  },
  scatterAdd: (n, [ids, values]) => {
    const [rows, ...rest] = n.shape, width = sizeOf(rest);
    const out = new Float64Array(sizeOf(n.shape));
    ids.forEach((id, i) => {
      const start = checkRow(id, rows, "add to") * width;
      for (let j = 0; j < width; j++) out[start + j] += values[i * width + j];
    });
    return out;
  },
  topK: (n, [x]) => {
    const last = n.inputs[0].shape[n.inputs[0].shape.length - 1], { k } = n.attrs;
    const out = new Float64Array(sizeOf(n.shape));
    for (let row = 0; row < x.length / last; row++) {
      const values = x.subarray(row * last, (row + 1) * last);
      // A stable sort: of equal values the one with the lower index comes first.
      const order = Array.from(values, (_, i) => i).sort((i, j) => values[j] - values[i]);
      out.set(order.slice(0, k), row * k);
    }
    return out;
  },
};

/** The numbers of a host array. */
function exactly(data: HostArray): Float64Array {
  return Float64Array.from(data instanceof Uint16Array ? fromHalf(data) : data);
}

function hostArray(dtype: DType, values: Float64Array): HostArray {
  if (dtype === "f32") return Float32Array.from(values);
  if (dtype === "f16") return toHalf(Float32Array.from(values));
  return dtype === "i32" ? Int32Array.from(values) : Uint8Array.from(values);
}

/**
 * A tensor of the reference backend: over the host's array (live, rounded to its type by updates), or over
 * float64 values that are never rounded.
 */
export class ReferenceTensor implements Tensor {
  #data: HostArray | Float64Array | undefined;
  #rounded: HostArray | undefined;
  constructor(
    data: HostArray | Float64Array,
    readonly shape: Shape,
    readonly dtype: DType,
  ) {
    if (data.length !== sizeOf(shape)) {
      throw new Error(
        `Cannot make a tensor ${showShape(shape)} of ${data.length} values: wanted ${
          sizeOf(shape)
        }`,
      );
    }
    this.#data = data;
  }

  /** The values without rounding: the live memory of an exact tensor, otherwise a copy. */
  get exact(): Float64Array {
    const data = this.#alive();
    return data instanceof Float64Array ? data : exactly(data);
  }

  /** Live memory of a tensor made from a host array; of any other a rounded copy. */
  get host(): HostArray {
    const data = this.#alive();
    return data instanceof Float64Array ? this.#rounded ??= hostArray(this.dtype, data) : data;
  }

  read(): Promise<HostArray> {
    return Promise.resolve(this.host);
  }

  /** Replaces the values, as an update does. */
  write(values: Float64Array): void {
    this.#alive().set(this.dtype === "f16" ? hostArray("f16", values) : values);
    this.#rounded = undefined;
  }

  [Symbol.dispose](): void {
    this.#data = undefined;
  }

  #alive(): HostArray | Float64Array {
    if (this.#data !== undefined) return this.#data;
    throw new Error(`Cannot use a tensor ${showShape(this.shape)}: it was disposed`);
  }
}

/** Results of the reference backend keep their float64 values; each run makes new ones. */
export interface ReferenceExecutable extends Executable {
  run(inputs: Params): Promise<Record<string, ReferenceTensor>>;
}

/** The reference backend also takes float64 data. */
export interface ReferenceBackend extends Backend {
  tensor(data: HostArray, shape: Shape): ReferenceTensor;
  /** An f32 tensor whose values are kept, and updated, in float64. */
  exact(data: Float64Array, shape: Shape): ReferenceTensor;
  compile(program: Program, options?: { weights?: Params }): Promise<ReferenceExecutable>;
}

function exactValues(name: string, tensor: Tensor): Float64Array {
  if (tensor instanceof ReferenceTensor) return tensor.exact;
  throw new Error(`Cannot run: input ${name} is a tensor of another backend, wanted reference`);
}

function compile(program: Program, weights: Params): ReferenceExecutable {
  const bound = Object.fromEntries(Object.entries(weights).filter(([n]) => program.inputs[n]));
  const fixed = Object.keys(program.updates).find((name) => bound[name] !== undefined);
  if (fixed !== undefined) throw new Error(`Cannot update ${fixed}: it is bound as a weight`);
  const boundInputs = Object.fromEntries(Object.keys(bound).map((n) => [n, program.inputs[n]]));
  checkInputs({ ...program, inputs: boundInputs }, bound);
  const { steps, results } = flatten(program);

  function compute(inputs: Params): Record<string, ReferenceTensor> {
    checkInputs(program, inputs, bound);
    const given = (name: string) => exactValues(name, bound[name] ?? inputs[name]);
    const values = new Map<Node, Float64Array>(),
      valueOf = (n: Node) => values.get(results.get(n)![0].step)!;
    for (const n of steps) {
      const rule = table[n.op as PrimitiveName] as Rule<PrimitiveName>;
      values.set(n, rule(n as Node<PrimitiveName>, n.inputs.map(valueOf), given));
    }
    // Copies, because a value may be the memory of an input that an update is about to overwrite.
    const copies = (nodes: Readonly<Record<string, Node>>) =>
      Object.entries(nodes).map(([name, n]) => [name, n, valueOf(n).slice()] as const);
    const outputs = copies(program.outputs), updates = copies(program.updates);
    for (const [name, , data] of updates) (inputs[name] as ReferenceTensor).write(data);
    return Object.fromEntries(
      outputs.map(([name, n, data]) => [name, new ReferenceTensor(data, n.shape, n.dtype)]),
    );
  }
  // An async function, so that errors reject instead of being thrown before there is a promise.
  // deno-lint-ignore require-await
  return { run: async (inputs) => compute(inputs), [Symbol.dispose]() {} };
}

/** The float64 interpreter as a backend. Needs nothing; there is always one. */
export function referenceBackend(): ReferenceBackend {
  const tensor = (data: HostArray, shape: Shape) => new ReferenceTensor(data, shape, dtypeOf(data));
  return {
    name: "reference",
    hostVisible: true,
    tensor,
    shared: tensor,
    exact: (data, shape) => new ReferenceTensor(data, shape, "f32"),
    // deno-lint-ignore require-await
    compile: async (program, { weights = {} } = {}) => compile(program, weights),
    [Symbol.dispose]() {},
  };
}
