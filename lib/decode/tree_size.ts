/**
 * The tree that sizes itself: on each level it expands the nodes, and in the end keeps the nodes, whose expected
 * tokens are worth their measured time. References: Sequoia (Chen et al. 2024) and OPT-Tree (Wang et al. 2024), which
 * maximise expected tokens for a given budget; here the budget, width and depth follow from costs, round by round.
 * Children that are sampled need another rule: `sampled_tree_size.ts`.
 */
import { Acceptance, ChildProfile } from "./acceptance.ts";
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

/** Levels looked ahead: one more level may not pay where two do, since verifications grow in steps. */
const AHEAD = 3;
/** Chances below this are worth no row on any machine, and are left out of the books. */
const HOPELESS = 0.01;

/** A candidate, known or expected: its chance, and its chance once its parent is accepted. */
interface Expected {
  chance: number;
  confidence: number;
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
  const profile = new ChildProfile(branching);
  /** Sizes of a verification within the budget. */
  const sizes = costs.verify.map(([n]) => n).filter((n) => n <= budget);
  const known = new WeakMap<Candidates, Expected[]>();

  function expectedOf(candidates: Candidates): Expected[] {
    const all = known.get(candidates) ?? [];
    known.set(candidates, all);
    const { parents, ranks, depths, logProbabilities } = candidates;
    for (let c = all.length; c < parents.length; c++) {
      const parent = all[parents[c]] as Expected | undefined, reached = parent?.chance ?? 1;
      const rank = ranks[c],
        standing = { logProbability: logProbabilities[c], rank, depth: depths[c] };
      const own = acceptance.estimate(standing);
      // Siblings stand side by side, best first; a later one is never preferred.
      const confidence = rank > 0 ? Math.min(own, all[c - 1].confidence) : own;
      if (parent !== undefined) {
        profile.observe(parent.confidence, { chance: confidence, rank, weight: reached });
      }
      all.push({ chance: reached * confidence, confidence });
    }
    return all;
  }

  /** The best number of nodes to verify when candidates have these chances, and what the round is then worth. */
  function bestSize(values: readonly number[]): { nodes: number; worth: number } {
    const chances = Float64Array.from(values).sort(), n = chances.length, { rate } = price;
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
      const all = expectedOf(candidates), { rate } = price;
      const frontier = order(all, newest).slice(0, rows);
      const levels = Math.min(AHEAD, depth - candidates.depths[newest]);
      const chances = all.map(({ chance }) => chance).filter((chance) => chance > HOPELESS);
      let best = { count: 0, worth: bestSize(chances).worth };
      for (const [size, ms] of costs.expand) {
        const count = Math.min(size, frontier.length), expected = [...chances];
        let level = frontier.slice(0, count).map((c) => all[c]);
        for (let ahead = 1; ahead <= levels; ahead++) {
          level = level.flatMap(({ chance, confidence }) =>
            Array.from(
              profile.after(confidence),
              (own) => ({ chance: chance * own, confidence: own }),
            )
          ).filter(({ chance }) => chance > HOPELESS);
          expected.push(...level.map(({ chance }) => chance));
          const worth = bestSize(expected).worth - rate * ms * ahead;
          if (worth > best.worth) best = { count, worth };
          level = level.sort((a, b) => b.chance - a.chance).slice(0, count);
        }
        if (size >= frontier.length) break;
      }
      return frontier.slice(0, best.count);
    },
    keep(candidates) {
      const all = expectedOf(candidates);
      const { nodes } = bestSize(all.map(({ chance }) => chance));
      return order(all, 0).slice(0, nodes - 1);
    },
    learn({ tree, expanded }: Grown, path) {
      acceptance.observe(tree, path);
      price.observe({ expanded, nodes: tree.tokens.length, tokens: path.length + 1 });
    },
  };
}

/** Candidates from `from` on by falling chance; the earlier wins a tie, so parents come before children. */
function order(all: readonly Expected[], from: number): number[] {
  return Array.from({ length: all.length - from }, (_, i) => from + i)
    .sort((a, b) => all[b].chance - all[a].chance || a - b);
}
