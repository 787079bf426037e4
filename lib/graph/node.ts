/**
 * A node: one value to be computed, known by its op, inputs, attributes, shape and element type.
 * Nodes are plain immutable data; nothing here computes. `ops.ts` and `composites.ts` make nodes
 * (and check shapes while doing so), `gradients.ts` adds more of them, `program.ts` closes them off.
 *
 * Dimension letters used at line ends everywhere: B batch, T tokens, D width, H heads, G query heads
 * per key head, K head size, V vocabulary, N nodes or rows, C cache capacity, P passes, I inner width.
 */

/**
 * Element types. `bool` holds 0 or 1; `u8` holds packed quantised weights; `f16` is storage of frozen matrices,
 * which the ops of {@link READS_F16} read and nothing else.
 */
export type DType = "f32" | "f16" | "i32" | "bool" | "u8";

/** Sizes of the dimensions, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

/** Elementwise functions of one value. */
export type UnaryFn =
  | "neg"
  | "exp"
  | "log"
  | "sqrt"
  | "reciprocal"
  | "sigmoid"
  | "tanh"
  | "abs"
  | "sign";
/** Elementwise functions of two values; shapes broadcast as in NumPy. */
export type BinaryFn = "add" | "sub" | "mul" | "div" | "max" | "min";
/** Comparisons; the result is `bool`. */
export type CompareFn = "lt" | "le" | "gt" | "ge" | "eq";
/** Reductions over axes. */
export type ReduceFn = "sum" | "mean" | "max";

/** Host arrays a constant may hold; a Uint16Array holds the bits of f16. */
export type HostArray = Float32Array | Int32Array | Uint8Array | Uint16Array;

/** How the host holds each element type. */
const HOST_ARRAY = {
  f32: Float32Array,
  f16: Uint16Array,
  i32: Int32Array,
  bool: Uint8Array,
  u8: Uint8Array,
} as const satisfies Record<DType, unknown>;

/** The element type that a host array is taken for: never `bool`, which shares its array with `u8`. */
export function dtypeOf(data: HostArray): Exclude<DType, "bool"> {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Uint16Array) return "f16";
  return data instanceof Int32Array ? "i32" : "u8";
}

/** Zeros of an element type. */
export const zeroArray = (dtype: DType, size: number): HostArray => new HOST_ARRAY[dtype](size);

/** Attributes of each primitive op: the twenty-one things a backend must know. */
export interface PrimitiveAttrs {
  input: { name: string };
  constant: { data: HostArray };
  fill: { value: number };
  unary: { fn: UnaryFn };
  binary: { fn: BinaryFn };
  compare: { fn: CompareFn };
  where: Record<never, never>;
  cast: { to: DType };
  detach: Record<never, never>;
  reduce: { fn: ReduceFn; axes: readonly number[]; keep: boolean };
  reshape: Record<never, never>;
  transpose: { perm: readonly number[] };
  broadcast: Record<never, never>;
  slice: { starts: readonly number[]; ends: readonly number[] };
  pad: { before: readonly number[]; after: readonly number[] };
  concat: { axis: number };
  matmul: { transA: boolean; transB: boolean; alpha: number };
  gather: Record<never, never>;
  takeAlong: { axis: number };
  scatterAdd: { rows: number };
  topK: { k: number };
}

/** Attributes of each composite op; `composites.ts` says what each expands to. */
export interface CompositeAttrs {
  softmax: Record<never, never>;
  logSoftmax: Record<never, never>;
  silu: Record<never, never>;
  rmsNorm: { epsilon: number };
  rope: Record<never, never>;
  smoothL1: Record<never, never>;
  crossEntropy: Record<never, never>;
  quantizedMatmul: { block: number; bits: 8 | 4 };
  halfMatmul: { transB: boolean };
  treeAttention: { heads: number; kvHeads: number };
  keepRows: Record<never, never>;
  streamAttention: { gap: number; backs: readonly number[]; future: boolean };
  streamAttentionGradient: CompositeAttrs["streamAttention"];
  argmaxRows: Record<never, never>;
  sampleRows: Record<never, never>;
  expertMix: { chosen: number };
  adamw: { beta1: number; beta2: number; epsilon: number; weightDecay: number; clip: number };
}

export type OpAttrs = PrimitiveAttrs & CompositeAttrs & { pick: { index: number } };
export type PrimitiveName = keyof PrimitiveAttrs;
export type CompositeName = keyof CompositeAttrs;
export type OpName = keyof OpAttrs;

/** One value of the graph. A composite with several results lists them in `parts`; `pick` takes one. */
export interface Node<O extends OpName = OpName> {
  readonly id: number;
  readonly op: O;
  readonly inputs: readonly Node[];
  readonly attrs: OpAttrs[O];
  readonly shape: Shape;
  readonly dtype: DType;
  readonly parts?: readonly { shape: Shape; dtype: DType }[];
}

let nextId = 0;

/** The ops that take f16; what they make is f32, or f16 rows of it. */
export const READS_F16: ReadonlySet<OpName> = new Set<OpName>([
  "cast",
  "gather",
  "slice",
  "halfMatmul",
]);

/**
 * Makes a node. Only the constructors of ops call this: they check shapes first.
 * @throws when the op would compute in f16, which is storage only.
 */
export function makeNode<O extends OpName>(
  op: O,
  inputs: readonly Node[],
  attrs: OpAttrs[O],
  result: { shape: Shape; dtype: DType; parts?: Node["parts"] },
): Node<O> {
  const stored = inputs.find((x) => x.dtype === "f16");
  if (stored !== undefined && !READS_F16.has(op)) {
    throw new Error(
      `Cannot apply ${op} to f16 ${showShape(stored.shape)}: f16 is storage, wanted one of ${
        [...READS_F16].join(", ")
      }`,
    );
  }
  return { id: nextId++, op, inputs, attrs, ...result };
}

/** Added to a score that must not count: beyond any score, and still finite, so that no NaN can come of it. */
export const HIDDEN = -3e38;

/** Is this node of the given op? Narrows the attributes. */
export function isOp<O extends OpName>(node: Node, op: O): node is Node<O> {
  return node.op === op;
}

/** Number of elements of a shape. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const d of shape) size *= d;
  return size;
}

/** Distance between neighbours along each dimension when elements lie row by row. */
export function stridesOf(shape: Shape): number[] {
  const strides = shape.map(() => 1);
  for (let d = shape.length - 2; d >= 0; d--) strides[d] = strides[d + 1] * shape[d + 1];
  return strides;
}

/** `[2,3,4]` as text, for messages. */
export function showShape(shape: Shape): string {
  return `[${shape.join(",")}]`;
}

/** Are two shapes the same? */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

/** The shape two operands broadcast to, as in NumPy. Throws when a pair of sizes differs and neither is 1. */
export function broadcastShapes(a: Shape, b: Shape, action: string): Shape {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1, y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new Error(
        `Cannot ${action} ${showShape(a)} and ${
          showShape(b)
        }: sizes ${x} and ${y} differ and neither is 1`,
      );
    }
    out.push(x === 1 ? y : x);
  }
  return out;
}
