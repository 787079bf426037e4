/**
 * How likely the target accepts what the draft proposes: learned while decoding, by the draft's own probability, the
 * place among siblings and the depth in the tree. Where little was seen, less exact classes count, and in the end the
 * draft's word. Used by `tree_size.ts` and `sampled_tree_size.ts`.
 */
import { childrenOf, depthsOf, type Tree } from "./ancestry.ts";

/** Borders of the classes of log-probabilities, falling. */
const BORDERS = [-0.02, -0.05, -0.1, -0.2, -0.35, -0.6, -1, -1.5, -2.2, -3, -4.5];
/** Siblings from here on count alike. The best one is right far more often than its probability says. */
const RANKS = 3;
/** Levels from here on count alike. */
const DEPTHS = 4;
/** Observations that the draft's own probability counts for, and those of all depths for one depth. */
const WORD = 4, ALL_DEPTHS = 16;
/** A class that has seen so many forgets half. */
const FULL = 2048;

/** Where a node stands, for its class. */
export interface Standing {
  /** By the draft, given the parent. */
  logProbability: number;
  /** Place among its siblings, from 0. */
  rank: number;
  /** From 1. */
  depth: number;
}

class Share {
  #hits = 0;
  #tries = 0;
  estimate(prior: number, weight: number): number {
    return (this.#hits + weight * prior) / (this.#tries + weight);
  }
  observe(hit: boolean): void {
    this.#tries++;
    if (hit) this.#hits++;
    if (this.#tries < FULL) return;
    this.#tries /= 2;
    this.#hits /= 2;
  }
}

const shares = (count: number) => Array.from({ length: count }, () => new Share());

export class Acceptance {
  #byRank = shares(RANKS * (BORDERS.length + 1));
  #byDepth = shares(DEPTHS * RANKS * (BORDERS.length + 1));

  #classes({ logProbability, rank, depth }: Standing): [Share, Share] {
    const border = BORDERS.findIndex((b) => logProbability > b);
    const at = (border < 0 ? BORDERS.length : border) * RANKS + Math.min(rank, RANKS - 1);
    return [this.#byRank[at], this.#byDepth[at * DEPTHS + Math.min(depth, DEPTHS) - 1]];
  }

  /** The chance that the target goes on with a node once its parent is accepted. */
  estimate(standing: Standing): number {
    const [all, own] = this.#classes(standing);
    const { logProbability } = standing;
    return own.estimate(all.estimate(Math.exp(logProbability), WORD), ALL_DEPTHS);
  }

  /** Learns from every child of the root and of accepted nodes: one of them was accepted, or none. */
  observe({ parents, scores }: Pick<Tree, "parents" | "scores">, path: readonly number[]): void {
    const children = childrenOf(parents), depths = depthsOf(parents), accepted = new Set(path);
    for (const parent of [0, ...path]) {
      children[parent].forEach((child, rank) => {
        const logProbability = scores[child] - scores[parent];
        const classes = this.#classes({ logProbability, rank, depth: depths[child] });
        for (const share of classes) share.observe(accepted.has(child));
      });
    }
  }
}

/** The confidence of a tree's root: the target itself chose it. */
export const CERTAIN = Infinity;
/** Borders of the classes of confidence, falling; above the first there is only the root. */
const CONFIDENCE = [1, 0.97, 0.9, 0.75, 0.5, 0.25];

/**
 * How likely the children of an expanded node are accepted, by rank, before they are known: running means. The
 * surer a token was, the surer, mostly, is what follows it; so there is one for each class of the node's own chance.
 */
export class ChildProfile {
  #means: { weight: number; chances: Float64Array }[];

  constructor(branching: number) {
    // Before anything is known: the best child of two thirds, each next one a third of the one before.
    const chances = () => Float64Array.from({ length: branching }, (_, r) => 0.65 * 0.33 ** r);
    this.#means = Array.from(
      { length: CONFIDENCE.length + 1 },
      () => ({ weight: 1, chances: chances() }),
    );
  }

  #of(confidence: number) {
    const at = CONFIDENCE.findIndex((border) => confidence > border);
    return this.#means[at < 0 ? CONFIDENCE.length : at];
  }

  /** Of the children of a node that is accepted with this chance once its parent is. */
  after(confidence: number): Float64Array {
    return this.#of(confidence).chances;
  }

  /** `weight`: how likely the node is reached at all, so that the mean is of nodes that matter. */
  observe(
    confidence: number,
    { chance, rank, weight }: { chance: number; rank: number; weight: number },
  ): void {
    const mean = this.#of(confidence);
    if (rank === 0) mean.weight = Math.min(500, mean.weight + weight);
    mean.chances[rank] += (chance - mean.chances[rank]) * Math.min(1, weight / mean.weight);
  }
}
