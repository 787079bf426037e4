/**
 * How does each elementwise op look in WGSL? One table row a function; the result is an expression, so that chains
 * become one shader without anything being fused afterwards. Next on the walk: `movement.ts`.
 */
import type {
  BinaryFn,
  CompareFn,
  DType,
  Node,
  OpAttrs,
  OpName,
  Shape,
  UnaryFn,
} from "../../graph/node.ts";
import { sameShape, sizeOf } from "../../graph/node.ts";
import { type Expression, literal, type Slot, type Writer } from "./writer.ts";

const UNARY: Record<UnaryFn, (x: string) => string> = {
  neg: (x) => `-${x}`,
  exp: (x) => `exp(${x})`,
  log: (x) => `log(${x})`,
  sqrt: (x) => `sqrt(${x})`,
  reciprocal: (x) => `1.0f / ${x}`,
  sigmoid: (x) => `1.0f / (1.0f + exp(-${x}))`,
  // Beyond 15 the result is 1 in f32, and some drivers overflow.
  tanh: (x) => `tanh(clamp(${x}, -15.0f, 15.0f))`,
  abs: (x) => `abs(${x})`,
  sign: (x) => `sign(${x})`,
};
/** Functions that WGSL writes otherwise for vectors. */
const UNARY_FOUR: Partial<Record<UnaryFn, (x: string) => string>> = {
  tanh: (x) => `tanh(clamp(${x}, vec4f(-15.0f), vec4f(15.0f)))`,
};
const BINARY: Record<BinaryFn, (x: string, y: string) => string> = {
  add: (x, y) => `${x} + ${y}`,
  sub: (x, y) => `${x} - ${y}`,
  mul: (x, y) => `${x} * ${y}`,
  div: (x, y) => `${x} / ${y}`,
  max: (x, y) => `max(${x}, ${y})`,
  min: (x, y) => `min(${x}, ${y})`,
};
const COMPARE: Record<CompareFn, string> = { lt: "<", le: "<=", gt: ">", ge: ">=", eq: "==" };
const CAST: Record<DType, (x: string, from: DType) => string> = {
  f32: (x) => `f32(${x})`,
  f16: (x) => x, // never asked for: f16 is storage
  i32: (x) => `i32(${x})`,
  bool: (x, from) => from === "bool" ? x : `${x} != ${literal(0, from)}`,
  u8: (x, from) => `${from === "f32" ? `u32(i32(${x}))` : `u32(${x})`} & 255u`,
};

/** The value of an operand repeated to a shape: sizes of 1 and missing dimensions are read at 0. */
export function atRepeated(w: Writer, x: Expression, index: readonly string[]): string {
  const lead = index.length - x.shape.length;
  return x.at(w, x.shape.map((d, i) => d === 1 ? "0u" : index[lead + i]));
}

/** How an operand repeated to a shape is read in vectors of four, if it can be. */
function fourRepeated(x: Expression, shape: Shape): Expression["four"] {
  if (x.dtype !== "f32" && x.dtype !== "bool") return undefined;
  const four = x.four?.bind(x), flat = x.flat?.bind(x), size = sizeOf(x.shape);
  if (four && size === sizeOf(shape)) return four;
  const splat = (value: string) => `vec4<${x.dtype}>(${value})`;
  if (flat && size === 1) return (w, _) => w.bind(splat(flat(w, "0u")));
  const own = x.shape.slice(x.shape.findIndex((d) => d !== 1)), last = shape.at(-1)!;
  if (four && sameShape(own, shape.slice(-own.length)) && size % 4 === 0) {
    return (w, position) => four(w, w.rest(position, size / 4));
  }
  // One value for each row.
  const rows = flat && x.shape.length === shape.length && last % 4 === 0 &&
    sameShape(x.shape, shape.with(-1, 1));
  return rows ? (w, position) => w.bind(splat(flat(w, w.over(position, last / 4)))) : undefined;
}

