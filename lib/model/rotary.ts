/**
 * Cosine and sine tables of rotary positions, computed in float64 and rounded once.
 * Used by `llama.ts` and `draft.ts`; the rotation itself is the composite `rope`.
 */
import { constant } from "../graph/ops.ts";
import type { Node } from "../graph/node.ts";

/** Tables [positions, K/2] for head size K: angle of pair i at position t is `t * theta^(-2 i / K)`. */
export function rotaryTables(
  positions: number,
  { headSize, ropeTheta }: { headSize: number; ropeTheta: number },
): { cos: Node; sin: Node } {
  const half = headSize / 2;
  const cos = new Float32Array(positions * half), sin = new Float32Array(positions * half);
  for (let t = 0; t < positions; t++) {
    for (let i = 0; i < half; i++) {
      const angle = t * Math.pow(ropeTheta, -2 * i / headSize);
      cos[t * half + i] = Math.cos(angle);
      sin[t * half + i] = Math.sin(angle);
    }
  }
  return { cos: constant(cos, [positions, half]), sin: constant(sin, [positions, half]) };
}
