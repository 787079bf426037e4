/**
 * Acceptance as nodes of a Program: the target's choice at every node is made first, then the path of nodes that
 * agree with their parent's choice is followed. For children that are fixed before this is as lossless as rejecting
 * them one by one: the token after an accepted node is always the target's own choice. Next: `resident_round.ts`.
 */
import type { Node } from "../graph/node.ts";
import {
  cast,
  compare,
  concat,
  constant,
  fill,
  gather,
  mul,
  reshape,
  sum,
  where,
} from "../graph/ops.ts";
import { argmaxRows, processRows, sampleRows } from "../graph/composites.ts";
import type { Sampling } from "./sample.ts";
import { countTo, type ResidentTree } from "./resident_tree.ts";

/** What was accepted of a tree; rows beyond `count` mean nothing. */
export interface Accepted {
  /** Accepted nodes, the root first; beyond them each place itself: i32 [R]. */
  nodes: Node;
  /** The target's choice after each of them: the emitted tokens, i32 [R]. */
  tokens: Node;
  /** Of nodes, and of tokens: i32 [1], at least 1. */
  count: Node;
}

/**
 * Settings of sampling that need no other tokens and sort no whole vocabulary.
 * @throws when a repetition penalty is asked for, or top-p without top-k.
 */
export function checkResident({ topK, topP, repetitionPenalty = 1 }: Sampling): void {
  if (repetitionPenalty === 1 && (topP === 1 || topK > 0)) return;
  throw new Error(
    `Cannot sample with top-p ${topP}, top-k ${topK} and repetition penalty ${repetitionPenalty} in rounds on ` +
      "the device: wanted top-k too where top-p is set, no penalty, or rounds by the host",
  );
}

/** The target's choice after each row of logits [N, V]: i32 [N]. `uniforms` [N] decide where a temperature is set. */
export function chooseTokens(
  logits: Node,
  { sampling, uniforms }: { sampling: Sampling; uniforms: Node },
): Node {
  if (sampling.temperature === 0) return argmaxRows(logits);
  const { temperature, topK, topP } = sampling;
  return sampleRows(processRows(logits, { temperature, topK, topP }), uniforms);
}

/** Follows the target's choices i32 [N] down the tree. R: nodes on a path at most. */
export function acceptNodes(
  { tokens, parents, depths }: ResidentTree,
  { choices, longest }: { choices: Node; longest: number },
): Accepted {
  const [n] = tokens.shape,
    root = constant(Float32Array.from({ length: n }, (_, i) => i === 0 ? 1 : 0), [n]);
  const agrees = cast(compare("eq", tokens, gather(choices, parents)), "f32");
  let accepted = root;
  for (let level = 1; level < longest; level++) {
    accepted = where(compare("gt", root, 0), 1, mul(agrees, gather(accepted, parents)));
  }
  // Node of each depth on the path.
  const place = reshape(countTo(longest), [longest, 1]);
  const at = mul(
    cast(compare("eq", place, reshape(depths, [1, n])), "f32"),
    reshape(accepted, [1, n]),
  );
  const node = cast(sum(mul(at, cast(countTo(n), "f32")), [1]), "i32");
  const nodes = where(compare("gt", sum(at, [1]), 0), node, countTo(longest));
  const count = reshape(cast(sum(accepted), "i32"), [1]);
  return { nodes, tokens: gather(choices, nodes), count };
}

/** A tree of the root alone: plain decoding. */
export function rootAlone(root: Node): ResidentTree {
  const zero = fill(0, [1], "i32");
  return { tokens: concat([root], 0), parents: zero, depths: zero, ancestors: fill(1, [1, 1]) };
}
