/**
 * A mixture of experts as graph: a router chooses some experts for each row, their outputs are added by the softmax of
 * its scores (Mixtral: Jiang et al. 2024, section 2.1). Every expert is computed for every row and weighted by 0 where
 * it was not chosen: shapes stay static, at the cost of the experts that count for nothing. Used by `llama.ts`.
 */
import { softmax } from "../graph/composites.ts";
import type { Node } from "../graph/node.ts";
import { add, compare, fill, mul, sum, takeAlong, topK, where } from "../graph/ops.ts";

/** Rows [N, D] through the chosen experts; `scores` [N, E] are the router's. */
export function mixExperts(
  scores: Node,
  { chosen, expert }: { chosen: number; expert: (e: number) => Node },
): Node {
  const best = topK(scores, chosen); // [N,P]
  const shares = softmax(takeAlong(scores, best)); // [N,P]
  const [, count] = scores.shape;
  return Array.from({ length: count }, (_, e) => {
    const own = where(compare("eq", best, e), shares, fill(0));
    return mul(expert(e), sum(own, [1], { keep: true }));
  }).reduce(add);
}
