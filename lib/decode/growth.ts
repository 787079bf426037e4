/**
 * Rules of fixed size by which trees grow: the dynamic tree (EAGLE-2, Li et al. 2024, section 4), a static list of
 * paths (Medusa, EAGLE-1), a chain. The rule that sizes itself by measured cost is in `tree_size.ts`.
 */
import type { Candidates, Growth, TreeShape } from "./tree.ts";

export type { TreeShape } from "./tree.ts";

/** Checks the size of a tree. @throws naming the setting, found and wanted. */
export function checkTreeShape({ depth, width, budget }: TreeShape): void {
  const wanted = [["depth", depth, 1], ["width", width, 1], ["budget", budget, 2]] as const;
  for (const [name, value, least] of wanted) {
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

/** The `count` candidates with the best scores of those from `from` on, best first; the earlier wins a tie. */
export function bestOf(
  { scores }: Candidates,
  { from = 0, count }: { from?: number; count: number },
): number[] {
  return Array.from({ length: scores.length - from }, (_, i) => from + i)
    .sort((a, b) => scores[b] - scores[a] || a - b).slice(0, count);
}

/**
 * The dynamic tree: on each level the `width` candidates with the best scores are expanded; of all k + (d - 1) k^2
 * candidates the `budget - 1` best are kept. Scores fall along a path and the earlier candidate wins a tie, so the
 * parents of what is kept are kept. Growth ends where the best score on a level falls below `minimumScore`, and
 * candidates below it are not kept (the best one always is): a path so unlikely is worth no row.
 * @throws when the shape is out of range.
 */
export function dynamicGrowth(
  shape: TreeShape,
  { minimumScore = -Infinity }: { minimumScore?: number } = {},
): Growth {
  checkTreeShape(shape);
  const { depth, width, budget } = shape;
  return {
    shape,
    branching: width,
    rows: width,
    depth,
    budget,
    blind: false,
    expand(candidates, newest) {
      const chosen = bestOf(candidates, { from: newest, count: width });
      return candidates.scores[chosen[0]] < minimumScore ? [] : chosen;
    },
    keep: (candidates) =>
      bestOf(candidates, { count: budget - 1 })
        .filter((c, i) => i === 0 || candidates.scores[c] >= minimumScore),
  };
}

/**
 * One path of the draft's best (or a sampled) token after its best token: `depth` nodes beside the root, fewer where
 * the path's score falls below `minimumScore`.
 */
export function chainGrowth(
  depth: number,
  { minimumScore = -Infinity }: { minimumScore?: number } = {},
): Growth {
  const shape = { depth, width: 1, budget: depth + 1 };
  checkTreeShape(shape);
  return {
    shape,
    branching: 1,
    rows: 1,
    depth,
    budget: depth + 1,
    blind: true,
    expand: ({ scores }, newest) => scores[newest] >= minimumScore ? [newest] : [],
    keep: ({ tokens }) => [...tokens.keys()],
  };
}

/**
 * A static tree: each path lists, from the root down, which child is taken (0 = the draft's first). The order of
 * paths does not matter. How many children a node has does not depend on their tokens, so children may be sampled.
 * @throws when the list is empty, or a path's beginning or an earlier sibling is missing from it.
 */
export function staticGrowth(paths: readonly (readonly number[])[]): Growth {
  const listed = new Set(paths.map((path) => path.join(" ")));
  if (listed.size === 0) throw new Error("Cannot draft a static tree of no paths");
  for (const path of paths) {
    const rank = path.at(-1);
    if (rank === undefined || path.some((r) => !Number.isInteger(r) || r < 0)) {
      throw new Error(`Cannot draft a static tree with path [${path}]: wanted ranks from 0`);
    }
    const parent = path.slice(0, -1), wanted = [parent, [...parent, rank - 1]];
    const missing = wanted.find((p) => p.length > 0 && p.at(-1)! >= 0 && !listed.has(p.join(" ")));
    if (missing !== undefined) {
      throw new Error(
        `Cannot draft a static tree: it has path [${path}] but not [${missing}]`,
      );
    }
  }
  const inner = new Set([...paths].map((path) => path.slice(0, -1).join(" ")));
  const depth = Math.max(...paths.map((p) => p.length));
  const levels = Array.from(
    { length: depth },
    (_, l) => [...inner].filter((p) => p !== "" && p.split(" ").length === l + 1).length,
  );
  const pathOf = ({ parents, ranks }: Candidates, candidate: number): string => {
    const path: number[] = [];
    for (let c = candidate; c >= 0; c = parents[c]) path.unshift(ranks[c]);
    return path.join(" ");
  };
  const within = (candidates: Candidates, from: number, names: ReadonlySet<string>) =>
    [...candidates.tokens.keys()].slice(from)
      .filter((c) => names.has(pathOf(candidates, c)));
  return {
    branching: Math.max(...paths.flat()) + 1,
    rows: Math.max(1, ...levels),
    depth,
    budget: listed.size + 1,
    blind: true,
    expand: (candidates, newest) => within(candidates, newest, inner),
    keep: (candidates) => within(candidates, 0, listed),
  };
}
