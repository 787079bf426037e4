/**
 * From shards to batches of static shape: examples of similar length together, padded on the right, in an
 * order that is a pure function of (seed, epoch). Rows: griffin.md section 3. Next on the walk: `step.ts`.
 */
import type { Examples } from "../data/features.ts";
import { random } from "../random.ts";
import type { BatchShape } from "./step.ts";

/** Lengths are rounded up to a multiple of this. */
const LENGTH_STEP = 64;

/** Which examples stand in a batch, and its sizes; empty places are padding. */
export interface BatchPlan extends BatchShape {
  examples: number[];
}

/** Host arrays of a batch, as the Program's inputs take them. */
export interface Batch {
  ids: Int32Array;
  mask: Float32Array;
  features: Float32Array;
  noisy: Float32Array;
  /** Trained rows. */
  trained: number;
  /** Real tokens. */
  tokens: number;
}

/** Plans the batches of an epoch: about `rows` rows each, every example once. */
export function planEpoch(
  lengths: readonly number[],
  { epoch, seed, rows, maxLength }: {
    epoch: number;
    seed: number;
    rows: number;
    maxLength: number;
  },
): BatchPlan[] {
  const from = random(seed, "epoch", epoch), order = from.shuffle(lengths.map((_, i) => i));
  const open = new Map<number, BatchPlan>(), plans: BatchPlan[] = [];
  for (const example of order) {
    const real = Math.min(lengths[example], maxLength);
    const length = Math.ceil(real / LENGTH_STEP) * LENGTH_STEP;
    const batch = Math.max(1, Math.floor(rows / length));
    let plan = open.get(length);
    if (plan === undefined) open.set(length, plan = { batch, length, examples: [] });
    plan.examples.push(example);
    if (plan.examples.length === batch) {
      plans.push(plan);
      open.delete(length);
    }
  }
  plans.push(...open.values());
  return from.shuffle(plans);
}

/** Fills a batch. Noise is drawn per example and epoch, so it does not depend on the batch. */
export async function fillBatch(
  examples: Examples,
  plan: BatchPlan,
  { epoch, seed, noise }: { epoch: number; seed: number; noise: number },
): Promise<Batch> {
  const { batch, length } = plan, { width } = examples.of;
  const ids = new Int32Array(batch * length), mask = new Float32Array(batch * length);
  const features = new Float32Array(batch * length * width);
  let trained = 0, tokens = 0;
  for (const [b, index] of plan.examples.entries()) {
    const example = await examples.read(index), real = Math.min(example.ids.length, length);
    // Row t reads token t + 1; the last row has none and is never trained.
    ids.set(example.ids.subarray(1, real), b * length);
    mask.set(example.mask.subarray(0, real - 1), b * length);
    features.set(example.features.subarray(0, real * width), b * length * width);
    tokens += real;
    for (let t = 0; t < real - 1; t++) trained += example.mask[t];
  }
  const noisy = features.slice();
  if (noise > 0) {
    plan.examples.forEach((index, b) => {
      const part = noisy.subarray(b * length * width, (b + 1) * length * width);
      addNoise(part, { noise, stream: random(seed, "noise", epoch, index).integer(2 ** 31) });
    });
  }
  return { ids, mask, features, noisy, trained, tokens };
}

/**
 * Adds uniform noise of the given half-width. Half a million numbers a step: an integer hash of the index
 * (lowbias32) under the stream's number serves, ten times quicker than Philox.
 */
function addNoise(
  values: Float32Array,
  { noise, stream }: { noise: number; stream: number },
): void {
  const scale = 2 * noise / 2 ** 32;
  for (let i = 0; i < values.length; i++) {
    let x = i ^ stream;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    x ^= x >>> 15;
    values[i] += (x >>> 0) * scale - noise;
  }
}
