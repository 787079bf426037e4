/**
 * The target while decoding: Programs compiled once a size, run over chunks of a prompt, single tokens or
 * trees. Owns no sequence: a `Cache` is passed in. Its graph is in `lib/model/llama.ts`.
 */
import type { Backend } from "../backend/backend.ts";
import type { HostArray } from "../graph/node.ts";
import type { Target } from "../model/load.ts";
import type { Cache, Rows } from "../model/placement.ts";
import { ancestorMask, depthsOf, type Tree } from "./ancestry.ts";
import { newTargetCache, TargetForward } from "./forward.ts";

/** Sizes compiled for; a run uses the next one up and pads. Chunks of a prompt have the largest. */
export const ROW_SIZES = [1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64];
const LARGEST = ROW_SIZES[ROW_SIZES.length - 1], NOTHING = new Float32Array(0);

/** The smallest compiled size that holds n rows. @throws when none does. */
export function rowSizeFor(n: number): number {
  const size = ROW_SIZES.find((s) => s >= n);
  if (size === undefined) {
    throw new Error(`Cannot run ${n} rows at once: wanted at most ${LARGEST}`);
  }
  return size;
}

/** The compiled sizes that runs of up to n rows need. */
export function sizesUpTo(n: number): number[] {
  return n < 1 ? [] : ROW_SIZES.filter((size) => size <= rowSizeFor(n));
}

/** Results of a forward over n rows; views that the next forward overwrites. */
export interface TargetRows {
  /** [n, V] */
  logits: Float32Array;
  /** [n, D] */
  features: Float32Array;
  /** What entered the tapped layers [n, taps D]; empty without taps. */
  tapped: Float32Array;
}

/** Compiled target. */
export class TargetDecoder implements Disposable {
  readonly target: Target;
  readonly capacity: number;
  /** Layers whose inputs forwards also return. */
  readonly taps: readonly number[];
  /** Sequences of a batch. */
  readonly sequences: number;
  #backend: Backend;
  #sizes = new Map<string, Promise<TargetForward>>();
  #idle: Cache | undefined;

  constructor(
    target: Target,
    { backend, taps = [], sequences = 1 }: {
      backend: Backend;
      taps?: readonly number[];
      sequences?: number;
    },
  ) {
    if (!Number.isInteger(sequences) || sequences < 1) {
      throw new Error(
        `Cannot decode ${sequences} sequences at a time: wanted a whole number from 1`,
      );
    }
    this.target = target;
    this.taps = taps;
    this.sequences = sequences;
    this.#backend = backend;
    // Padding rows of the last run may stand beyond the last position.
    this.capacity = target.config.positions + LARGEST;
  }

  /** What, beside the model, its speed depends on. */
  get describe(): Record<string, unknown> {
    const { capacity, taps, sequences, target: { bits = 32 } } = this;
    return { capacity, taps, sequences, bits };
  }

  /** Nodes of a tree at most. */
  get largestTree(): number {
    return LARGEST;
  }

  /** @throws when a tree has more nodes than one forward verifies. */
  checkTree(nodes: number): void {
    if (nodes <= LARGEST) return;
    throw new Error(`Cannot verify trees of ${nodes} nodes: wanted at most ${LARGEST}`);
  }

