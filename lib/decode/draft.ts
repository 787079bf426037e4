/**
 * The draft while decoding: reads the accepted rows, grows a tree level by level over its own cache, drops
 * the tree's rows again. The growth itself is `tree.ts`, the graph `lib/model/draft.ts`.
 */
import type { Backend, Executable, Params, Tensor } from "../backend/backend.ts";
import { draftProgram, featureWidth } from "../model/draft.ts";
import { type Draft, placeDraft, type Target } from "../model/load.ts";
import { type Cache, newCache, Rows } from "../model/placement.ts";
import { quantBlock } from "../model/quantize.ts";
import type { Tree } from "./ancestry.ts";
import { rowSizeFor } from "./target.ts";
import { checkTreeShape, type Frontier, growTree, type TopK, type TreeShape } from "./tree.ts";

interface Compiled {
  run: Executable;
  rows: Rows;
  features: Tensor;
}

/** Rows of one forward: [n, k] candidates and [n, D] features to feed back. */
interface DraftRows extends TopK {
  regress: Float32Array;
}

/** Whose features the rows of a forward read. */
type Reads = "target" | "draft";

/** A chunk of accepted rows is at most this long. */
const CHUNK = 64;
/** Forwarded levels of a tree that the cache has room for; the level after the last is not forwarded. */
const LEVELS = 16;

/** Compiled draft for trees of one width. */
export class DraftDecoder implements Disposable {
  readonly width: number;
  #backend: Backend;
  #draft: Draft;
  #weights: Params;
  #capacity: number;
  #eightBit: boolean;
  #sizes = new Map<string, Promise<Compiled>>();

  constructor(
    draft: Draft,
    { backend, target, width, eightBit = quantBlock(draft.config) > 0 }: {
      backend: Backend;
      target: Target;
      width: number;
      /** Matrices in 8 bits: the output distribution does not depend on it, speed does. */
      eightBit?: boolean;
    },
  ) {
    this.width = width;
    this.#backend = backend;
    this.#draft = draft;
    this.#eightBit = eightBit;
    this.#weights = placeDraft(draft, { backend, target, eightBit });
    // Tree rows (all levels) and padding stand behind the last position.
    this.#capacity = target.config.positions + 64 * Math.ceil(LEVELS * width / 64) + CHUNK;
  }

  /** @throws when trees of this shape cannot be drafted: another width, or more levels than the cache holds. */
  checkShape(shape: TreeShape): void {
    checkTreeShape(shape);
    if (shape.width !== this.width) {
      throw new Error(
        `Cannot draft a tree of width ${shape.width}: this draft was compiled for width ${this.width}`,
      );
    }
    if (shape.depth > LEVELS + 1) {
      throw new Error(
        `Cannot draft a tree of depth ${shape.depth}: wanted at most ${
          LEVELS + 1
        }, the cache has no room for more`,
      );
    }
  }

