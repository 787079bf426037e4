/**
 * A draft model that proposes trees: brings together the compiled draft (`draft.ts`), a rule of growth and, where
 * children are sampled, the settings of sampling. Children are the draft's best tokens, or are drawn from its
 * processed distribution without replacement. Next on the walk of a prompt: `target.ts`, then `verify.ts`.
 */
import type { Backend } from "../backend/backend.ts";
import type { Draft, Target } from "../model/load.ts";
import type { Bits } from "../model/quantize.ts";
import type { Cache } from "../model/placement.ts";
import { DraftDecoder, type DraftRows } from "./draft.ts";
import type { Beginning, Drafter, Drafting, News, Proposal } from "./drafter.ts";
import { DrawnChildren } from "./draw_children.ts";
import type { Sampling } from "./sample.ts";
import { sizesUpTo } from "./target.ts";
import { type Frontier, type Grown, type Growth, growTree, type TopK } from "./tree.ts";
import type { Chance, Verdict } from "./verify.ts";

/** One sequence: the draft's cache of it, and what sampling needs. */
interface TreeDrafting extends Drafting {
  cache: Cache;
  sampling: Sampling;
  chance: Chance | undefined;
  /** Tokens so far, for the repetition penalty. */
  text: number[];
}

/** A tree on its way. */
interface Growing {
  drafting: TreeDrafting;
  root: number;
  steps: Generator<Frontier, Grown, TopK>;
  state: IteratorResult<Frontier, Grown>;
  /** Rows of the tree in the cache, and the regress rows [r, D] of the last forward. */
  rows: number;
  regress: Float32Array;
  /** Present when children are sampled. */
  drawn?: DrawnChildren;
}

interface TreeProposal extends Proposal {
  grown: Grown;
}

/** How a draft model is made a drafter. */
export interface TreeDrafterOptions {
  backend: Backend;
  target: Target;
  growth: Growth;
  /** The draft's best tokens, or tokens drawn from its processed distribution (then temperatures above 0 only). */
  children?: "top" | "sampled";
  /** Sequences at a time. */
  sequences?: number;
  /** Of the draft's matrices: the output distribution does not depend on it, speed does. */
  bits?: Bits;
}

export class TreeDrafter implements Drafter<TreeDrafting, TreeProposal>, Disposable {
  readonly growth: Growth;
  #decoder: DraftDecoder;

  /** @throws when children are to be sampled and the growth decides by their tokens. */
  constructor(draft: Draft, { growth, ...options }: TreeDrafterOptions) {
    const { branching, rows, depth } = growth;
    if (options.children === "sampled" && !growth.blind) {
      throw new Error(
        "Cannot sample the children of a tree that keeps nodes by their scores: wanted a chain, a static tree, " +
          "or an automatic tree made for sampling",
      );
    }
    this.growth = growth;
    const treeRows = rows * Math.max(0, depth - 1);
    this.#decoder = new DraftDecoder(draft, { ...options, branching, treeRows });
  }

  /** The compiled draft, which rounds on a device have in common with this drafter. */
  get decoder(): DraftDecoder {
    return this.#decoder;
  }

  /** Layers of the target whose inputs are the features it reads; none: the target's last feature. */
  get taps(): readonly number[] {
    return this.#decoder.draft.config.taps ?? [];
  }
  get budget(): number {
    return this.growth.budget;
  }
  get depth(): number {
    return this.growth.depth;
  }

  /** @throws when children are sampled and the temperature is 0. */
  begin({ first, sampling, chance }: Beginning): TreeDrafting {
    if (this.#decoder.children === "sampled" && (sampling.temperature === 0 || !chance)) {
      throw new Error(
        "Cannot sample the children of a tree at temperature 0: wanted its best tokens",
      );
    }
    const cache = this.#decoder.newCache();
    return {
      cache,
      sampling,
      chance,
      text: [first],
      [Symbol.dispose]: () => cache[Symbol.dispose](),
    };
  }

  async propose(
    requests: readonly { drafting: TreeDrafting; news: News }[],
  ): Promise<TreeProposal[]> {
    const reading = requests.map(({ drafting: { cache }, news }) => ({ ...news, cache }));
    const read = await this.#decoder.read(reading);
    const growing = requests.map(({ drafting, news: { ids } }, i): Growing => {
      drafting.text.push(...ids);
      const root = ids[ids.length - 1], steps = growTree({ root, growth: this.growth });
      const tree: Growing = {
        drafting,
        root,
        steps,
        state: steps.next(),
        rows: 0,
        regress: read[i].regress.slice(),
        ...(this.#decoder.children === "sampled" && { drawn: this.#drawing(drafting) }),
      };
      this.#answer(tree, read[i]);
      return tree;
    });
    for (;;) {
      const open = growing.filter(({ state }) => !state.done);
      if (open.length === 0) break;
      const answers = await this.#decoder.expand(
        open.map(({ state, regress, rows, drafting: { cache } }) => ({
          frontier: state.value as Frontier,
          features: regress,
          before: rows,
          cache,
        })),
      );
      open.forEach((tree, i) => {
        tree.rows += (tree.state.value as Frontier).tokens.length;
        tree.regress = answers[i].regress.slice();
        this.#answer(tree, answers[i]);
      });
    }
    return growing.map(({ state, drawn }): TreeProposal => {
      const grown = state.value as Grown, { tree, kept } = grown;
      if (drawn === undefined) return { tree, grown };
      return { tree, grown, drafted: (node) => drawn.from(node === 0 ? -1 : kept[node - 1]) };
    });
  }

  #drawing({ sampling, chance, text }: TreeDrafting): DrawnChildren {
    const { vocabulary } = this.#decoder.draft.config;
    return new DrawnChildren({ sampling, chance: chance!, text: text.slice(), vocabulary });
  }

  /** Answers the frontier that a tree waits with. */
  #answer(tree: Growing, { tokens, logProbabilities, logits }: DraftRows): void {
    const { drawn, steps } = tree, answered = tree.state.value as Frontier;
    const top = drawn === undefined
      ? { tokens: tokens!, logProbabilities: logProbabilities! }
      : drawn.draw(answered, {
        branching: this.growth.branching,
        logits: (row) => this.#logitsOf(logits!, row),
      });
    tree.state = steps.next(top);
    if (!tree.state.done) drawn?.follow(answered, tree.state.value);
  }

  /** A row of logits in the target's numbering: tokens that a draft vocabulary lacks are impossible. */
  #logitsOf(logits: Float32Array, row: number): Float32Array {
    const { config: { vocabulary, draftVocabulary = vocabulary }, tokens } = this.#decoder.draft;
    const own = logits.subarray(row * draftVocabulary, (row + 1) * draftVocabulary);
    if (tokens === undefined) return own;
    const all = new Float32Array(vocabulary).fill(-Infinity);
    tokens.forEach((token, i) => all[token] = own[i]);
    return all;
  }

  /** Compiles what prompts of these lengths and its trees need. */
  async prepare(promptLengths: Iterable<number>): Promise<void> {
    const { depth, rows } = this.growth;
    // A round accepts at most as many tokens as the tree has levels, and one more.
    await this.#decoder.prepare({
      reading: [...sizesUpTo(depth + 1), ...promptLengths],
      expanding: depth > 1 ? sizesUpTo(rows) : [],
    });
  }

  learn({ grown }: TreeProposal, { path }: Verdict): void {
    this.growth.learn?.(grown, path);
  }

  [Symbol.dispose](): void {
    this.#decoder[Symbol.dispose]();
  }
}
