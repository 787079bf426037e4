/**
 * What a Program costs before it is run: operations of its products, bytes of its inputs. Nothing is computed or
 * allocated. Used by the memory plan (`lib/bench/plan.ts`).
 */
import { type DType, isOp, type Node, type Shape, sizeOf } from "./node.ts";
import type { Program } from "./program.ts";

/** Bytes of an element on the host. */
export const ELEMENT_BYTES: Record<DType, number> = { f32: 4, f16: 2, i32: 4, bool: 1, u8: 1 };

/** Bytes of a value. */
export function bytesOfValue({ shape, dtype }: { shape: Shape; dtype: DType }): number {
  return sizeOf(shape) * ELEMENT_BYTES[dtype];
}

function flopsOfNode(n: Node): number {
  if (isOp(n, "matmul")) {
    const [a] = n.inputs, k = a.shape[a.shape.length - (n.attrs.transA ? 2 : 1)];
    return 2 * sizeOf(n.shape) * k;
  }
  if (isOp(n, "quantizedMatmul") || isOp(n, "halfMatmul")) {
    return 2 * sizeOf(n.shape) * n.inputs[0].shape[1];
  }
  if (isOp(n, "treeAttention")) {
    // Scores and weighted values over the whole capacity, as the bias has it.
    const [, , capacity, k] = n.inputs[1].shape, [b, t] = n.inputs[0].shape;
    return 4 * b * t * n.attrs.heads * capacity * k;
  }
  if (isOp(n, "streamAttention") || isOp(n, "streamAttentionGradient")) {
    // Two products over all columns of stream 0; the gradient takes four.
    const [b, h, t, k] = isOp(n, "streamAttention") ? n.inputs[0].shape : n.shape;
    return (isOp(n, "streamAttention") ? 4 : 8) * b * h * t * t * k;
  }
  if (isOp(n, "expertMix")) {
    // Of the chosen experts: a backend without the operator computes all.
    const [, d, inner] = n.inputs[3].shape;
    return 6 * n.shape[0] * n.attrs.chosen * d * inner;
  }
  return 0;
}

/** f32 operations of a program's products, two for a multiplication that is added. */
export function countFlops({ order }: Program): number {
  return order.reduce((sum, n) => sum + flopsOfNode(n), 0);
}
