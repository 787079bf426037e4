/**
 * The dynamic tree (`growth.ts`) as nodes of a Program: the same candidates, scores and kept nodes that the host's
 * books (`tree.ts`) give, computed where the draft runs. Next on the walk of a round: `resident_verify.ts`.
 */
import { HIDDEN, type Node } from "../graph/node.ts";
import {
  add,
  cast,
  compare,
  concat,
  constant,
  fill,
  gather,
  max,
  min,
  neg,
  reshape,
  scatterAdd,
  sub,
  sum,
  takeAlong,
  topK,
  where,
} from "../graph/ops.ts";
import type { TreeShape } from "./tree.ts";

/** What a draft says of rows: children best first, and what it feeds back. */
export interface Drafted {
  /** i32 [n, k] */
  tokens: Node;
  /** [n, k] */
  logProbabilities: Node;
  /** [n, D] */
  regress: Node;
}

/** Rows of a level on their way into the draft. */
export interface Expansion {
  /** i32 [n] */
  tokens: Node;
  /** [n, D] */
  features: Node;
  /** From 1. */
  level: number;
  /** Rows of the tree that were drafted before, [n, before + n]: 1 where a row sees one, itself included. */
  sees: Node;
}

/** A tree of N nodes, the root first, parents before children. */
export interface ResidentTree {
  /** i32 [N] */
  tokens: Node;
  /** i32 [N]; the root is its own parent. */
  parents: Node;
  /** [N, N]: 1 where column is row or above it. */
  ancestors: Node;
  /** i32 [N], 0 at the root. */
  depths: Node;
}

/** 0, 1, .. n - 1 */
export const countTo = (n: number): Node =>
  constant(Int32Array.from({ length: n }, (_, i) => i), [n]);

/** Ones on the diagonal, [n, n]. */
const identity = (n: number): Node =>
  constant(Float32Array.from({ length: n * n }, (_, i) => i % (n + 1) === 0 ? 1 : 0), [n, n]);

/** Nodes of a tree that is grown in this shape: its budget, or all candidates where they are fewer. */
export function nodesOf({ depth, width, budget }: TreeShape): number {
  return Math.min(budget, 1 + width + (depth - 1) * width * width);
}

/**
 * What is added to the scores of n rows over C cache rows, [1, 1, n, C]: of the m rows from `prefix` (i32 [1]) on, a
 * row sees those with a 1 in `sees` [n, m]; attention itself hides what lies behind.
 */
export function treeBias(
  sees: Node,
  { prefix, capacity }: { prefix: Node; capacity: number },
): Node {
  const [n, m] = sees.shape;
  const column = sub(countTo(capacity), prefix); // [C]
  const inside = min(max(column, 0), m - 1);
  const seen = takeAlong(sees, add(reshape(inside, [1, capacity]), fill(0, [n, capacity], "i32")));
  const hidden = where(compare("gt", seen, 0), fill(0, [n, capacity]), HIDDEN);
  const before = add(reshape(column, [1, capacity]), fill(0, [n, capacity], "i32"));
  return reshape(where(compare("lt", before, 0), 0, hidden), [1, 1, n, capacity]);
}

/**
 * Grows a tree below `root` (i32 [1]) from what the draft said of it; `expand` is asked for each further level.
 */
export function residentTree(
  { root, drafted, shape, expand }: {
    root: Node;
    /** One row. */
    drafted: Drafted;
    shape: TreeShape;
    expand: (rows: Expansion) => Drafted;
  },
): ResidentTree {
  const { depth, width: k } = shape;
  // A rounded log-probability may exceed 0: cut it, or a child would outrank its parent.
  const scored = ({ logProbabilities }: Drafted) => min(logProbabilities, 0);
  const tokens = [reshape(drafted.tokens, [k])], scores = [reshape(scored(drafted), [k])];
  const parents: Node[] = [fill(0, [k], "i32")]; // candidates count from 1, the root is 0
  let { regress } = drafted, sees = identity(k), candidates = 0;
  for (let level = 1; level < depth; level++) {
    const newest = tokens.length - 1, chosen = topK(scores[newest], k); // [k]
    const rowsOf = Int32Array.from(
      { length: scores[newest].shape[0] },
      (_, i) => level === 1 ? 0 : Math.floor(i / k),
    );
    const source = gather(constant(rowsOf, [rowsOf.length]), chosen);
    if (level > 1) sees = concat([gather(sees, source), identity(k)], 1);
    const rows = { tokens: gather(tokens[newest], chosen), features: gather(regress, source) };
    const next = expand({ ...rows, level, sees });
    const above = reshape(gather(scores[newest], chosen), [k, 1]);
    const parent = add(reshape(chosen, [k, 1]), candidates + 1);
    candidates += rowsOf.length;
    tokens.push(reshape(next.tokens, [k * k]));
    scores.push(reshape(add(above, scored(next)), [k * k]));
    parents.push(reshape(add(parent, fill(0, [k, k], "i32")), [k * k]));
    regress = next.regress;
  }
  return keepBest({ root, tokens, scores, parents, nodes: nodesOf(shape), depth });
}

/** The best candidates in the order in which they were drafted: scores fall along a path, so parents are among them. */
function keepBest(
  { root, nodes, depth, ...all }: {
    root: Node;
    tokens: Node[];
    scores: Node[];
    parents: Node[];
    nodes: number;
    depth: number;
  },
): ResidentTree {
  const scores = concat(all.scores, 0), kept = nodes - 1, total = scores.shape[0];
  const best = topK(scores, kept);
  const order = gather(best, topK(neg(cast(best, "f32")), kept)); // ascending
  // Which node each candidate became, the root at 0.
  const node = constant(Float32Array.from({ length: kept }, (_, i) => i + 1), [kept]);
  const places = cast(scatterAdd(add(order, 1), node, total + 1), "i32");
  const first = fill(0, [1], "i32");
  const tokens = concat([root, gather(concat(all.tokens, 0), order)], 0);
  const parents = concat([first, gather(places, gather(concat(all.parents, 0), order))], 0);
  const self = identity(nodes);
  let ancestors = self;
  for (let level = 0; level < depth; level++) ancestors = max(self, gather(ancestors, parents));
  const depths = cast(sub(sum(ancestors, [1]), 1), "i32");
  return { tokens, parents, ancestors, depths };
}
