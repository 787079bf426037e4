/**
 * Experts of a target's mixture (`lib/graph/expert_mix.ts`) as its weights are laid: gate and up rows in turn, which is
 * what ONNX Runtime's operator reads; and the mixture where experts are matrices of their own, in 8 bits. There every
 * expert is computed for every row: its operator for quantised experts lays them in yet another way, and trees of ten
 * nodes choose 94 in 100 of eight experts anyway (two a row: 1 - (6/8)^10). Used by `llama.ts` and `load.ts`.
 */
import type { Node } from "../graph/node.ts";
import { add, mul, sliceAxis } from "../graph/ops.ts";
import { expertShares } from "../graph/expert_mix.ts";

/** Rows [N, D] through the chosen experts; `scores` [N, E] are the router's. */
export function mixExperts(
  scores: Node,
  { chosen, expert }: { chosen: number; expert: (e: number) => Node },
): Node {
  const shares = expertShares(scores, chosen), [, count] = scores.shape;
  return Array.from(
    { length: count },
    (_, e) => mul(expert(e), sliceAxis(shares, 1, { start: e, end: e + 1 })),
  ).reduce(add);
}

/** Of each expert [2 I, D] the first I rows and the last in turn: w [E, 2 I, D], changed in place. */
export function alternateRows(w: Float32Array, [count, rows, width]: readonly number[]): void {
  const inner = rows / 2;
  for (let e = 0; e < count; e++) {
    const own = w.subarray(e * rows * width, (e + 1) * rows * width), before = own.slice();
    for (let i = 0; i < rows; i++) {
      const to = i < inner ? 2 * i : 2 * (i - inner) + 1;
      own.set(before.subarray(i * width, (i + 1) * width), to * width);
    }
  }
}
