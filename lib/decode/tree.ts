/**
 * Growing and pruning a draft tree, apart from the draft that answers and from the rule that decides: this file
 * keeps the candidates' books; a `Growth` (`growth.ts`, `tree_size.ts`) says what to expand and what to keep. It
 * knows no model, no cache and no target. Next on the walk of a prompt: `ancestry.ts`, what parents imply.
 */
import type { Tree } from "./ancestry.ts";

/** The k children of each row, best first or in order of sampling: [rows, k]. */
export interface TopK {
  tokens: ArrayLike<number>;
  /** -Infinity where a row has fewer children. */
  logProbabilities: ArrayLike<number>;
}

/** Nodes of one level to be expanded. */
export interface Frontier {
  /** 0 for the root, alone; 1 for its children. */
  level: number;
  /** Which candidates they are; -1 for the root. */
  candidates: number[];
  tokens: Int32Array;
  /** Children wanted of each. */
  counts: number[];
  /** Row of the forward before whose regress is the node's feature; on levels 0 and 1 all 0: the last accepted row. */
  featureRows: Int32Array;
  /** For each node the drafted rows it descends from, `level - 1` each, top first; numbered over all frontiers from 1. */
  ancestors: Int32Array[];
}

/** All candidates drafted so far, level by level; a `Growth` reads them. */
export interface Candidates {
  readonly tokens: number[];
  /** Log-probability by the draft, given the parent; at most 0. */
  readonly logProbabilities: number[];
  /** Sum of log-probabilities along the path. */
  readonly scores: number[];
  /** A candidate's index, -1 for the root. */
  readonly parents: number[];
  /** Place among its siblings, from 0. */
  readonly ranks: number[];
  /** From 1. */
  readonly depths: number[];
}

/** Size of a dynamic tree in the paper's numbers. */
export interface TreeShape {
  /** Levels drafted d: the deepest node's distance from the root. */
  depth: number;
  /** Children k taken of each node, and nodes expanded on each level. */
  width: number;
  /** Nodes N verified, root included. */
  budget: number;
}

/** The rule by which a tree grows. */
export interface Growth {
  /** Present for a dynamic tree: it can grow on a device, where no level waits for the host (`resident_tree.ts`). */
  readonly shape?: TreeShape;
  /** Children k of an expanded node at most. */
  readonly branching: number;
  /** Nodes expanded on a level at most. */
  readonly rows: number;
  /** Levels at most. */
  readonly depth: number;
  /** Nodes kept at most, root included. */
  readonly budget: number;
  /**
   * May children be *sampled*? Only if nothing that decides whether a candidate is kept depends on its own token or
   * on later ones: then verification by recursive rejection (`verifyDrawn`) is lossless.
   */
  readonly blind: boolean;
  /**
   * Which of the newest level's candidates (those from index `newest` on) are expanded, in this order; none ends
   * growth. Not asked for the root, which always is, nor on the last level.
   */
  expand(candidates: Candidates, newest: number): number[];
  /** How many children an expanded candidate (-1: the root) gets, asked before they are known; without it: k. */
  count?(candidates: Candidates, parent: number): number;
  /** Which candidates are kept, in any order; with each its parent, and its earlier siblings. */
  keep(candidates: Candidates): number[];
  /** Hears what the target accepted of what has grown: nodes in order, the root not among them. */
  learn?(grown: Grown, path: readonly number[]): void;
}

/** What has grown. */
export interface Grown {
  tree: Tree;
  /** The candidate that each node but the root was: node i + 1 is `kept[i]`. */
  kept: number[];
  /** Nodes expanded on each level below the root. */
  expanded: number[];
}

/**
 * Grows a tree from the sampled token `root`. Every frontier, the root first, is yielded and answered with k
 * candidates for each of its nodes, `depth` times at most. Kept nodes stand in order of drafting after the root.
 * @throws when an answer holds too few candidates or a log-probability that is not a number.
 */
export function* growTree(
  { root, growth }: { root: number; growth: Growth },
): Generator<Frontier, Grown, TopK> {
  const { branching: k, depth } = growth;
  const candidates: Candidates = {
    tokens: [],
    logProbabilities: [],
    scores: [],
    parents: [],
    ranks: [],
    depths: [],
  };
  const { tokens, scores, parents, depths } = candidates;
  const take = (
    top: TopK,
    { row, parent, count }: { row: number; parent: number; count: number },
  ) => {
    for (let i = row * k; i < row * k + count; i++) {
      // Missing entries are undefined and fail here too. A rounded log-probability may exceed 0: cut it, or
      // a child would outrank its parent.
      const logProbability = Math.min(0, top.logProbabilities[i]);
      if (Number.isNaN(logProbability)) {
        throw new Error(
          `Cannot grow the tree: log-probability ${i} is ${
            top.logProbabilities[i]
          } of ${top.logProbabilities.length}, wanted ${k} numbers a row`,
        );
      }
      if (logProbability === -Infinity) continue; // no child
      tokens.push(top.tokens[i]);
      candidates.logProbabilities.push(logProbability);
      scores.push((parent < 0 ? 0 : scores[parent]) + logProbability);
      parents.push(parent);
      candidates.ranks.push(i - row * k);
      depths.push(parent < 0 ? 1 : depths[parent] + 1);
    }
  };
  const expanded: number[] = [];
  let newest = 0, rowsBefore = 0, rowsNow = 0;
  // Of the candidates expanded last: the row of each, and the rows above it.
  let rowOf = new Map<number, { row: number; above: Int32Array }>();
  for (let level = 0; level < depth; level++) {
    if (level > 0 && newest === tokens.length) break; // no node of the level before has a child
    const frontier = level === 0 ? [-1] : growth.expand(candidates, newest);
    if (frontier.length === 0) break;
    const sources = frontier.map((c) => rowOf.get(parents[c]) ?? { row: 0, above: NO_ROWS });
    const ancestors = sources.map(({ row, above }) =>
      level < 2 ? NO_ROWS : Int32Array.of(...above, rowsBefore + row)
    );
    const counts = frontier.map((c) => growth.count?.(candidates, c) ?? k);
    const answer = yield {
      level,
      candidates: frontier,
      tokens: Int32Array.from(frontier, (c) => c < 0 ? root : tokens[c]),
      counts,
      featureRows: Int32Array.from(sources, ({ row }) => row),
      ancestors,
    };
    if (level > 0) expanded.push(frontier.length);
    newest = tokens.length;
    frontier.forEach((parent, row) => take(answer, { row, parent, count: counts[row] }));
    // The root's row is no row of the tree.
    rowsBefore += level < 2 ? 0 : rowsNow;
    rowsNow = frontier.length;
    rowOf = new Map(frontier.map((c, row) => [c, { row, above: ancestors[row] }]));
  }
  const kept = growth.keep(candidates).sort((a, b) => a - b);
  const place = new Map(kept.map((candidate, i) => [candidate, i + 1]));
  return {
    tree: {
      tokens: Int32Array.of(root, ...kept.map((c) => tokens[c])),
      parents: Int32Array.of(-1, ...kept.map((c) => parents[c] < 0 ? 0 : place.get(parents[c])!)),
      scores: Float32Array.of(0, ...kept.map((c) => scores[c])),
    },
    kept,
    expanded,
  };
}

const NO_ROWS = new Int32Array(0);