  /** An empty cache for one sequence. */
  newCache(): Cache {
    return newTargetCache(this.target, { backend: this.#backend, capacity: this.capacity });
  }

  #compiled(size: number, sequences: number) {
    const key = `${size} ${sequences}`;
    let found = this.#sizes.get(key);
    if (found === undefined) {
      const { capacity, taps } = this, shape = { rows: size, capacity, taps, sequences };
      found = TargetForward.compile(this.target, { backend: this.#backend, ...shape });
      this.#sizes.set(key, found);
    }
    return found;
  }

  /**
   * Compiles what forwards of these many rows need, so that none waits for it later; long chains are cut as
   * they will be.
   */
  async prepare(counts: Iterable<number>, { sequences = 1 } = {}): Promise<void> {
    for (const n of counts) {
      if (n > LARGEST) await this.#compiled(LARGEST, sequences);
      await this.#compiled(rowSizeFor(n % LARGEST || LARGEST), sequences);
    }
  }

  async #forward(
    parts: readonly { n: number; cache: Cache; place: (rows: Rows) => void }[],
  ): Promise<TargetRows[]> {
    const sequences = parts.length === 1 ? 1 : this.sequences;
    if (parts.length > sequences) {
      throw new Error(
        `Cannot run ${parts.length} sequences at once: this decoder was made for ${sequences}`,
      );
    }
    const size = rowSizeFor(Math.max(...parts.map(({ n }) => n)));
    const forward = await this.#compiled(size, sequences);
    if (parts.length < sequences) this.#idle ??= this.newCache();
    parts.forEach(({ place }, s) => forward.place(s, place));
    const caches = parts.map(({ cache }) => cache);
    const { logits, features, tapped } = await forward.run(caches, this.#idle);
    const { vocabulary, width } = this.target.config;
    return parts.map(({ n }, s) => {
      const own = (values: HostArray | undefined, wide: number) =>
        values === undefined
          ? NOTHING
          : (values as Float32Array).subarray(s * size * wide, (s * size + n) * wide);
      return {
        logits: own(logits, vocabulary),
        features: own(features, width),
        tapped: own(tapped, this.taps.length * width),
      };
    });
  }

  /** Forwards up to 64 tokens that follow the cache, and keeps them in it. */
  async forwardChain(ids: ArrayLike<number>, cache: Cache): Promise<TargetRows> {
    const [result] = await this.forwardChains([{ ids, cache }]);
    return result;
  }

  /** Forwards tokens that follow the cache of each of several sequences, and keeps them in it. */
  async forwardChains(
    chains: readonly { ids: ArrayLike<number>; cache: Cache }[],
  ): Promise<TargetRows[]> {
    const results = await this.#forward(chains.map(({ ids, cache }) => ({
      n: ids.length,
      cache,
      place: (rows) => rows.placeChain(ids, cache.length),
    })));
    for (const { ids, cache } of chains) cache.length += ids.length;
    return results;
  }

  /** Forwards a tree whose root follows the cache. The caller keeps the accepted rows. */
  async forwardTree(tree: Tree, cache: Cache): Promise<TargetRows> {
    const [result] = await this.forwardTrees([{ tree, cache }]);
    return result;
  }

  /** Forwards a tree of each of several sequences. */
  forwardTrees(trees: readonly { tree: Tree; cache: Cache }[]): Promise<TargetRows[]> {
    return this.#forward(trees.map(({ tree, cache }) => {
      const n = tree.tokens.length, depths = depthsOf(tree.parents);
      const mask = ancestorMask(tree.parents);
      return {
        n,
        cache,
        place: (rows) =>
          rows.placeTree(tree.tokens, {
            prefix: cache.length,
            base: cache.length,
            depths,
            sees: (row, column) => mask[row * n + column] === 1 && column < n,
          }),
      };
    }));
  }

  /** Forwards a whole prompt; returns the logits [V] after it and the rest [L, ..] of all its tokens. */
  async prefill(ids: Int32Array, cache: Cache): Promise<TargetRows> {
    const { width, vocabulary } = this.target.config, wide = width * this.taps.length;
    const features = new Float32Array(ids.length * width);
    const tapped = new Float32Array(ids.length * wide);
    let logits = new Float32Array(vocabulary);
    for (let at = 0; at < ids.length; at += LARGEST) {
      const chunk = ids.subarray(at, at + LARGEST);
      const rows = await this.forwardChain(chunk, cache);
      features.set(rows.features, at * width);
      tapped.set(rows.tapped, at * wide);
      logits = rows.logits.slice((chunk.length - 1) * vocabulary) as Float32Array<ArrayBuffer>;
    }
    return { logits, features, tapped };
  }

  [Symbol.dispose](): void {
    for (const found of this.#sizes.values()) {
      void found.then((forward) => forward[Symbol.dispose](), () => {}); // a failed compile was thrown where it was awaited
    }
    this.#sizes.clear();
    this.#idle?.[Symbol.dispose]();
    this.#idle = undefined;
  }
}
