/**
 * A mixture of experts as one composite: a router's scores choose some experts for each row, whose outputs are added by
 * the softmax of those scores (Mixtral: Jiang et al. 2024, section 2.1). A backend that can, computes the chosen ones
 * alone; the expansion, which defines it, computes all for every row and weights the others by 0, since shapes are
 * static. ONNX Runtime can: two of 8 experts of 1024 x 2048 took it a fifth of the expansion's time or less for one row,
 * half for two and from 32 on, as long for 4 to 8 (two cores, busy). Used by `composites.ts` and `lib/model/llama.ts`.
 */
import { makeNode, type Node, sameShape, showShape } from "./node.ts";
import {
  add,
  broadcast,
  compare,
  constant,
  div,
  exp,
  fill,
  matmul,
  mul,
  reshape,
  sigmoid,
  sliceAxis,
  sub,
  sum,
  takeAlong,
  topK,
  transpose,
  where,
} from "./ops.ts";

/** Operands of {@link expertMix}. */
export interface ExpertMixInputs {
  /** Rows [N, D]. */
  x: Node;
  /** The router's [N, E]. */
  scores: Node;
  /** Each expert's way in, [E, 2 I, D]: rows of gate and of up in turn. */
  up: Node;
  /** Each expert's way back, [E, D, I]. */
  down: Node;
}

/**
 * Rows [N, D] through the `chosen` experts of highest scores: `down (silu(gate x) * (up x))` each.
 * @throws when sizes disagree, or more are chosen than there are.
 */
export function expertMix(
  { x, scores, up, down }: ExpertMixInputs,
  { chosen }: { chosen: number },
): Node {
  const [n, d] = x.shape, [count, , inner] = down.shape;
  const wanted = [[scores, [n, count]], [up, [count, 2 * inner, d]], [down, [count, d, inner]]];
  for (const [node, shape] of wanted as [Node, number[]][]) {
    if (!sameShape(node.shape, shape)) {
      throw new Error(
        `Cannot mix experts: found ${showShape(node.shape)}, wanted ${showShape(shape)}`,
      );
    }
  }
  if (!(Number.isInteger(chosen) && chosen >= 1 && chosen <= count)) {
    throw new Error(`Cannot mix ${chosen} experts of ${count}: wanted 1 to ${count}`);
  }
  return makeNode("expertMix", [x, scores, up, down], { chosen }, { shape: [n, d], dtype: "f32" });
}

/** What each expert's output [N, E] counts for: the softmax of the chosen scores, 0 for the others. */
export function expertShares(scores: Node, chosen: number): Node {
  const [n, count] = scores.shape, best = topK(scores, chosen), found = takeAlong(scores, best); // [N,P]
  const powers = exp(sub(found, sliceAxis(found, 1, { end: 1 }))); // the best is first
  const shares = div(powers, sum(powers, [1], { keep: true }));
  const numbers = broadcast(
    constant(Int32Array.from({ length: count }, (_, e) => e), [1, count]),
    [n, count],
  );
  const each = Array.from({ length: chosen }, (_, p) => {
    const column = (of: Node) => sliceAxis(of, 1, { start: p, end: p + 1 });
    const own = compare("eq", broadcast(column(best), [n, count]), numbers);
    return where(own, broadcast(column(shares), [n, count]), fill(0));
  });
  return each.reduce((a, b) => add(a, b));
}

/** Every expert for every row. */
export function expandExpertMix(
  [x, scores, up, down]: readonly Node[],
  { chosen }: { chosen: number },
): Node[] {
  const [n, d] = x.shape, [count, , inner] = down.shape;
  const both = matmul(broadcast(reshape(x, [1, n, d]), [count, n, d]), up, { transB: true });
  const turns = reshape(both, [count, n, inner, 2]);
  const half = (at: number) =>
    reshape(sliceAxis(turns, 3, { start: at, end: at + 1 }), [count, n, inner]);
  const gate = half(0), y = matmul(mul(mul(gate, sigmoid(gate)), half(1)), down, { transB: true });
  const shares = reshape(transpose(expertShares(scores, chosen), [1, 0]), [count, n, 1]);
  return [sum(mul(y, shares), [0])];
}
