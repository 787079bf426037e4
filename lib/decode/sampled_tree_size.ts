/**
 * The self-sizing tree for children that are *sampled*: how many children a node gets is decided before they are
 * drawn, from what is known of the levels above, and all that were drawn are kept. Anything else would favour the
 * tokens that are kept and not be lossless. What a node is worth is reckoned as in `tree_size.ts`.
 */
import { Acceptance, CERTAIN, ChildProfile } from "./acceptance.ts";
import { costOf, type Costs, Price } from "./pricing.ts";
import type { Candidates, Growth } from "./tree.ts";
import type { SizeLimits } from "./tree_size.ts";

/** Rows over which the cost of one more row is averaged: sizes are compiled in steps. */
const STEP = 4;

interface Drawn {
  chance: number;
  confidence: number;
}

/**
 * A tree of sampled children sized by costs; it learns from every round.
 * @throws when costs are not usable.
 */
export function sampledAutoGrowth(
  costs: Costs,
  { branching = 4, rows = 8, depth = 10, budget = 64 }: SizeLimits = {},
): Growth {
  const price = new Price(costs), acceptance = new Acceptance();
  const profile = new ChildProfile(branching);
  const known = new WeakMap<Candidates, Drawn[]>();
  /** Children that each node of the frontier is to get. */
  const planned = new WeakMap<Candidates, Map<number, number>>();

  function drawnOf(candidates: Candidates): Drawn[] {
    const all = known.get(candidates) ?? [];
    known.set(candidates, all);
    const { parents, ranks, depths, logProbabilities } = candidates;
    for (let c = all.length; c < parents.length; c++) {
      const parent = all[parents[c]] as Drawn | undefined, reached = parent?.chance ?? 1;
      const rank = ranks[c], logProbability = logProbabilities[c];
      const confidence = acceptance.estimate({ logProbability, rank, depth: depths[c] });
      profile.observe(parent?.confidence ?? CERTAIN, { chance: confidence, rank, weight: reached });
      all.push({ chance: reached * confidence, confidence });
    }
    return all;
  }

  /** Tokens that one more verified row must promise, when there are n. */
  const rowPrice = (n: number) =>
    price.rate * (costOf(costs.verify, n + STEP) - costOf(costs.verify, n)) / STEP;

  /** How many children of a node are worth their rows, one at least, and the tokens expected of them. */
  function plan({ chance, confidence }: Drawn, least: number): { count: number; gain: number } {
    const children = profile.after(confidence);
    let count = 1, gain = chance * children[0];
    while (count < branching && chance * children[count] > least) {
      gain += chance * children[count++];
    }
    return { count, gain: gain - least * count };
  }

  return {
    branching,
    rows,
    depth,
    budget,
    blind: true,
    count(candidates, parent) {
      if (parent >= 0) return planned.get(candidates)!.get(parent)!;
      return Math.min(budget - 1, plan({ chance: 1, confidence: CERTAIN }, rowPrice(1)).count);
    },
    expand(candidates, newest) {
      const all = drawnOf(candidates), n = all.length, left = budget - 1 - n;
      const least = rowPrice(n + 1);
      const frontier = [...candidates.tokens.keys()].slice(newest)
        .sort((a, b) => all[b].chance - all[a].chance || a - b).slice(0, Math.min(rows, left));
      let best = { count: 0, worth: 0 }, gain = 0;
      frontier.forEach((c, i) => {
        gain += plan(all[c], least).gain;
        const worth = gain - price.rate * costOf(costs.expand, i + 1);
        if (worth > best.worth) best = { count: i + 1, worth };
      });
      const counts = new Map<number, number>();
      let free = left;
      for (const [i, c] of frontier.slice(0, best.count).entries()) {
        // One row is set aside for each node that follows.
        const most = free - (best.count - 1 - i), { count } = plan(all[c], least);
        counts.set(c, Math.min(count, most));
        free -= Math.min(count, most);
      }
      planned.set(candidates, counts);
      return [...counts.keys()];
    },
    keep: ({ tokens }) => [...tokens.keys()],
    learn({ tree, expanded }, path) {
      acceptance.observe(tree, path);
      price.observe({ expanded, nodes: tree.tokens.length, tokens: path.length + 1 });
    },
  };
}
