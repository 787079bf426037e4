/**
 * Launches of the pages for matrix products: `matmul.wgsl` for blocks, `row_product.wgsl` for few rows, and of those
 * `packed_rows.wgsl` where the matrix is packed in 8 or 4 bits.
 */
import type { Kernel } from "./kernel.ts";
import blocks from "./matmul.wgsl" with { type: "text" };
import packedRows from "./packed_rows.wgsl" with { type: "text" };
import rows from "./row_product.wgsl" with { type: "text" };

/** Rows that `row_product.wgsl` and `packed_rows.wgsl` take at most. */
export const FEW_ROWS = 8;

/** Sizes of a product [B,M,K] x [B,K,N]. */
export interface Product {
  batch: number;
  m: number;
  n: number;
  k: number;
  alpha: number;
  /** Neighbours of b in memory differ in k: b is transposed. */
  bAlongK: boolean;
}

function checkGroups(
  groups: readonly number[],
  { batch, m, n, k }: Pick<Product, "batch" | "m" | "n" | "k">,
): void {
  if (Math.max(...groups) > 65535) {
    throw new Error(`Cannot launch a product of ${batch} x [${m},${k}] x [${k},${n}]: too large`);
  }
}

/**
 * The page for a product and what it asks for: `row_product` a_row(b, m, k), b_column(b, k, n); `matmul` a_rows(b, m, k),
 * b_columns(b, k, n); both put(position, v). @throws when a dimension has too many workgroups.
 */
export function productKernel(
  { batch, m, n, k, alpha, bAlongK }: Product,
): Kernel & { name: "row_product" | "matmul" } {
  const sizes = { BATCH: batch, M: m, N: n, K: k, ALPHA: `${Math.fround(alpha)}f` };
  const few = m <= FEW_ROWS, lanes = bAlongK ? 16 : 1;
  const groups: [number, number, number] = few
    ? [Math.ceil(n * lanes / 256), batch, 1]
    : [Math.ceil(n / 64), Math.ceil(m / 64), batch];
  checkGroups(groups, { batch, m, n, k });
  return few
    ? { name: "row_product", text: rows, groups, constants: { ...sizes, LANES: lanes } }
    : { name: "matmul", text: blocks, groups, constants: sizes };
}

/** Lanes that share four columns of a packed matrix. */
const PACKED_LANES = 16;

/**
 * The page for few rows [M,K] and a packed matrix [N,K], blocks of a multiple of 16 values: asks for a_row(b, m, k),
 * weights(n, k), scale_at(n, k), put(position, v). @throws when a dimension has too many workgroups.
 */
export function packedRowsKernel({ m, n, k }: Pick<Product, "m" | "n" | "k">): Kernel {
  const groups: [number, number, number] = [Math.ceil(n * PACKED_LANES / 256), 1, 1];
  checkGroups(groups, { batch: 1, m, n, k });
  const constants = { M: m, N: n, K: k, LANES: PACKED_LANES };
  return { name: "packed_rows", text: packedRows, groups, constants };
}
