/**
 * How a product reads a matrix that stays packed in 8 or 4 bits: few rows by sixteen values of a block, which the page
 * multiplies by their scale together (`kernels/packed_rows.wgsl`), more rows by four, unpacked for `kernels/matmul.wgsl`.
 * Products of f32 are in `product.ts`. Called by `launches.ts`.
 */
import type { Node } from "../../graph/node.ts";
import { FEW_ROWS, packedRowsKernel, productKernel } from "../../../kernels/matmul.ts";
import type { Lowering } from "./lower.ts";
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

/** `weights(n, k)`: sixteen values without their scale; `of` is the matrix as pairs of words. */
function sixteenFunction(of: string, { k, bits }: { k: number; bits: 8 | 4 }): string {
  const head = "fn weights(n: u32, k: u32) -> Sixteen {";
  const at = `(n * ${k}u + k) / ${64 / bits}u`;
  if (bits === 8) {
    return [
      head,
      `  let at = ${at};`,
      `  let p = ${of}[at];`,
      `  let q = ${of}[at + 1u];`,
      "  return Sixteen(unpack(p.x), unpack(p.y), unpack(q.x), unpack(q.y));",
      "}",
    ].join("\n");
  }
  const four = (half: string, [i, j]: string) =>
    `vec4f(${half}l.${i}, ${half}h.${i}, ${half}l.${j}, ${half}h.${j})`;
  return [
    head,
    `  let p = ${of}[${at}];`,
    "  let al = low(p.x);\n  let ah = high(p.x);\n  let bl = low(p.y);\n  let bh = high(p.y);",
    `  return Sixteen(${[four("a", "xy"), four("a", "zw"), four("b", "xy"), four("b", "zw")]});`,
    "}",
  ].join("\n");
}

/** `b_four(b, n, k)`: four values times their scale; `of` is the matrix as words. */
function fourFunction(of: string, { k, bits }: { k: number; bits: 8 | 4 }): string {
  const head = "fn b_four(b: u32, n: u32, k: u32) -> vec4f {";
  const at = `n * ${k}u + k`;
  if (bits === 8) return `${head} return scale_at(n, k) * unpack(${of}[(${at}) / 4u]); }`;
  return [
    head,
    // The upper or the lower half of a word, which `low` and `high` take as its first two bytes.
    `  let word = ${of}[(${at}) / 8u] >> ((k & 4u) * 4u);`,
    "  let l = low(word);\n  let h = high(word);",
    "  return scale_at(n, k) * vec4f(l.x, h.x, l.y, h.y);",
    "}",
  ].join("\n");
}

/** Writes the dispatch of a product with a packed matrix, to which `addend` is added. */
export function launchPacked(
  n: Node<"quantizedMatmul">,
  [x, packed, scales]: readonly Expression[],
  { l, addend }: { l: Lowering; addend?: Expression },
): Slot[] {
  const { block, bits } = n.attrs, [rows, columns] = n.shape, k = x.shape[1];
  const few = rows <= FEW_ROWS;
  const [ax, matrix, table, extra] = l.fitting([
    settled(x, { l, few }),
    l.inMemory(packed, "packed"),
    l.inMemory(scales, "scales"),
    ...(addend ? [addend] : []),
  ], "operand");
  const a: Operand = { name: "a", x: ax, inner: -1, lead: [] };
  const out: Slot = { shape: n.shape, dtype: "f32", label: "quantizedMatmul" };
  const shared = extra !== undefined && [...extra.slots].some((slot) => ax.slots.has(slot));
  const vectors = readsVectors(a, -1) && !shared;
  const sizes = { m: rows, n: columns, k };
  const kernel = few
    ? packedRowsKernel(sizes)
    : productKernel({ ...sizes, batch: 1, alpha: 1, bAlongK: true });
  l.launch(kernel, (bindings: Bindings) => [
    vectors ? vectorFunction(a, bindings) : elementFunction(a, bindings),
    fourAlongK(a, k, vectors),
    UNPACK[bits],
    functionOf("scale_at", table, {
      parameters: ["n", "k"],
      bindings,
      index: (w) => ["n", w.over("k", block)],
    }),
    ...(few
      ? [
        "fn a_row(b: u32, m: u32, k: u32) -> vec4f { return a_four(b, m, k); }",
        sixteenFunction(bindings.name(matrix.whole!, { vectors: true }), { k, bits }),
      ]
      : [
        rowsFunction(rows, false),
        fourFunction(bindings.name(matrix.whole!), { k, bits }),
        columnsFunction(columns, false),
      ]),
    ...(extra
      ? [functionOf("addend", extra, { parameters: ["i"], bindings, index: () => "i" })]
      : []),
    `fn put(i: u32, v: f32) { ${bindings.name(out, { writes: true })}[i] = v${
      extra ? " + addend(i)" : ""
    }; }`,
  ]);
  return [out];
}
