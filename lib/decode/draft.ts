/**
 * The draft while decoding: compiled once a size, it reads accepted rows and expands frontiers of trees, for one or
 * several sequences at a time. It owns no sequence and knows no rule of growth: `tree_drafter.ts` brings both
 * together. Its graph is in `lib/model/draft.ts`.
 */
import {
  type Backend,
  type Executable,
  type Params,
  readAll,
  type Tensor,
} from "../backend/backend.ts";
import { type DraftingOptions, draftMatrices, draftProgram, featureWidth } from "../model/draft.ts";
import { type Draft, placeDraft, type Target } from "../model/load.ts";
import { type Cache, newCache, type Rows, SequenceRows } from "../model/placement.ts";
import { type Bits, quantBlock } from "../model/quantize.ts";
import type { News } from "./drafter.ts";
import { rowSizeFor } from "./target.ts";
import type { Frontier } from "./tree.ts";

interface Compiled {
  run: Executable;
  rows: SequenceRows;
  features: Tensor;
  /** Index of each sequence's last row, where only that is wanted. */
  last: Tensor;
}

/** Answers for n rows; views that the next forward overwrites. */
export interface DraftRows {
  /** The k best children of each row, best first [n, k]; or */
  tokens?: Int32Array;
  logProbabilities?: Float32Array;
  /** the logits of each row [n, V'], in the draft's numbering. */
  logits?: Float32Array;
  /** [n, D] */
  regress: Float32Array;
}

/** A chunk of accepted rows is at most this long. */
const CHUNK = 64;

/** Kinds of forward: accepted rows of the target, of which the last is answered; or a frontier, all answered. */
type Kind = Required<Pick<DraftingOptions, "reads">> & { only?: "last" };
const READING: Kind = { reads: "target", only: "last" }, EXPANDING: Kind = { reads: "draft" };

/** What is forwarded for one sequence. */
interface Part {
  n: number;
  cache: Cache;
  place: (rows: Rows, features: Float32Array) => void;
}

/** Compiled draft. */
export class DraftDecoder implements Disposable {
  readonly draft: Draft;
  /** Children k of a row. */
  readonly branching: number;
  readonly children: "top" | "sampled";
  readonly sequences: number;
  #backend: Backend;
  #weights: Params;
  /** Of the weights, those that are not the target's. */
  #own: Tensor[];
  /** Rows of a sequence's cache. */
  readonly capacity: number;
  readonly bits: Bits;
  #compiled = new Map<string, Promise<Compiled>>();
  #idle: Cache | undefined;

  constructor(
    draft: Draft,
    {
      backend,
      target,
      branching,
      treeRows,
      children = "top",
      sequences = 1,
      bits = backend.hostVisible && quantBlock(draftMatrices(draft.config)) > 0 ? 8 : 32,
    }: {
      backend: Backend;
      target: Target;
      branching: number;
      /** Rows of a tree that the cache has room for. */
      treeRows: number;
      children?: "top" | "sampled";
      sequences?: number;
      /** Of the matrices; fewer than 32: the output distribution does not depend on it, speed does. */
      bits?: Bits;
    },
  ) {
    const { vocabulary, draftVocabulary = vocabulary } = draft.config;
    if (branching > draftVocabulary) {
      throw new Error(
        `Cannot draft ${branching} children of a node: the draft knows ${draftVocabulary} tokens`,
      );
    }
    this.draft = draft;
    this.branching = branching;
    this.children = children;
    this.sequences = sequences;
    this.#backend = backend;
    this.bits = bits;
    this.#weights = placeDraft(draft, { backend, target, bits });
    const shared = new Set(Object.values(target.weights));
    this.#own = Object.values(this.#weights).filter((weight) => !shared.has(weight));
    // Tree rows and padding stand behind the last position.
    this.capacity = target.config.positions + CHUNK * Math.ceil(treeRows / CHUNK) + CHUNK;
  }

  /** What its Programs are compiled with, under the draft's names. */
  get weights(): Readonly<Params> {
    return this.#weights;
  }

