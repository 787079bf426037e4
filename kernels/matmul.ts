/**
 * Launches of the two pages for matrix products: `matmul.wgsl` for tiles, `row_product.wgsl` for few rows.
 */
import type { Kernel } from "./kernel.ts";
import tiles from "./matmul.wgsl" with { type: "text" };
import rows from "./row_product.wgsl" with { type: "text" };

/** Rows that `row_product.wgsl` takes at most. */
export const FEW_ROWS = 8;

/** Sizes of a product [B,M,K] x [B,K,N], and along which index each operand lies in memory. */
export interface Product {
  batch: number;
  m: number;
  n: number;
  k: number;
  alpha: number;
  /** Neighbours in memory differ in k: a is not transposed, b is. */
  aAlongK: boolean;
  bAlongK: boolean;
}

/** Asks for a_at(b, m, k), b_at(b, k, n), put(position, v). @throws when a dimension has too many workgroups. */
export function productKernel({ batch, m, n, k, alpha, aAlongK, bAlongK }: Product): Kernel {
  const sizes = { BATCH: batch, M: m, N: n, K: k, ALPHA: `${Math.fround(alpha)}f` };
  const lanes = bAlongK ? 16 : 1;
  const few = m <= FEW_ROWS;
  const groups: [number, number, number] = few
    ? [Math.ceil(n * lanes / 64), batch, 1]
    : [Math.ceil(n / 64), Math.ceil(m / 64), batch];
  if (Math.max(...groups) > 65535) {
    throw new Error(`Cannot launch a product of ${batch} x [${m},${k}] x [${k},${n}]: too large`);
  }
  return few
    ? { name: "row_product", text: rows, groups, constants: { ...sizes, LANES: lanes } }
    : {
      name: "matmul",
      text: tiles,
      groups,
      constants: { ...sizes, A_ALONG_K: String(aAlongK), B_ALONG_K: String(bAlongK) },
    };
}
