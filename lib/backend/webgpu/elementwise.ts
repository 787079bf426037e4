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
  Shape,
  UnaryFn,
} from "../../graph/node.ts";
import { sameShape } from "../../graph/node.ts";
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

function apply(
  inputs: readonly Expression[],
  { shape, dtype, write }: {
    shape: Shape;
    dtype: DType;
    write: (...values: string[]) => string;
  },
): Expression {
  const sameEverywhere = inputs.every((x) =>
    x.flat !== undefined && (sameShape(x.shape, shape) || x.shape.length === 0)
  );
  return {
    shape,
    dtype,
    cost: inputs.reduce((n, x) => n + x.cost, 1),
    slots: new Set<Slot>(inputs.flatMap((x) => [...x.slots])),
    at: (w, index) => w.bind(write(...inputs.map((x) => atRepeated(w, x, index)))),
    ...(sameEverywhere && {
      flat: (w: Writer, position: string) =>
        w.bind(write(...inputs.map((x) => x.flat!(w, x.shape.length === 0 ? "0u" : position)))),
    }),
  };
}

type Elementwise = "fill" | "unary" | "binary" | "compare" | "where" | "cast" | "detach";

/** Expressions of the elementwise ops. */
export const elementwise: {
  [O in Elementwise]: (node: Node<O>, inputs: readonly Expression[]) => Expression;
} = {
  fill: ({ attrs, shape, dtype }) => {
    const text = literal(attrs.value, dtype);
    return { shape, dtype, cost: 0, slots: new Set(), at: () => text, flat: () => text };
  },
  unary: ({ attrs, shape, dtype }, xs) => apply(xs, { shape, dtype, write: UNARY[attrs.fn] }),
  binary: ({ attrs, shape, dtype }, xs) => apply(xs, { shape, dtype, write: BINARY[attrs.fn] }),
  compare: ({ attrs, shape, dtype }, xs) =>
    apply(xs, { shape, dtype, write: (x, y) => `${x} ${COMPARE[attrs.fn]} ${y}` }),
  where: ({ shape, dtype }, xs) =>
    apply(xs, { shape, dtype, write: (c, x, y) => `select(${y}, ${x}, ${c})` }),
  cast: ({ attrs, shape, dtype }: Node<"cast"> & { attrs: OpAttrs["cast"] }, [x]) =>
    // f16 is read as f32 anyway; only its memory is not what f32 would be.
    x.dtype === "f16"
      ? { ...x, dtype, whole: undefined }
      : apply([x], { shape, dtype, write: (text) => CAST[attrs.to](text, x.dtype) }),
  detach: (_, [x]) => x,
};