  /** An empty cache for one sequence. */
  newCache(): Cache {
    return newCache(this.#backend, this.draft.config, { capacity: this.capacity, layers: 1 });
  }

  #compile(rows: number, { kind, sequences }: { kind: Kind; sequences: number }) {
    const key = `${rows} ${kind.reads} ${sequences}`, { config } = this.draft;
    let found = this.#compiled.get(key);
    if (found === undefined) {
      const shape = { rows, capacity: this.capacity, sequences };
      const program = draftProgram(config, {
        ...shape,
        ...kind,
        width: this.branching,
        children: this.children,
        stored: this.#weights,
      });
      const backend = this.#backend, n = rows * sequences;
      const wide = kind.reads === "target" ? featureWidth(config) : config.width;
      found = backend.compile(program, { weights: this.#weights }).then((run) => ({
        run,
        rows: new SequenceRows(backend, shape),
        features: backend.shared(new Float32Array(n * wide), [n, wide]),
        last: backend.shared(new Int32Array(sequences), [sequences]),
      }));
      this.#compiled.set(key, found);
    }
    return found;
  }

  /** Compiles what reading chains of these lengths and expanding frontiers of these many rows need. */
  async prepare(
    { reading, expanding }: { reading: Iterable<number>; expanding: Iterable<number> },
  ): Promise<void> {
    for (const sequences of new Set([1, this.sequences])) {
      for (const n of reading) {
        if (n > CHUNK) await this.#compile(CHUNK, { kind: READING, sequences: 1 });
        await this.#compile(rowSizeFor(n % CHUNK || CHUNK), { kind: READING, sequences });
      }
      for (const n of expanding) {
        await this.#compile(rowSizeFor(n), { kind: EXPANDING, sequences });
      }
    }
  }

  async #forward(parts: readonly Part[], kind: Kind): Promise<DraftRows[]> {
    const sequences = parts.length === 1 ? 1 : this.sequences;
    if (parts.length > sequences) {
      throw new Error(
        `Cannot draft for ${parts.length} sequences at once: this draft was compiled for ${sequences}`,
      );
    }
    const size = rowSizeFor(Math.max(...parts.map(({ n }) => n)));
    const compiled = await this.#compile(size, { kind, sequences }), { features, rows } = compiled;
    const wide = features.shape[1], into = features.host as Float32Array;
    const last = compiled.last.host as Int32Array;
    if (parts.length < sequences) this.#idle ??= this.newCache();
    parts.forEach(({ n, place }, s) => {
      place(rows.each[s], into.subarray(s * size * wide, (s + 1) * size * wide));
      last[s] = s * size + n - 1;
    });
    const results = await compiled.run.run({
      ...rows.inputs(parts.map(({ cache }) => cache), this.#idle),
      features,
      ...(kind.only === "last" && { last: compiled.last }),
    });
    const out = await readAll(results);
    const each = kind.only === "last" ? 1 : size;
    return parts.map(({ n }, s) => {
      const own = <A extends Float32Array | Int32Array>(name: string) => {
        if (results[name] === undefined) return undefined;
        const wide = results[name].shape[1], from = s * each * wide;
        return (out[name] as A).subarray(from, from + Math.min(n, each) * wide) as A;
      };
      return {
        tokens: own<Int32Array>("tokens"),
        logProbabilities: own<Float32Array>("logProbabilities"),
        logits: own<Float32Array>("logits"),
        regress: own<Float32Array>("regress")!,
      };
    });
  }

  /**
   * Reads the accepted rows of each sequence into its cache; answers the last one of each.
   * @throws when features do not fit the ids.
   */
  async read(requests: readonly (News & { cache: Cache })[]): Promise<DraftRows[]> {
    const wide = featureWidth(this.draft.config);
    const chunk = ({ ids, features, cache }: News & { cache: Cache }): Part => ({
      n: ids.length,
      cache,
      place(rows, into) {
        rows.placeChain(ids, cache.length);
        into.set(features);
      },
    });
    const rest: Part[] = [];
    for (const { ids, features, cache } of requests) {
      if (ids.length === 0 || features.length !== ids.length * wide) {
        throw new Error(
          `Cannot draft from ${ids.length} tokens and ${features.length} feature values: ` +
            `wanted ${wide} values for each of at least one token`,
        );
      }
      const part = (at: number) =>
        chunk({
          ids: ids.subarray(at, at + CHUNK),
          features: features.subarray(at * wide, (at + CHUNK) * wide),
          cache,
        });
      let at = 0;
      for (; at + CHUNK < ids.length; at += CHUNK) {
        await this.#forward([part(at)], READING);
        cache.length += CHUNK;
      }
      rest.push(part(at));
    }
    const answers = await this.#forward(rest, READING);
    for (const { n, cache } of rest) cache.length += n;
    return answers;
  }

  /**
   * Forwards a frontier of each sequence behind the rows in its cache; `before` counts the tree's rows already
   * there, `features` [r, D] are the regress rows that the frontier's `featureRows` name. The caller drops the
   * rows again by leaving the cache's length as it is.
   */
  expand(
    requests: readonly {
      frontier: Frontier;
      features: Float32Array;
      before: number;
      cache: Cache;
    }[],
  ): Promise<DraftRows[]> {
    const { width: d } = this.draft.config;
    return this.#forward(
      requests.map(({ frontier, features, before, cache }): Part => {
        const { level, tokens, ancestors, featureRows } = frontier, n = tokens.length;
        return {
          n,
          cache,
          place(rows, into) {
            rows.placeTree(tokens, {
              prefix: cache.length,
              base: cache.length + before,
              depths: new Int32Array(n).fill(level - 1),
              sees: (row, column) =>
                column < before ? ancestors[row].includes(column) : column === before + row,
            });
            featureRows.forEach((from, row) =>
              into.set(features.subarray(from * d, (from + 1) * d), row * d)
            );
          },
        };
      }),
      EXPANDING,
    );
  }

  [Symbol.dispose](): void {
    for (const found of this.#compiled.values()) {
      void found.then(({ run, rows, features, last }) => {
        run[Symbol.dispose]();
        rows[Symbol.dispose]();
        features[Symbol.dispose]();
        last[Symbol.dispose]();
      }, () => {}); // a failed compile was thrown where it was awaited
    }
    this.#compiled.clear();
    // What is compiled with them keeps them as long as it needs them.
    for (const weight of this.#own.splice(0)) weight[Symbol.dispose]();
    this.#idle?.[Symbol.dispose]();
    this.#idle = undefined;
  }
}