  /** An empty cache for one sequence. */
  newCache(): Cache {
    return newCache(this.#backend, this.#draft.config, { capacity: this.#capacity, layers: 1 });
  }

  /** Layers of the target whose inputs are the features it reads; none: the target's last feature. */
  get taps(): readonly number[] {
    return this.#draft.config.taps ?? [];
  }

  #compiled(size: number, reads: Reads): Promise<Compiled> {
    const capacity = this.#capacity, { config } = this.#draft;
    // Without taps both kinds of feature go the same way.
    const key = config.taps === undefined ? `${size}` : `${size} ${reads}`;
    let found = this.#sizes.get(key);
    if (found === undefined) {
      const wide = reads === "target" ? featureWidth(config) : config.width;
      const program = draftProgram(config, {
        rows: size,
        capacity,
        width: this.width,
        eightBit: this.#eightBit,
        reads,
      });
      const features = this.#backend.tensor(new Float32Array(size * wide), [size, wide]);
      found = this.#backend.compile(program, { weights: this.#weights })
        .then((run) => ({ run, rows: new Rows(this.#backend, size, capacity), features }));
      this.#sizes.set(key, found);
    }
    return found;
  }

  /**
   * Compiles what forwards of these many rows need, so that none waits for it later; long chains are cut as
   * they will be.
   */
  async prepare(counts: Iterable<number>): Promise<void> {
    for (const n of counts) {
      if (n > CHUNK) await this.#compiled(CHUNK, "target");
      await this.#compiled(rowSizeFor(n % CHUNK || CHUNK), "target");
    }
    await this.#compiled(rowSizeFor(this.width), "draft");
  }

  async #forward(
    n: number,
    { cache, reads }: { cache: Cache; reads: Reads },
    place: (rows: Rows, features: Float32Array) => void,
  ): Promise<DraftRows> {
    const { run, rows, features } = await this.#compiled(rowSizeFor(n), reads);
    place(rows, features.host as Float32Array);
    const out = await run.run({ ...rows.inputs, features, ...cache.tensors });
    return {
      tokens: out.tokens.host as Int32Array,
      logProbabilities: out.logProbabilities.host as Float32Array,
      regress: out.regress.host as Float32Array,
    };
  }

  /**
   * Reads accepted rows: the target's features [n, F] and, for each, the token that followed. Returns the candidates
   * after the last row and its regress (copies).
   */
  async #accept(
    ids: Int32Array,
    { features, cache }: { features: Float32Array; cache: Cache },
  ): Promise<{ first: TopK; regress: Float32Array }> {
    const wide = featureWidth(this.#draft.config), d = this.#draft.config.width, k = this.width;
    for (let at = 0;; at += CHUNK) {
      const chunk = ids.subarray(at, at + CHUNK);
      const out = await this.#forward(chunk.length, { cache, reads: "target" }, (rows, into) => {
        rows.placeChain(chunk, cache.length);
        into.set(features.subarray(at * wide, (at + chunk.length) * wide));
      });
      cache.length += chunk.length;
      if (at + CHUNK < ids.length) continue;
      const last = chunk.length - 1;
      return {
        first: {
          tokens: Array.prototype.slice.call(out.tokens, last * k, (last + 1) * k),
          logProbabilities: Array.prototype.slice.call(
            out.logProbabilities,
            last * k,
            (last + 1) * k,
          ),
        },
        regress: out.regress.slice(last * d, (last + 1) * d),
      };
    }
  }

  /**
   * Drafts a tree: `ids` [n] are the tokens after the accepted rows whose features [n, F] are given (the
   * target's last, or its tapped ones side by side); the last of them is the tree's root.
   * @throws when the shape does not fit this decoder (see {@link checkShape}), or features do not fit the ids.
   */
  async draft(
    { ids, features }: { ids: Int32Array; features: Float32Array },
    { shape, cache, minimumScore }: { shape: TreeShape; cache: Cache; minimumScore?: number },
  ): Promise<Tree> {
    this.checkShape(shape);
    const { config } = this.#draft, wide = featureWidth(config), d = config.width, k = this.width;
    const prefix = cache.length + ids.length;
    if (ids.length === 0 || features.length !== ids.length * wide) {
      throw new Error(
        `Cannot draft from ${ids.length} tokens and ${features.length} feature values: wanted ${wide} values for each of at least one token`,
      );
    }
    const { first, regress } = await this.#accept(ids, { features, cache });
    let parents = regress;
    const expand = async ({ level, tokens, featureRows, ancestors }: Frontier) => {
      const before = (level - 1) * k, depths = new Int32Array(k).fill(level - 1);
      const out = await this.#forward(k, { cache, reads: "draft" }, (rows, into) => {
        rows.placeTree(tokens, {
          prefix,
          base: prefix + before,
          depths,
          sees: (row, column) =>
            column < before ? ancestors[row].includes(column) : column === before + row,
        });
        for (let row = 0; row < k; row++) {
          into.set(parents.subarray(featureRows[row] * d, (featureRows[row] + 1) * d), row * d);
        }
      });
      parents = out.regress.slice();
      return out;
    };
    return await growTree({ root: ids[ids.length - 1], first, shape }, expand, { minimumScore });
  }

  [Symbol.dispose](): void {
    for (const found of this.#sizes.values()) {
      void found.then(({ run, rows, features }) => {
        run[Symbol.dispose]();
        rows[Symbol.dispose]();
        features[Symbol.dispose]();
      }, () => {}); // a failed compile was thrown where it was awaited
    }
    this.#sizes.clear();
  }
}
