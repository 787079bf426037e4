/**
 * Features computed when they are read, instead of stored: the same `Examples`, with f32 features of the
 * target over each whole text. One text is one run without the LM head, its length rounded up; rows behind
 * it are seen by nobody. Several texts side by side came out within a tenth of that, either way, on two cores:
 * products are near full speed from 64 rows on. Stored ones: `features.ts`.
 */
import { type Backend, type Executable, readAll, type Tensor, zeros } from "../backend/backend.ts";
import { program } from "../graph/program.ts";
import { targetProgram } from "../model/llama.ts";
import type { Target } from "../model/load.ts";
import { type Cache, newCache } from "../model/placement.ts";
import type { Examples, StoredExamples, TokenizedText, TrainingExample } from "./features.ts";

/**
 * Rows compiled for a text of n: a multiple of 16, of 1/16 of its size where that is more, so that few
 * Programs serve all lengths and padding is at most 15 rows or an eighth.
 */
export function rowsFor(n: number): number {
  let step = 16;
  while (step * 16 < n) step *= 2;
  return Math.max(step, Math.ceil(n / step) * step);
}

/** What the target makes of a text: [L, D] and [L, n D]. */
export interface TextFeatures {
  features: Float32Array;
  tapped: Float32Array;
}

/** The target over whole texts of up to `longest` tokens, without logits. */
export class TextForward implements Disposable {
  readonly taps: readonly number[];
  #target: Target;
  #backend: Backend;
  #cache: Cache;
  #capacity: number;
  #noBias: Float32Array;
  #length: Tensor;
  #sizes = new Map<
    number,
    Promise<{ run: Executable; ids: Tensor; given: Record<string, Tensor> }>
  >();
  /** Runs take turns: they share cache and outputs. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    target: Target,
    { backend, longest, taps = [] }: {
      backend: Backend;
      longest: number;
      taps?: readonly number[];
    },
  ) {
    const { config } = target, rows = rowsFor(longest);
    this.taps = taps;
    this.#target = target;
    this.#backend = backend;
    // One more than the rows: the native attention takes a full cache for something else.
    this.#capacity = rows + 1;
    this.#cache = newCache(backend, config, { capacity: this.#capacity, layers: config.layers });
    this.#noBias = new Float32Array(rows * this.#capacity);
    this.#length = zeros(backend, [1], { dtype: "i32" });
  }

  async #compile(rows: number) {
    const { config, weights } = this.#target, capacity = this.#capacity, backend = this.#backend;
    const { outputs, updates } = targetProgram(config, {
      ...{ rows, capacity, taps: this.taps, stored: weights },
    });
    const { logits: _, ...wanted } = outputs;
    const run = await backend.compile(program(wanted, { updates }), { weights });
    const ids = backend.shared(new Int32Array(rows), [1, rows]);
    const positions = backend.tensor(Int32Array.from({ length: rows }, (_, i) => i), [1, rows]);
    const bias = backend.tensor(this.#noBias.subarray(0, rows * capacity), [1, 1, rows, capacity]);
    return { run, ids, given: { ids, positions, bias, length: this.#length } };
  }

  async #forward(text: Int32Array): Promise<TextFeatures> {
    const { width } = this.#target.config, n = text.length - 1, wide = width * this.taps.length;
    const features = new Float32Array(text.length * width);
    const tapped = new Float32Array(text.length * wide);
    if (n < 1) return { features, tapped };
    const rows = rowsFor(n);
    if (rows >= this.#capacity) {
      throw new Error(
        `Cannot run a text of ${text.length} tokens: wanted at most ${this.#capacity}`,
      );
    }
    if (!this.#sizes.has(rows)) this.#sizes.set(rows, this.#compile(rows));
    const { run, ids, given } = await this.#sizes.get(rows)!, host = ids.host as Int32Array;
    host.fill(0);
    host.set(text.subarray(0, n));
    const out = await readAll(await run.run({ ...given, ...this.#cache.tensors }));
    features.set((out.features as Float32Array).subarray(0, n * width));
    if (wide > 0) tapped.set((out.tapped as Float32Array).subarray(0, n * wide));
    return { features, tapped };
  }

  /** Features of a text, those of its last token zeros; calls may overlap and take turns. */
  forward(text: Int32Array): Promise<TextFeatures> {
    const turn = this.#last.then(() => this.#forward(text));
    this.#last = turn.catch(() => {}); // the one who asked is told
    return turn;
  }

  /** Frees everything after the run in work. */
  [Symbol.dispose](): void {
    void this.#last.then(async () => {
      for (const made of this.#sizes.values()) {
        const found = await made.catch(() => undefined);
        found?.run[Symbol.dispose]();
        for (const tensor of Object.values(found?.given ?? {})) {
          if (tensor !== this.#length) tensor[Symbol.dispose]();
        }
      }
      this.#length[Symbol.dispose]();
      this.#cache[Symbol.dispose]();
      this.#sizes.clear();
    });
  }
}

/**
 * Examples whose features the target computes when they are read: of a folder (whatever it stores; only ids
 * and masks are read), or of texts in memory. Dispose it when done.
 * @throws when the folder belongs to another target, a text is longer than the target knows positions, or a
 * tapped layer does not exist.
 */
export function onlineExamples(
  examples:
    | Pick<StoredExamples, "of" | "count" | "lengths" | "readText">
    | readonly TokenizedText[],
  { target, backend, taps = [] }: { target: Target; backend: Backend; taps?: readonly number[] },
): Examples & Disposable {
  const { config, identity } = target, stored = "readText" in examples;
  if (stored && examples.of.target !== identity) {
    throw new Error(
      `Cannot compute features of answers of target ${examples.of.target}: this target is ${identity}`,
    );
  }
  const lengths = stored ? examples.lengths : examples.map((text) => text.ids.length);
  const longest = lengths.reduce((a, b) => Math.max(a, b), 1);
  if (longest > config.positions) {
    throw new Error(
      `Cannot compute features of example ${lengths.indexOf(longest)}: it has ${longest} tokens, ` +
        `the target knows ${config.positions} positions`,
    );
  }
  const missing = taps.find((l) => !Number.isInteger(l) || l < 0 || l >= config.layers);
  if (missing !== undefined) {
    throw new Error(`Cannot tap layer ${missing}: the target has layers 0 to ${config.layers - 1}`);
  }
  const forward = new TextForward(target, { backend, longest, taps });
  const read = async (index: number): Promise<TrainingExample> => {
    const text = stored ? examples.readText(index) : examples[index];
    return { ...text, ...await forward.forward(text.ids) };
  };
  return {
    of: { target: identity, width: config.width, taps, storage: "none" },
    count: lengths.length,
    lengths,
    read,
    readMany: (indices) => Promise.all(indices.map(read)),
    [Symbol.dispose]: () => forward[Symbol.dispose](),
  };
}
