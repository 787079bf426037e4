/**
 * A made-up world for trees that size themselves: a draft whose probabilities and a target whose choices are random
 * functions of the path, so that rounds cost nothing to play. Not a test itself.
 */
import { childrenOf } from "../../lib/decode/ancestry.ts";
import { costOf, type Costs } from "../../lib/decode/pricing.ts";
import { type Grown, type Growth, growTree, type TopK } from "../../lib/decode/tree.ts";
import { type Random, random } from "../../lib/random.ts";

export interface World {
  seed: number;
  /** The chance that the target takes the draft's best child, from the child's probability. */
  trust: (probability: number) => number;
}

/** Draft probabilities of k children after a path of ranks in a round: some places are sure, some are not. */
function childrenAfter(k: number, from: Random): number[] {
  const best = 0.15 + 0.84 * Math.sqrt(from.uniform()), p = [best];
  for (let r = 1, left = 1 - best; r < k; r++, left *= 0.4) p.push(left * 0.6);
  return p;
}

/** Plays rounds; sums up tokens and their time by the costs. `see` looks at each tree. */
export function play(
  growth: Growth,
  { world, costs, rounds, see }: {
    world: World;
    costs: Costs;
    rounds: number;
    see?: (grown: Grown, path: readonly number[]) => void;
  },
): { rate: number; tau: number; nodes: number; levels: number } {
  let tokens = 0, ms = 0, nodes = 0, levels = 0;
  for (let round = 0; round < rounds; round++) {
    const names = new Map<number, string>([[-1, ""]]);
    const of = (name: string) =>
      childrenAfter(growth.branching, random(world.seed, "draft", round, name));
    const steps = growTree({ root: 0, growth });
    let state = steps.next(), known = 0;
    while (!state.done) {
      const { candidates, counts } = state.value;
      const answer: TopK & { tokens: number[]; logProbabilities: number[] } = {
        tokens: [],
        logProbabilities: [],
      };
      candidates.forEach((candidate, row) => {
        const name = names.get(candidate)!;
        of(name).forEach((p, rank) => {
          answer.tokens.push(rank);
          answer.logProbabilities.push(Math.log(p));
          // Candidates are numbered as they are taken.
          if (rank < counts[row]) names.set(known++, `${name}${rank}`);
        });
      });
      state = steps.next(answer);
    }
    const grown = state.value, { tree, kept } = grown, children = childrenOf(tree.parents);
    const path: number[] = [];
    for (let node = 0;;) {
      const name = node === 0 ? "" : names.get(kept[node - 1])!;
      const p = of(name), from = random(world.seed, "target", round, name);
      // The best child or, with what is left, one of the others by their probabilities.
      let u = from.uniform() - world.trust(p[0]), rank = 0;
      if (u >= 0) {
        const rest = 1 - world.trust(p[0]), others = 1 - p[0];
        for (rank = 1; rank < p.length; rank++) {
          u -= rest * p[rank] / others;
          if (u < 0) break;
        }
      }
      const next = children[node].find((c) => tree.tokens[c] === rank);
      if (next === undefined) break;
      path.push(next);
      node = next;
    }
    growth.learn?.(grown, path);
    see?.(grown, path);
    tokens += path.length + 1;
    nodes += tree.tokens.length;
    levels += grown.expanded.length + 1;
    ms += costOf(costs.read, path.length + 1) + costOf(costs.verify, tree.tokens.length) +
      costs.host +
      grown.expanded.reduce((sum, n) => sum + costOf(costs.expand, n), 0);
  }
  return {
    rate: tokens / ms,
    tau: tokens / rounds,
    nodes: nodes / rounds,
    levels: levels / rounds,
  };
}

/** Curves of a processor on which a row of the target costs `slope` of a plain token, a draft pass `pass`. */
export function costsOf({ slope, pass }: { slope: number; pass: number }): Costs {
  const sizes = [1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64];
  return {
    read: sizes.slice(0, 9).map((n) => [n, pass * (1 + 0.1 * n)] as const),
    expand: sizes.slice(0, 6).map((n) => [n, pass * (1 + 0.2 * (n - 1))] as const),
    verify: sizes.map((n) => [n, 1 + slope * (n - 1)] as const),
    host: 0.01,
  };
}
