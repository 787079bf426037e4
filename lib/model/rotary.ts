/**
 * Cosine and sine tables of rotary positions, computed in float64 and rounded once. Used by `llama.ts` and `draft.ts`;
 * the rotation itself is the composite `rope`, how models stretch the angles is `rope_scaling.ts`.
 */
import { constant } from "../graph/ops.ts";
import type { Node } from "../graph/node.ts";
import { angularSpeeds, attentionFactor, type RopeScaling } from "./rope_scaling.ts";

/** Tables [positions, K/2] for head size K. */
export function rotaryTables(
  positions: number,
  config: { headSize: number; ropeTheta: number; ropeScaling?: RopeScaling },
): { cos: Node; sin: Node } {
  const speeds = angularSpeeds(config), half = speeds.length;
  const factor = attentionFactor(config.ropeScaling);
  const cos = new Float32Array(positions * half), sin = new Float32Array(positions * half);
  for (let t = 0; t < positions; t++) {
    for (let i = 0; i < half; i++) {
      cos[t * half + i] = factor * Math.cos(t * speeds[i]);
      sin[t * half + i] = factor * Math.sin(t * speeds[i]);
    }
  }
  return { cos: constant(cos, [positions, half]), sin: constant(sin, [positions, half]) };
}
