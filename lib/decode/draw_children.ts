/**
 * Children of a tree's nodes drawn from the draft's processed distribution, one after the other without replacement,
 * and the distributions they were drawn from, which verification by recursive rejection needs (`verify.ts`). Apart
 * from the draft model, so that its losslessness can be enumerated. Used by `tree_drafter.ts`.
 */
import { processLogits, type Sampling } from "./sample.ts";
import type { Frontier, TopK } from "./tree.ts";
import type { Chance } from "./verify.ts";

/** How children are drawn. */
export interface DrawingOptions {
  sampling: Sampling;
  chance: Chance;
  /** Tokens up to the tree's root, for the repetition penalty. */
  text: readonly number[];
  vocabulary: number;
}

/** The drawn children of one tree. */
export class DrawnChildren {
  #options: DrawingOptions;
  /** Tokens from below the root down to each expanded candidate; -1 is the root. */
  #paths = new Map<number, number[]>([[-1, []]]);
  #drawnFrom = new Map<number, Float64Array>();

  constructor(options: DrawingOptions) {
    this.#options = options;
  }

  /**
   * Draws the children of a frontier's nodes, `branching` places a row; `logits(row, path)` are the draft's [V] after
   * the node of that row, whose tokens below the root are `path`. A node gets fewer where fewer are possible.
   */
  draw(
    { candidates, counts }: Frontier,
    { branching, logits }: {
      branching: number;
      logits: (row: number, path: readonly number[]) => ArrayLike<number>;
    },
  ): TopK {
    const { sampling, chance, text, vocabulary } = this.#options;
    const tokens = new Int32Array(candidates.length * branching);
    const logProbabilities = new Float64Array(tokens.length).fill(-Infinity);
    candidates.forEach((candidate, row) => {
      const path = this.#paths.get(candidate)!, q = new Float64Array(vocabulary);
      processLogits(logits(row, path), sampling, q, text.concat(path));
      this.#drawnFrom.set(candidate, q);
      const left = q.slice(), possible = q.reduce((n, x) => n + (x > 0 ? 1 : 0), 0);
      for (let i = 0; i < Math.min(counts[row], possible); i++) {
        const token = chance.draw(left);
        tokens[row * branching + i] = token;
        // By the distribution that the first was drawn from, so that scores are comparable.
        logProbabilities[row * branching + i] = Math.log(q[token]);
        left[token] = 0;
      }
    });
    return { tokens, logProbabilities };
  }

  /** Hears which children of the frontier answered last are expanded next. */
  follow(answered: Frontier, next: Frontier): void {
    next.candidates.forEach((candidate, i) => {
      const parent = answered.candidates[next.featureRows[i]];
      this.#paths.set(candidate, [...this.#paths.get(parent)!, next.tokens[i]]);
    });
  }

  /** The distribution [V] that the children of a candidate (-1: the root) were drawn from, a copy. */
  from(candidate: number): Float64Array {
    return this.#drawnFrom.get(candidate)!.slice();
  }
}
