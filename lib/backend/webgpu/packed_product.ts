/**
 * How a product reads a matrix that stays packed in 8 or 4 bits: few rows by sixteen values of a block, which the page
 * multiplies by their scale together (`kernels/packed_rows.wgsl`), more rows by four, unpacked for `kernels/matmul.wgsl`.
 * Products of f32 are in `product.ts`. Called by `launches.ts`.
 */
import { type Node, sameShape, stridesOf } from "../../graph/node.ts";
import { FEW_ROWS, packedRowsKernel, productKernel } from "../../../kernels/matmul.ts";
import type { Lowering } from "./lower.ts";
import { rowsOf } from "./parts.ts";
import {
  columnsFunction,
  elementFunction,
  fourAlongK,
  type Operand,
  readsVectors,
  rowsFunction,
  settled,
  vectorFunction,
} from "./product.ts";
import { type Bindings, type Expression, functionOf, type Slot } from "./writer.ts";

/** Are there kernels for these blocks? Those that sixteen does not divide run as the expansion. */
export const claimsPacked = (n: Node<"quantizedMatmul">): boolean => n.attrs.block % 16 === 0;

/** How values lie, as WGSL: of bytes, or of halves of bytes, the earlier one in the low half. */
const UNPACK = {
  8: "fn unpack(word: u32) -> vec4f { return vec4f(unpack4xU8(word)) - 128.0f; }",
  4: [
    "fn low(word: u32) -> vec4f { return vec4f(unpack4xU8(word & 0x0f0f0f0fu)) - 8.0f; }",
    "fn high(word: u32) -> vec4f { return low(word >> 4u); }",
  ].join("\n"),
};

/** A packed matrix as it lies in memory: some rows of a slot. */
interface Matrix {
  slot: Slot;
  /** Bytes before its first row. */
  offset: number;
  k: number;
  bits: 8 | 4;
}

/** `weights(n, k)`: sixteen values without their scale. */
function sixteenFunction({ slot, offset, k, bits }: Matrix, bindings: Bindings): string {
  const pairs = bindings.name(slot, { vectors: true });
  const head = "fn weights(n: u32, k: u32) -> Sixteen {";
  const at = `(n * ${k}u + k) / ${64 / bits}u + ${offset / 8}u`;
  if (bits === 8) {
    return [
      head,
      `  let at = ${at};`,
      `  let p = ${pairs}[at];`,
      `  let q = ${pairs}[at + 1u];`,
      "  return Sixteen(unpack(p.x), unpack(p.y), unpack(q.x), unpack(q.y));",
      "}",
    ].join("\n");
  }
  const four = (word: string, [i, j]: string) =>
    `vec4f(${word}l.${i}, ${word}h.${i}, ${word}l.${j}, ${word}h.${j})`;
  return [
    head,
    `  let p = ${pairs}[${at}];`,
    "  let al = low(p.x);\n  let ah = high(p.x);\n  let bl = low(p.y);\n  let bh = high(p.y);",
    `  return Sixteen(${[four("a", "xy"), four("a", "zw"), four("b", "xy"), four("b", "zw")]});`,
    "}",
  ].join("\n");
}

/** `b_four(b, n, k)`: four values times their scale. */
function fourFunction({ slot, offset, k, bits }: Matrix, bindings: Bindings): string {
  const words = bindings.name(slot), head = "fn b_four(b: u32, n: u32, k: u32) -> vec4f {";
  const word = `${words}[(n * ${k}u + k) / ${32 / bits}u + ${offset / 4}u]`;
  if (bits === 8) return `${head} return scale_at(n, k) * unpack(${word}); }`;
  return [
    head,
    // The upper or the lower half of a word, which `low` and `high` take as its first two bytes.
    `  let word = ${word} >> ((k & 4u) * 4u);`,
    "  let l = low(word);\n  let h = high(word);",
    "  return scale_at(n, k) * vec4f(l.x, h.x, l.y, h.y);",
    "}",
  ].join("\n");
}

/** Writes the dispatches of a product with a packed matrix, to which `addend` is added: one for each part of it. */
export function launchPacked(
  n: Node<"quantizedMatmul">,
  [x, packed, scales]: readonly Expression[],
  { l, addend }: { l: Lowering; addend?: Expression },
): Slot[] {
  const [rows, columns] = n.shape, few = rows <= FEW_ROWS;
  const out: Slot = { shape: n.shape, dtype: "f32", label: "quantizedMatmul" };
  const ends = new Set([...packed.ranges?.ends ?? [], ...scales.ranges?.ends ?? [], columns]);
  const given = [settled(x, { l, few }), ...(addend ? [addend] : [])];
  let from = 0, fitted: readonly Expression[] | undefined;
  for (const to of [...ends].sort((a, b) => a - b)) {
    const part = rowsOf(packed, from, to), count = to - from;
    const matrix = liesInRows(part) ? part : l.inMemory(part, "packed");
    const table = l.settled(rowsOf(scales, from, to), { cost: 0, label: "scales" });
    fitted ??= l.fitting([matrix, table, ...given], "operand").slice(2); // for every part the same
    const [a, sum] = fitted;
    const position = count === columns
      ? "i"
      : `i / ${count}u * ${columns}u + i % ${count}u + ${from}u`;
    dispatch(n, { a, sum, matrix, table, count, put: { out, position } }, l);
    from = to;
  }
  return [out];
}

/** Are these whole rows of memory, one behind the other? */
const liesInRows = ({ view, shape }: Expression): boolean =>
  view !== undefined && view.offset % 8 === 0 && sameShape(view.strides, stridesOf(shape));

interface Part {
  a: Expression;
  sum?: Expression;
  matrix: Expression;
  table: Expression;
  /** Columns of the result. */
  count: number;
  put: { out: Slot; position: string };
}

function dispatch(
  n: Node<"quantizedMatmul">,
  { a, sum, matrix, table, count, put: { out, position } }: Part,
  l: Lowering,
): void {
  const { block, bits } = n.attrs, [rows] = n.shape, k = a.shape[1], few = rows <= FEW_ROWS;
  const { slot, offset } = matrix.view!, lies: Matrix = { slot, offset, k, bits };
  const operand: Operand = { name: "a", x: a, inner: -1, lead: [] };
  // A slot is bound as vectors or as elements.
  const shared = sum !== undefined && [...sum.slots].some((slot) => a.slots.has(slot));
  const vectors = readsVectors(operand, -1) && !shared;
  const sizes = { m: rows, n: count, k };
  const kernel = few
    ? packedRowsKernel(sizes)
    : productKernel({ ...sizes, batch: 1, alpha: 1, bAlongK: true });
  l.launch(kernel, (bindings: Bindings) => [
    vectors ? vectorFunction(operand, bindings) : elementFunction(operand, bindings),
    fourAlongK(operand, k, vectors),
    UNPACK[bits],
    functionOf("scale_at", table, {
      parameters: ["n", "k"],
      bindings,
      index: (w) => ["n", w.over("k", block)],
    }),
    ...(few
      ? [
        "fn a_row(b: u32, m: u32, k: u32) -> vec4f { return a_four(b, m, k); }",
        sixteenFunction(lies, bindings),
      ]
      : [rowsFunction(rows, false), fourFunction(lies, bindings), columnsFunction(count, false)]),
    ...(sum ? [functionOf("addend", sum, { parameters: ["i"], bindings, index: () => "i" })] : []),
    "fn put(i: u32, v: f32) {",
    `  let p = ${position};`,
    `  ${bindings.name(out, { writes: true })}[p] = v${sum ? " + addend(p)" : ""};`,
    "}",
  ]);
}
