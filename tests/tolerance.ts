/**
 * Compares computed values with wanted ones so that a failure can be read: what was computed, its shape,
 * the worst index and both values there. The tolerance of an element is `a + |wanted| eps sqrt(n)`, where
 * n is the number of rounded terms behind it.
 */
import { type Shape, showShape } from "../lib/graph/node.ts";

/** Unit in the last place of a float32 at 1. */
export const FLOAT32_STEP = 2 ** -23;

/** How near is near. */
export interface Tolerance {
  /** Absolute part a: the size of an error where terms cancel. */
  a?: number;
  /** Relative error of one rounding. */
  eps?: number;
  /** Terms added up for one element. */
  n?: number;
}

/**
 * Asserts that `found` is `wanted` within the tolerance; NaN and infinities must be in the same places.
 * `what` names op and backend in the failure.
 */
export function assertClose(
  found: ArrayLike<number>,
  wanted: ArrayLike<number>,
  { what, shape, a = 1e-6, eps = FLOAT32_STEP, n = 1 }: { what: string; shape: Shape } & Tolerance,
): void {
  if (found.length !== wanted.length) {
    throw new Error(`${what} ${showShape(shape)}: ${found.length} values, wanted ${wanted.length}`);
  }
  let worst = -1, worstRatio = 1;
  for (let i = 0; i < wanted.length; i++) {
    if (Object.is(found[i], wanted[i]) || found[i] === wanted[i]) continue;
    const ratio = Math.abs(found[i] - wanted[i]) / (a + Math.abs(wanted[i]) * eps * Math.sqrt(n));
    if (!(ratio <= worstRatio)) {
      worst = i;
      worstRatio = Number.isNaN(ratio) ? Infinity : ratio;
    }
  }
  if (worst < 0) return;
  throw new Error(
    `${what} ${showShape(shape)}: worst at ${showShape(indexOf(worst, shape))}, found ${
      found[worst]
    }, wanted ${wanted[worst]} (${worstRatio.toPrecision(3)} times the tolerance)`,
  );
}

function indexOf(flat: number, shape: Shape): number[] {
  const index: number[] = [];
  for (const d of shape.toReversed()) {
    index.unshift(flat % d);
    flat = Math.floor(flat / d);
  }
  return index;
}
