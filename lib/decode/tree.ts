/**
 * Growing and pruning the draft tree (EAGLE-2's dynamic tree, Li et al. 2024, section 4), apart from the
 * draft itself: the caller expands a frontier, this file keeps the scores. It knows no model, no cache and no
 * target. Next on the walk of a prompt: `ancestry.ts`, what the tree's parents imply.
 */
import type { Tree } from "./ancestry.ts";

/** Size of a tree in the paper's numbers. */
export interface TreeShape {
  /** Levels drafted d: the deepest node's distance from the root. */
  depth: number;
  /** Children k taken of each node, and nodes expanded on each level. */
  width: number;
  /** Nodes N verified, root included. */
  budget: number;
}

/** Checks the size of a tree. @throws naming the setting, found and wanted. */
export function checkTreeShape({ depth, width, budget }: TreeShape): void {
  for (
    const [name, value, least] of [["depth", depth, 1], ["width", width, 1], [
      "budget",
      budget,
      2,
    ]] as const
  ) {
    if (!Number.isInteger(value) || value < least) {
      throw new Error(
        `Cannot draft a tree of ${name} ${value}: wanted a whole number from ${least}`,
      );
    }
  }
}

/** The authors' flags: their `depth` counts the levels after the first, `total_tokens` is our budget. */
export function fromAuthorsFlags(
  { depth, topK, totalTokens }: { depth: number; topK: number; totalTokens: number },
): TreeShape {
  return { depth: depth + 1, width: topK, budget: totalTokens };
}

/** The k most likely next tokens of each row, best first: [rows, k]. */
export interface TopK {
  tokens: ArrayLike<number>;
  logProbabilities: ArrayLike<number>;
}

/** Nodes of one level to be expanded. */
export interface Frontier {
  /** 1 for children of the root. */
  level: number;
  tokens: Int32Array;
  /** Row of the previous forward whose regress is the node's feature; on level 1 all 0: the last accepted row. */
  featureRows: Int32Array;
  /**
   * For each node the drafted rows it descends from, `level - 1` each, top first. Rows are numbered over all
   * frontiers expanded so far: level l has rows (l - 1) k to l k - 1.
   */
  ancestors: Int32Array[];
}

/** Indices of the `count` largest scores, best first; the lower index wins a tie. */
function best(scores: ArrayLike<number>, count: number): number[] {
  return Array.from({ length: scores.length }, (_, i) => i)
    .sort((a, b) => scores[b] - scores[a] || a - b).slice(0, count);
}

/**
 * Grows a tree from the sampled token `root`. `first` holds the k candidates after the last accepted row;
 * `expand` forwards a frontier and returns k candidates for each of its nodes, `depth - 1` times at most.
 * Growth ends early when the best score on the frontier falls below `minimumScore`, and candidates below it
 * are not kept (the best one always is): a path so unlikely is worth neither a draft row nor a target row.
 *
 * A child's score is its parent's plus its log-probability. Of all k + (depth - 1) k^2 candidates the
 * `budget - 1` best are kept, fewer if there are fewer, in order of drafting after the root. Scores fall along
 * a path and the earlier candidate wins a tie, so the parents of what is kept are kept.
 * @throws when an expansion holds too few candidates or a log-probability that is not a number.
 */
export async function growTree(
  { root, first, shape }: { root: number; first: TopK; shape: TreeShape },
  expand: (frontier: Frontier) => TopK | Promise<TopK>,
  { minimumScore = -Infinity }: { minimumScore?: number } = {},
): Promise<Tree> {
  checkTreeShape(shape);
  const { depth, width, budget } = shape;
  // Candidates in order of drafting; parent is a candidate's index, -1 for the root.
  const tokens: number[] = [], scores: number[] = [], parents: number[] = [];
  const take = (top: TopK, row: number, parent: number) => {
    for (let i = row * width; i < (row + 1) * width; i++) {
      // Missing entries are undefined and fail here too. A rounded log-probability may exceed 0: cut it, or
      // a child would outrank its parent.
      const logProbability = Math.min(0, top.logProbabilities[i]);
      if (Number.isNaN(logProbability)) {
        throw new Error(
          `Cannot grow the tree: log-probability ${i} is ${
            top.logProbabilities[i]
          } of ${top.logProbabilities.length}, wanted ${width} numbers a row`,
        );
      }
      tokens.push(top.tokens[i]);
      scores.push((parent < 0 ? 0 : scores[parent]) + logProbability);
      parents.push(parent);
    }
  };
  take(first, 0, -1);
  let frontier = Array.from({ length: width }, (_, i) => i);
  let ancestors: Int32Array[] = frontier.map(() => new Int32Array(0));
  let featureRows = new Int32Array(width);
  for (let level = 1; level < depth; level++) {
    if (scores[frontier[0]] < minimumScore) break;
    const start = tokens.length;
    const expanded = await expand({
      level,
      tokens: Int32Array.from(frontier, (c) => tokens[c]),
      featureRows,
      ancestors,
    });
    frontier.forEach((candidate, row) => take(expanded, row, candidate));
    const chosen = best(scores.slice(start), width);
    const rows = chosen.map((c) => Math.floor(c / width)), firstRow = (level - 1) * width;
    ancestors = rows.map((row) => Int32Array.of(...ancestors[row], firstRow + row));
    featureRows = Int32Array.from(rows);
    frontier = chosen.map((c) => start + c);
  }
  const kept = best(scores, budget - 1)
    .filter((candidate, i) => i === 0 || scores[candidate] >= minimumScore)
    .sort((a, b) => a - b);
  const place = new Map(kept.map((candidate, i) => [candidate, i + 1]));
  return {
    tokens: Int32Array.of(root, ...kept.map((c) => tokens[c])),
    parents: Int32Array.of(-1, ...kept.map((c) => parents[c] < 0 ? 0 : place.get(parents[c])!)),
    scores: Float32Array.of(0, ...kept.map((c) => scores[c])),
  };
}
