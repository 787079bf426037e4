/**
 * How likely the target accepts what the draft proposes: learned while decoding, from the draft's own probability
 * and the depth in the tree. Where little was seen the draft is taken at its word. Used by `tree_size.ts`.
 */
import { childrenOf, depthsOf, type Tree } from "./ancestry.ts";

/** Borders of the classes of log-probabilities, falling. */
const BORDERS = [-0.02, -0.05, -0.1, -0.2, -0.35, -0.6, -1, -1.5, -2.2, -3, -4.5];
/** Deeper levels count as this one: drafts err alike there, and few rounds reach them. */
const DEEPEST = 4;
/** Observations that the draft's own probability counts for. */
const PRIOR = 8;
/** A class that has seen so many forgets half. */
const FULL = 2048;

interface Count {
  hits: number;
  tries: number;
}

export class Acceptance {
  #counts: Count[][] = Array.from(
    { length: DEEPEST },
    () => Array.from({ length: BORDERS.length + 1 }, () => ({ hits: 0, tries: 0 })),
  );

  #class(logProbability: number, depth: number): Count {
    const at = BORDERS.findIndex((border) => logProbability > border);
    return this.#counts[Math.min(depth, DEEPEST) - 1][at < 0 ? BORDERS.length : at];
  }

  /** The chance that the target goes on with a node once its parent, at `depth` - 1, is accepted. */
  estimate(logProbability: number, depth: number): number {
    const { hits, tries } = this.#class(logProbability, depth);
    return (hits + PRIOR * Math.exp(logProbability)) / (tries + PRIOR);
  }

  /** Learns from every child of the root and of accepted nodes: one of them was accepted, or none. */
  observe({ parents, scores }: Pick<Tree, "parents" | "scores">, path: readonly number[]): void {
    const children = childrenOf(parents), depths = depthsOf(parents), accepted = new Set(path);
    for (const parent of [0, ...path]) {
      for (const child of children[parent]) {
        const count = this.#class(scores[child] - scores[parent], depths[child]);
        count.tries++;
        if (accepted.has(child)) count.hits++;
        if (count.tries >= FULL) {
          count.tries /= 2;
          count.hits /= 2;
        }
      }
    }
  }
}
