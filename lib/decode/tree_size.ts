/**
 * The tree that sizes itself: on each level it expands the nodes, and in the end keeps the nodes, whose expected
 * tokens are worth their measured time. References: Sequoia (Chen et al. 2024) and OPT-Tree (Wang et al. 2024), which
 * maximise expected tokens for a given budget; here the budget, width and depth follow from costs, round by round.
 * Children that are sampled need another rule: `sampled_tree_size.ts`.
 */
import { Acceptance } from "./acceptance.ts";
import { costOf, type Costs, Price } from "./pricing.ts";
import type { Candidates, Grown, Growth } from "./tree.ts";

/** Bounds within which a tree sizes itself. */
export interface SizeLimits {
  /** Children of a node. */
  branching?: number;
  /** Nodes expanded on a level. */
  rows?: number;
  depth?: number;
  /** Nodes verified, root included. */
  budget?: number;
}

/** Expected acceptance of the children of an expanded node by rank: a running mean for each depth. */
class ChildProfile {
  #means: { weight: number; chances: Float64Array }[];

  constructor(depth: number, branching: number) {
    // Before anything is known: the best child of two thirds, each next one a third of the one before.
    const chances = () => Float64Array.from({ length: branching }, (_, r) => 0.65 * 0.33 ** r);
    this.#means = Array.from({ length: depth }, () => ({ weight: 1, chances: chances() }));
  }

  /** Of children at this depth, from 1. */
  at(depth: number): Float64Array {
    return this.#means[depth - 1].chances;
  }

  /** `weight`: how likely the parent is accepted itself, so that the mean is of nodes that matter. */
  observe(
    chance: number,
    { depth, rank, weight }: { depth: number; rank: number; weight: number },
  ) {
    const mean = this.#means[depth - 1];
    if (rank === 0) mean.weight = Math.min(500, mean.weight + weight);
    mean.chances[rank] += (chance - mean.chances[rank]) * Math.min(1, weight / mean.weight);
  }
}

/**
 * A tree sized by costs. It learns from every round, across prompts; the same rounds in the same order give the
 * same trees.
 * @throws when costs are not usable.
 */
export function autoGrowth(
  costs: Costs,
  { branching = 4, rows = 8, depth = 10, budget = 64 }: SizeLimits = {},
): Growth {
  const price = new Price(costs), acceptance = new Acceptance();
  const profile = new ChildProfile(depth, branching);
  /** Sizes of a verification within the budget. */
  const sizes = costs.verify.map(([n]) => n).filter((n) => n <= budget);
  /** The chance of each candidate to be accepted, all its ancestors included. */
  const known = new WeakMap<Candidates, number[]>();

  function chancesOf(candidates: Candidates): number[] {
    const chances = known.get(candidates) ?? [];
    known.set(candidates, chances);
    const { parents, ranks, depths, logProbabilities } = candidates;
    for (let c = chances.length; c < parents.length; c++) {
      const above = parents[c] < 0 ? 1 : chances[parents[c]];
      const own = above * acceptance.estimate(logProbabilities[c], depths[c]);
      // Siblings stand side by side, best first; a later one is never preferred.
      chances.push(ranks[c] > 0 ? Math.min(own, chances[c - 1]) : own);
      const mine = { depth: depths[c], rank: ranks[c], weight: above };
      if (above > 0) profile.observe(chances[c] / above, mine);
    }
    return chances;
  }

  /** The best number of nodes to verify when candidates have these chances, and what the round is then worth. */
  function bestSize(chances: Float64Array): { nodes: number; worth: number } {
    chances.sort();
    const n = chances.length, { rate } = price;
    let sum = 0, taken = 0, best = { nodes: 1, worth: -rate * costOf(costs.verify, 1) };
    for (const size of sizes) {
      while (taken < Math.min(size - 1, n)) sum += chances[n - 1 - taken++];
      const worth = sum - rate * costOf(costs.verify, taken + 1);
      if (worth > best.worth) best = { nodes: taken + 1, worth };
      if (taken === n) break;
    }
    return best;
  }

  return {
    branching,
    rows,
    depth,
    budget,
    blind: false,
    expand(candidates, newest) {
      const chances = chancesOf(candidates), next = candidates.depths[newest] + 1;
      const frontier = order(chances, newest).slice(0, rows), children = profile.at(next);
      let best = { count: 0, worth: bestSize(Float64Array.from(chances)).worth };
      for (const [size, ms] of costs.expand) {
        const count = Math.min(size, frontier.length), expected: number[] = [];
        for (const c of frontier.slice(0, count)) {
          for (const chance of children) expected.push(chances[c] * chance);
        }
        const { worth } = bestSize(Float64Array.from([...chances, ...expected]));
        const left = worth - price.rate * ms;
        if (left > best.worth) best = { count, worth: left };
        if (size >= frontier.length) break;
      }
      return frontier.slice(0, best.count);
    },
    keep(candidates) {
      const chances = chancesOf(candidates);
      const { nodes } = bestSize(Float64Array.from(chances));
      return order(chances, 0).slice(0, nodes - 1);
    },
    learn({ tree, expanded }: Grown, path) {
      acceptance.observe(tree, path);
      price.observe({ expanded, nodes: tree.tokens.length, tokens: path.length + 1 });
    },
  };
}

/** Candidates from `from` on by falling chance; the earlier wins a tie, so parents come before children. */
function order(chances: readonly number[], from: number): number[] {
  return Array.from({ length: chances.length - from }, (_, i) => from + i)
    .sort((a, b) => chances[b] - chances[a] || a - b);
}
