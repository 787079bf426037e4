/**
 * A compiled forward of the target over so many rows: one Program, or one for each stage where its layers are split
 * over several backends; then the rows go from stage to stage through the host. Used by `target.ts`.
 */
import { type Backend, type Executable, readAll, type Tensor } from "../backend/backend.ts";
import type { HostArray } from "../graph/node.ts";
import { type LayerRange, targetProgram, type TargetShape } from "../model/llama.ts";
import type { Target } from "../model/load.ts";
import { Cache, newCache, type Rows, SequenceRows } from "../model/placement.ts";
import type { Stage } from "../model/stages.ts";

/** The stages of a target that is on one backend, or on several. */
export function stagesOf(
  { config, weights, stages }: Target,
  backend: Backend,
): readonly Stage[] {
  return stages ?? [{ backend, weights, from: 0, to: config.layers }];
}

/** An empty cache for one sequence, each layer's rows on the backend of its stage. */
export function newTargetCache(
  target: Target,
  { backend, capacity }: { backend: Backend; capacity: number },
): Cache {
  const parts = stagesOf(target, backend).map(({ backend: own, from, to }) =>
    newCache(own, target.config, { capacity, layers: to, from })
  );
  return new Cache(Object.assign({}, ...parts.map(({ tensors }) => tensors)));
}

interface CompiledStage extends LayerRange {
  run: Executable;
  rows: SequenceRows;
  /** What enters a later stage. */
  hidden: Tensor | undefined;
  /** Of the taps, the places in their list of those in this stage. */
  taps: readonly number[];
}

/** Results by name: `logits` [S T, V], `features` [S T, D] and, with taps, `tapped` [S T, n D]. */
export class TargetForward implements Disposable {
  #stages: readonly CompiledStage[];
  #width: number;
  #taps: number;

  private constructor(
    stages: readonly CompiledStage[],
    { width, taps }: { width: number; taps: number },
  ) {
    this.#stages = stages;
    this.#width = width;
    this.#taps = taps;
  }

  static async compile(
    target: Target,
    { backend, taps = [], ...shape }: TargetShape & { backend: Backend; sequences: number },
  ): Promise<TargetForward> {
    const { config } = target, { rows, sequences, capacity } = shape;
    const count = rows * sequences;
    const stages = await Promise.all(
      stagesOf(target, backend).map(async (stage): Promise<CompiledStage> => {
        const { from, to, weights } = stage;
        const places = [...taps.keys()].filter((i) => taps[i] >= from && taps[i] < to);
        const own = places.map((i) => taps[i]);
        const whole = from === 0 && to === config.layers;
        const program = targetProgram(config, {
          ...shape,
          ...{ stored: weights, taps: whole ? taps : own },
          ...(!whole && { layers: { from, to } }),
        });
        return {
          ...{ from, to, taps: places },
          run: await stage.backend.compile(program, { weights }),
          rows: new SequenceRows(stage.backend, { rows, capacity, sequences }),
          hidden: from === 0
            ? undefined
            : stage.backend.shared(new Float32Array(count * config.width), [count, config.width]),
        };
      }),
    );
    return new TargetForward(stages, { width: config.width, taps: taps.length });
  }

  /** Places the rows of sequence `s`, in every stage. */
  place(s: number, put: (rows: Rows) => void): void {
    for (const { rows } of this.#stages) put(rows.each[s]);
  }

  /** Runs over these caches, one a sequence; `idle` stands for those that are missing. */
  async run(caches: readonly Cache[], idle?: Cache): Promise<Record<string, HostArray>> {
    const tapped: { places: readonly number[]; values: Float32Array }[] = [];
    let results: Record<string, HostArray> = {};
    for (const { run, rows, hidden, taps } of this.#stages) {
      if (hidden !== undefined) (hidden.host as Float32Array).set(results.hidden as Float32Array);
      const inputs = { ...rows.inputs(caches, idle), ...(hidden && { hidden }) };
      results = await readAll(await run.run(inputs));
      if (taps.length > 0) tapped.push({ places: taps, values: results.tapped as Float32Array });
    }
    if (this.#taps > 0 && this.#stages.length > 1) results.tapped = this.#join(tapped);
    return results;
  }

  /** Tapped rows of several stages side by side, in the order in which they were asked for. */
  #join(parts: readonly { places: readonly number[]; values: Float32Array }[]): Float32Array {
    const d = this.#width, n = parts[0].values.length / (d * parts[0].places.length);
    const all = new Float32Array(n * d * this.#taps);
    for (const { places, values } of parts) {
      for (let row = 0; row < n; row++) {
        places.forEach((place, i) => {
          const from = (row * places.length + i) * d;
          all.set(values.subarray(from, from + d), (row * this.#taps + place) * d);
        });
      }
    }
    return all;
  }

  [Symbol.dispose](): void {
    for (const { run, rows, hidden } of this.#stages) {
      run[Symbol.dispose]();
      rows[Symbol.dispose]();
      hidden?.[Symbol.dispose]();
    }
  }
}