function apply(
  inputs: readonly Expression[],
  { shape, dtype, write, writeFour = write, cost = 1 }: {
    shape: Shape;
    dtype: DType;
    write: (...values: string[]) => string;
    /** The same for vectors of four. */
    writeFour?: (...values: string[]) => string;
    /** Operations that it takes by itself. */
    cost?: number;
  },
): Expression {
  const fours = inputs.map((x) => fourRepeated(x, shape));
  const inFours = (dtype === "f32" || dtype === "bool") && sizeOf(shape) % 4 === 0 &&
    fours.every((four) => four !== undefined);
  const sameEverywhere = inputs.every((x) =>
    x.flat !== undefined && (sameShape(x.shape, shape) || x.shape.length === 0)
  );
  return {
    shape,
    dtype,
    cost: inputs.reduce((n, x) => n + x.cost, cost),
    slots: new Set<Slot>(inputs.flatMap((x) => [...x.slots])),
    at: (w, index) => w.bind(write(...inputs.map((x) => atRepeated(w, x, index)))),
    ...(sameEverywhere && {
      flat: (w: Writer, position: string) =>
        w.bind(write(...inputs.map((x) => x.flat!(w, x.shape.length === 0 ? "0u" : position)))),
    }),
    ...(inFours && {
      four: (w: Writer, position: string) =>
        w.bind(writeFour(...fours.map((four) => four!(w, position)))),
    }),
  };
}

type Elementwise =
  | ("fill" | "unary" | "binary" | "compare" | "where" | "cast" | "detach")
  | ("silu" | "smoothL1");

/** The composites below: read through like a primitive, where their expansion would put a step into memory. */
export const ELEMENTWISE_COMPOSITES: ReadonlySet<OpName> = new Set<OpName>(["silu", "smoothL1"]);

/** SmoothL1 of a difference; `one` is 1 in the difference's type. */
const smooth = (a: string, b: string, one: string) => {
  const d = `(${a} - ${b})`;
  return `select(abs${d} - 0.5f, 0.5f * ${d} * ${d}, abs${d} < ${one})`;
};

/** Expressions of the elementwise ops. */
export const elementwise: {
  [O in Elementwise]: (node: Node<O>, inputs: readonly Expression[]) => Expression;
} = {
  fill: ({ attrs, shape, dtype }) => {
    const text = literal(attrs.value, dtype);
    const four = dtype === "f32" && { four: () => `vec4f(${text})` };
    return { shape, dtype, cost: 0, slots: new Set(), at: () => text, flat: () => text, ...four };
  },
  unary: ({ attrs, shape, dtype }, xs) =>
    apply(xs, { shape, dtype, write: UNARY[attrs.fn], writeFour: UNARY_FOUR[attrs.fn] }),
  binary: ({ attrs, shape, dtype }, xs) => apply(xs, { shape, dtype, write: BINARY[attrs.fn] }),
  compare: ({ attrs, shape, dtype }, xs) =>
    apply(xs, { shape, dtype, write: (x, y) => `${x} ${COMPARE[attrs.fn]} ${y}` }),
  where: ({ shape, dtype }, xs) =>
    apply(xs, { shape, dtype, write: (c, x, y) => `select(${y}, ${x}, ${c})` }),
  cast: ({ attrs, shape, dtype }: Node<"cast"> & { attrs: OpAttrs["cast"] }, [x]) =>
    // f16 is read as f32 anyway; only its memory is not what f32 would be.
    x.dtype === "f16" ? { ...x, dtype, whole: undefined } : apply([x], {
      ...{ shape, dtype, write: (text) => CAST[attrs.to](text, x.dtype) },
      writeFour: (text) => attrs.to === "f32" ? `vec4f(${text})` : `${text} != vec4f()`,
    }),
  detach: (_, [x]) => x,
  silu: ({ shape, dtype }, xs) =>
    apply(xs, { shape, dtype, cost: 3, write: (x) => `${x} / (1.0f + exp(-${x}))` }),
  smoothL1: ({ shape, dtype }, xs) =>
    apply(xs, {
      ...{ shape, dtype, cost: 5, write: (a, b) => smooth(a, b, "1.0f") },
      writeFour: (a, b) => smooth(a, b, "vec4f(1.0f)"),
    }),
};
