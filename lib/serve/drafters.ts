/**
 * The drafters a server keeps: one for each tree and way of choosing children that was asked for, compiled once, the
 * least recently used given up when there are too many. It reads no file named by a request. Used by `reply.ts`.
 */
import type { Backend } from "../backend/backend.ts";
import type { Drafter } from "../decode/drafter.ts";
import { dynamicGrowth, type TreeShape } from "../decode/growth.ts";
import type { Costs } from "../decode/pricing.ts";
import { sampledAutoGrowth } from "../decode/sampled_tree_size.ts";
import { autoGrowth } from "../decode/tree_size.ts";
import { TreeDrafter } from "../decode/tree_drafter.ts";
import type { Draft, Target } from "../model/load.ts";
import type { Bits } from "../model/quantize.ts";

/** Bounds of trees that a request may ask for: each size is compiled for. */
export const TREE_LIMITS = { budget: [2, 64], depth: [1, 10], width: [1, 10] } as const;

/**
 * The tree that a text names: `auto`, or NODES/DEPTH/WIDTH within {@link TREE_LIMITS}.
 * @throws naming what was found and what was wanted.
 */
export function readTree(text: string): "auto" | TreeShape {
  if (text === "auto") return "auto";
  const [, ...numbers] = /^(\d{1,3})\/(\d{1,3})\/(\d{1,3})$/.exec(text) ?? [];
  if (numbers.length !== 3) {
    throw new Error(`found the tree ${text.slice(0, 40)}, wanted auto or NODES/DEPTH/WIDTH`);
  }
  const [budget, depth, width] = numbers.map(Number), shape = { budget, depth, width };
  for (const [name, [least, most]] of Object.entries(TREE_LIMITS)) {
    const value = shape[name as keyof TreeShape];
    if (value < least || value > most) {
      throw new Error(`found a tree of ${name} ${value}, wanted ${least} to ${most}`);
    }
  }
  return shape;
}

/** What drafters are made of. */
export interface DraftersOptions {
  backend: Backend;
  target: Target;
  draft: Draft;
  bits?: Bits;
  /** A tree of fixed size stops growing where no path has this log-probability. */
  minimumScore?: number;
  /** What trees of size `auto` cost; asked for once each. */
  costs: (children: "top" | "sampled") => Promise<Costs>;
  /** Drafters kept at a time. */
  most?: number;
}

export class Drafters implements Disposable {
  #options: DraftersOptions;
  /** Least recently used first. */
  #known = new Map<string, TreeDrafter>();

  constructor(options: DraftersOptions) {
    this.#options = options;
  }

  /** How many are kept. */
  get size(): number {
    return this.#known.size;
  }

  /** Layers of the target that its drafters read. */
  get taps(): readonly number[] {
    return this.#options.draft.config.taps ?? [];
  }

  /**
   * A drafter, compiled. Above temperature 0 a tree that sizes itself draws its children from the draft, which gives
   * the higher tau; a tree of fixed size keeps nodes by their scores and takes the best. Not to be called while one
   * that it gave is in use: it may be given up.
   * @throws as {@link readTree} does.
   */
  async of({ tree, temperature }: { tree: string; temperature: number }): Promise<Drafter> {
    const shape = readTree(tree), sampled = shape === "auto" && temperature > 0;
    const children = sampled ? "sampled" : "top", key = `${tree} ${children}`;
    let found = this.#known.get(key);
    this.#known.delete(key);
    if (found === undefined) {
      const { costs, minimumScore, most = 4, draft, ...rest } = this.#options;
      const growth = shape !== "auto"
        ? dynamicGrowth(shape, { minimumScore })
        : sampled
        ? sampledAutoGrowth(await costs("sampled"))
        : autoGrowth(await costs("top"));
      for (const [old, drafter] of this.#known) {
        if (this.#known.size < most) break;
        this.#known.delete(old);
        drafter[Symbol.dispose]();
      }
      found = new TreeDrafter(draft, { ...rest, growth, children });
      await found.prepare([]);
    }
    this.#known.set(key, found);
    return found;
  }

  [Symbol.dispose](): void {
    for (const drafter of this.#known.values()) drafter[Symbol.dispose]();
    this.#known.clear();
  }
}
