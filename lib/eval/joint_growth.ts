/**
 * Several rules of growth at once: on each level the nodes are expanded that any of them would expand, each rule
 * seeing its own candidates only. What is recorded so (`recording.ts`) answers every one of these rules completely.
 * It is no rule to decode with: it keeps nothing.
 */
import type { Candidates, Growth } from "../decode/tree.ts";

/** A member's part of the candidates. */
interface Member {
  growth: Growth;
  own: {
    [K in keyof Candidates]: number[];
  };
  /** Which of all candidates each own one is. */
  all: number[];
  /** Own candidates expanded last; -1: the root. */
  expanded: number[];
}

/** A growth as {@link jointGrowth} makes it. */
export interface JointGrowth extends Growth {
  /** All candidates of the tree that grew last. */
  readonly grown: Candidates | undefined;
}

/**
 * The union of rules that read nothing but candidates. A rule that learns takes part as it stands.
 * @throws when there are none.
 */
export function jointGrowth(growths: readonly Growth[]): JointGrowth {
  if (growths.length === 0) throw new Error("Cannot grow a tree by no rules");
  const most = (size: (growth: Growth) => number) => Math.max(...growths.map(size));
  const members = new WeakMap<Candidates, Member[]>();
  let grown: Candidates | undefined;

  const begin = (): Member[] =>
    growths.map((growth) => ({
      growth,
      own: { tokens: [], logProbabilities: [], scores: [], parents: [], ranks: [], depths: [] },
      all: [],
      expanded: [-1],
    }));

  /** Gives a member the children of what it expanded, in its own order; returns its first new candidate. */
  function take(member: Member, candidates: Candidates, children: Map<number, number[]>): number {
    const { growth, own, all, expanded } = member, newest = all.length;
    const counts = expanded.map((parent) => growth.count?.(own, parent) ?? growth.branching);
    expanded.forEach((parent, i) => {
      for (const child of children.get(parent < 0 ? -1 : all[parent]) ?? []) {
        if (candidates.ranks[child] >= counts[i]) continue;
        for (const name of ["tokens", "logProbabilities", "scores", "ranks", "depths"] as const) {
          own[name].push(candidates[name][child]);
        }
        own.parents.push(parent);
        all.push(child);
      }
    });
    return newest;
  }

  return {
    branching: most((g) => g.branching),
    rows: growths.reduce((sum, g) => sum + g.rows, 0),
    depth: most((g) => g.depth),
    budget: most((g) => g.budget),
    blind: false,
    get grown() {
      return grown;
    },
    expand(candidates, newest) {
      const level = candidates.depths[newest], wanted = new Set<number>();
      const children = Map.groupBy(
        Array.from({ length: candidates.tokens.length - newest }, (_, i) => newest + i),
        (candidate) => candidates.parents[candidate],
      );
      if (!members.has(candidates)) members.set(candidates, begin());
      for (const member of members.get(candidates)!) {
        const from = take(member, candidates, children), { growth, own, all } = member;
        const open = level < growth.depth && from < all.length;
        member.expanded = open ? growth.expand(own, from) : [];
        for (const candidate of member.expanded) wanted.add(all[candidate]);
      }
      return [...wanted].sort((a, b) => a - b);
    },
    keep(candidates) {
      grown = candidates;
      return [];
    },
  };
}
