/**
 * Where new rows stand: the inputs `positions`, `length` and `bias` of a decoding Program and the caches it
 * extends. The host writes the inputs between runs; the caches stay where the backend has them.
 * Used by `lib/decode/target.ts`, `lib/decode/draft.ts` and data generation.
 */
import { HIDDEN } from "../graph/node.ts";
import { type Backend, type Params, type Tensor, zeros } from "../backend/backend.ts";
import { cacheShapes, sequenceNames } from "./llama.ts";

/** Caches of one sequence: tensors by name, and how many rows are in use. */
export class Cache implements Disposable {
  readonly tensors: Params;
  /** Rows in use. */
  length = 0;

  constructor(tensors: Params) {
    this.tensors = tensors;
  }

  /**
   * Keeps, of the rows from `length` on, those at the given offsets (ascending), moved together; they are
   * the accepted nodes of a tree. Everything after them is free again.
   */
  keep(offsets: ArrayLike<number>): void {
    const from = this.length, stay = Array.from(offsets).every((offset, i) => offset === i);
    for (const tensor of stay ? [] : Object.values(this.tensors)) {
      if (tensor.host === undefined) {
        tensor.keepRows!(from, offsets);
        continue;
      }
      const [, kvHeads, capacity, k] = tensor.shape, data = tensor.host as Float32Array;
      for (let h = 0; h < kvHeads; h++) {
        const head = h * capacity * k;
        for (let i = 0; i < offsets.length; i++) {
          if (offsets[i] === i) continue;
          const source = head + (from + offsets[i]) * k;
          data.copyWithin(head + (from + i) * k, source, source + k);
        }
      }
    }
    this.length = from + offsets.length;
  }

  [Symbol.dispose](): void {
    for (const tensor of Object.values(this.tensors)) tensor[Symbol.dispose]();
  }
}

/** Empty caches for a decoder of `layers` layers, or for those of them from `from` on. */
export function newCache(
  backend: Backend,
  config: { kvHeads: number; headSize: number },
  { capacity, layers, from = 0 }: { capacity: number; layers: number; from?: number },
): Cache {
  return new Cache(Object.fromEntries(
    Object.entries(cacheShapes(config, { capacity, layers }))
      .filter(([name]) => Number(name.split(".")[1]) >= from)
      .map(([name, shape]) => [name, zeros(backend, shape)]),
  ));
}

/**
 * Caches of B sequences in one block for batched runs, and each sequence's part as a cache of its own.
 * @throws on a backend whose memory the host does not see.
 */
export function newBatchCache(
  backend: Backend,
  config: { kvHeads: number; headSize: number },
  { capacity, layers, batch }: { capacity: number; layers: number; batch: number },
): { tensors: Params; slots: Cache[] } {
  const tensors: Params = {}, parts = Array.from({ length: batch }, (): Params => ({}));
  for (const [name, shape] of Object.entries(cacheShapes(config, { capacity, layers, batch }))) {
    const all = zeros(backend, shape), data = all.host as Float32Array | undefined;
    if (data === undefined) {
      throw new Error(
        `Cannot share caches among ${batch} sequences on ${backend.name}: wanted the CPU`,
      );
    }
    const size = data.length / batch;
    tensors[name] = all;
    parts.forEach((part, b) =>
      part[name] = backend.tensor(data.subarray(b * size, (b + 1) * size), [1, ...shape.slice(1)])
    );
  }
  return { tensors, slots: parts.map((part) => new Cache(part)) };
}

/** The inputs of a Program of T rows, reused from run to run. */
export class Rows implements Disposable {
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly length: Tensor;
  readonly bias: Tensor;
  /** The block of `bias` last written: cleared before the next. */
  #written: { column: number; count: number } | undefined;

  constructor(backend: Backend, readonly count: number, readonly capacity: number) {
    this.ids = backend.shared(new Int32Array(count), [1, count]);
    this.positions = backend.shared(new Int32Array(count), [1, count]);
    this.length = backend.shared(new Int32Array(1), [1]);
    this.bias = backend.shared(new Float32Array(count * capacity), [1, 1, count, capacity]);
  }

  /** Rows one after the other: a prompt chunk, accepted tokens. Rows beyond `ids` are padding. */
  placeChain(ids: ArrayLike<number>, at: number): void {
    const tokens = this.ids.host as Int32Array, positions = this.positions.host as Int32Array;
    this.#clear();
    tokens.fill(0);
    tokens.set(ids);
    for (let i = 0; i < this.count; i++) positions[i] = at + i;
    this.length.host![0] = at;
  }

  /**
   * Rows that see the first `prefix` cache rows and, of the rows from there on, those that `sees` allows.
   * `base` is the number of cache rows in use (prefix <= base); `depths` counts positions from the prefix.
   */
  placeTree(
    ids: ArrayLike<number>,
    { prefix, base, depths, sees }: {
      prefix: number;
      base: number;
      depths: ArrayLike<number>;
      sees: (row: number, column: number) => boolean;
    },
  ): void {
    this.placeChain(ids, base);
    const positions = this.positions.host as Int32Array, bias = this.bias.host as Float32Array;
    const n = ids.length, columns = base - prefix + this.count;
    for (let row = 0; row < this.count; row++) {
      positions[row] = prefix + (row < n ? depths[row] : 0);
      for (let c = 0; c < columns; c++) {
        const seen = row < n ? sees(row, c) : prefix + c === base + row;
        bias[row * this.capacity + prefix + c] = seen ? 0 : HIDDEN;
      }
    }
    this.#written = { column: prefix, count: columns };
  }

  #clear(): void {
    if (this.#written === undefined) return;
    const { column, count } = this.#written, bias = this.bias.host as Float32Array;
    for (let row = 0; row < this.count; row++) {
      bias.fill(0, row * this.capacity + column, row * this.capacity + column + count);
    }
    this.#written = undefined;
  }

  /** As inputs of a run over one sequence. */
  get inputs(): Params {
    return { ids: this.ids, positions: this.positions, length: this.length, bias: this.bias };
  }

  [Symbol.dispose](): void {
    for (const tensor of Object.values(this.inputs)) tensor[Symbol.dispose]();
  }
}

/** The rows of S sequences in one run, each over a cache of its own. */
export class SequenceRows implements Disposable {
  readonly each: readonly Rows[];
  #names: readonly string[];

  constructor(
    backend: Backend,
    { rows, capacity, sequences }: { rows: number; capacity: number; sequences: number },
  ) {
    this.#names = sequenceNames(sequences);
    this.each = this.#names.map(() => new Rows(backend, rows, capacity));
  }

  /** As inputs of a run over these caches, one a sequence; `idle` stands for those that are missing. */
  inputs(caches: readonly Cache[], idle?: Cache): Params {
    const all: Params = {};
    this.each.forEach((rows, s) => {
      const cache = caches[s] ?? idle;
      if (cache === undefined) {
        throw new Error(
          `Cannot place ${this.each.length} sequences: found ${caches.length} caches`,
        );
      }
      // What an idle sequence writes is never read, but must stay within its cache.
      if (caches[s] === undefined) rows.placeChain([], 0);
      for (const [name, tensor] of Object.entries({ ...rows.inputs, ...cache.tensors })) {
        all[`${name}${this.#names[s]}`] = tensor;
      }
    });
    return all;
  }

  [Symbol.dispose](): void {
    for (const rows of this.each) rows[Symbol.dispose]();
  }
}
