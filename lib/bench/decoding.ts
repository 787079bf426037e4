/** Forwards to time: the target over n rows, the draft over n rows, both behind a context of 200 tokens. */
import type { Backend } from "../backend/backend.ts";
import { draftMatrices, draftProgram, featureWidth } from "../model/draft.ts";
import { targetProgram } from "../model/llama.ts";
import { type Draft, placeDraft, type Target } from "../model/load.ts";
import { quantBlock } from "../model/quantize.ts";
import { newCache, Rows } from "../model/placement.ts";
import { random } from "../random.ts";
import type { Candidate } from "./timing.ts";

const CONTEXT = 200, CAPACITY = 512, ROWS = [1, 2, 4, 8, 16, 32, 64], DRAFT_ROWS = [1, 2, 4, 8];

function placed(
  backend: Backend,
  { rows, vocabulary }: { rows: number; vocabulary: number },
): Rows {
  const from = random(1, "bench", rows), place = new Rows(backend, rows, CAPACITY);
  place.placeChain(Int32Array.from({ length: rows }, () => from.integer(vocabulary)), CONTEXT);
  return place;
}

/** One candidate for each number of rows of the target, in the bits it was loaded in. */
export async function targetForwards(
  { config, weights, bits = 32 }: Target,
  { backend }: { backend: Backend },
): Promise<Candidate[]> {
  const cache = newCache(backend, config, { capacity: CAPACITY, layers: config.layers });
  return await Promise.all(ROWS.map(async (rows) => {
    const program = targetProgram(config, { rows, capacity: CAPACITY, stored: weights });
    const executable = await backend.compile(program, { weights });
    const { inputs } = placed(backend, { rows, vocabulary: config.vocabulary });
    return {
      name: `target in ${bits} bits, ${rows} rows`,
      run: () => executable.run({ ...inputs, ...cache.tensors }),
    };
  }));
}

/** One candidate for each number of rows of the draft, in 8 and in 32 bits. */
export async function draftForwards(
  draft: Draft,
  { backend, target }: { backend: Backend; target: Target },
): Promise<Candidate[]> {
  const { config } = draft, width = 3, d = featureWidth(config);
  const cache = newCache(backend, config, { capacity: CAPACITY, layers: 1 });
  const out: Candidate[] = [];
  for (const bits of quantBlock(draftMatrices(config)) > 0 ? [8, 32] as const : [32] as const) {
    const weights = placeDraft(draft, { backend, target, bits });
    for (const rows of DRAFT_ROWS) {
      const program = draftProgram(config, {
        rows,
        capacity: CAPACITY,
        width,
        stored: weights,
        reads: "target",
      });
      const executable = await backend.compile(program, { weights }),
        from = random(2, "bench", rows);
      const features = backend.tensor(
        Float32Array.from({ length: rows * d }, () => from.normal()),
        [rows, d],
      );
      const { inputs } = placed(backend, { rows, vocabulary: config.vocabulary });
      out.push({
        name: `draft in ${bits} bits, ${rows} rows`,
        run: () => executable.run({ ...inputs, features, ...cache.tensors }),
      });
    }
  }
  return out;
}
