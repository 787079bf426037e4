/**
 * What the decoding loop asks of whoever proposes trees: a draft model with a rule of growth (`tree_drafter.ts`), the
 * text itself (`prompt_lookup.ts`), or nobody (`NO_DRAFTER`). Next on the walk of a prompt: the proposer, then
 * `verify.ts`.
 */
import type { Tree } from "./ancestry.ts";
import type { Sampling } from "./sample.ts";
import type { Chance, Verdict } from "./verify.ts";

/** A tree to be verified. */
export interface Proposal {
  tree: Tree;
  /**
   * Present when the children of a node were sampled one after the other without replacement: the distribution [V]
   * they were sampled from, a copy. Otherwise children were fixed before, and are verified as such.
   */
  drafted?: (node: number) => Float64Array;
}

/** What became known since the last proposal. */
export interface News {
  /** Tokens after the accepted rows [n]; the last is the next tree's root. */
  ids: Int32Array;
  /** Features of those rows [n, F]: the target's last, or its tapped ones side by side. */
  features: Float32Array;
}

/** A sequence about to be drafted for. */
export interface Beginning {
  /** The prompt's first token: it is not among the news. */
  first: number;
  sampling: Sampling;
  /** Present when tokens are sampled. */
  chance?: Chance;
}

/** One sequence as its drafter keeps it. */
export type Drafting = Disposable;

/** Proposes trees for sequences. */
export interface Drafter<D extends Drafting = Drafting, P extends Proposal = Proposal> {
  /** Layers of the target whose inputs it reads; none: the target's last feature. */
  readonly taps: readonly number[];
  /** Nodes of a tree at most, root included, and levels below the root at most. */
  readonly budget: number;
  readonly depth: number;
  /** Begins a sequence. */
  begin(beginning: Beginning): D;
  /** A tree for each of several sequences. */
  propose(requests: readonly { drafting: D; news: News }[]): Promise<P[]>;
  /** Compiles what prompts of these lengths and its own trees need, so that no round waits for it. */
  prepare(promptLengths: Iterable<number>): Promise<void>;
  /** Hears what became of a proposal. */
  learn?(proposal: P, verdict: Verdict): void;
}

/** Proposes nothing: a round is then a plain token. */
export const NO_DRAFTER: Drafter = {
  taps: [],
  budget: 1,
  depth: 0,
  begin: () => ({ [Symbol.dispose]() {} }),
  propose: (requests) =>
    Promise.resolve(requests.map(({ news: { ids } }) => ({
      tree: {
        tokens: ids.slice(-1),
        parents: Int32Array.of(-1),
        scores: new Float32Array(1),
      },
    }))),
  prepare: () => Promise.resolve(),
};
