/**
 * From shards to batches of static shape: examples of similar length together or packed, padded on the right,
 * in an order that is a pure function of (seed, epoch). Rows: griffin.md section 3. Next on the walk: `step.ts`.
 */
import type { Examples } from "../data/features.ts";
import { random } from "../random.ts";
import type { BatchShape } from "./passes.ts";
import { LENGTH_SCALED_NOISE, type Recipe } from "./recipe.ts";

/** Lengths are rounded up to a multiple of this. */
const LENGTH_STEP = 64;
/** Rows that packing fills at a time: an example goes to the fullest one that has room for it. */
const OPEN_ROWS = 16;

/** Which examples stand in each row of a batch, one after another, and its sizes; the rest is padding. */
export interface BatchPlan extends BatchShape {
  rows: number[][];
}

/** Host arrays of a batch, as the Program's inputs take them. */
export interface Batch {
  ids: Int32Array;
  mask: Float32Array;
  features: Float32Array;
  /** What the draft reads: features, or tapped layers, with noise. */
  noisy: Float32Array;
  /** Row of each example from 0; 0 in padding. */
  place: Float32Array;
  /** Trained rows. */
  trained: number;
  /** Real tokens. */
  tokens: number;
}

type Sizes = Pick<Recipe, "seed" | "rows" | "maxLength"> & { packing?: boolean; epoch: number };

const roundUp = (length: number) => Math.ceil(length / LENGTH_STEP) * LENGTH_STEP;

/** Plans the batches of an epoch: about `rows` rows each, every example once. */
export function planEpoch(lengths: readonly number[], sizes: Sizes): BatchPlan[] {
  const { epoch, seed, rows, maxLength, packing = false } = sizes;
  const from = random(seed, "epoch", epoch), order = from.shuffle(lengths.map((_, i) => i));
  const cut = (example: number) => Math.min(lengths[example], maxLength);
  const filled = packing
    ? packRows(order, { cut, length: roundUp(maxLength) })
    : order.map((example) => ({ length: roundUp(cut(example)), examples: [example] }));
  const open = new Map<number, BatchPlan>(), plans: BatchPlan[] = [];
  for (const { length, examples } of filled) {
    const batch = Math.max(1, Math.floor(rows / length));
    let plan = open.get(length);
    if (plan === undefined) open.set(length, plan = { batch, length, rows: [] });
    plan.rows.push(examples);
    if (plan.rows.length === batch) {
      plans.push(plan);
      open.delete(length);
    }
  }
  plans.push(...open.values());
  return from.shuffle(plans);
}

/** Lays examples one after another into rows of one length. */
function packRows(
  order: readonly number[],
  { cut, length }: { cut: (example: number) => number; length: number },
) {
  const open: { length: number; used: number; examples: number[] }[] = [], full: typeof open = [];
  for (const example of order) {
    const size = cut(example), fits = open.filter(({ used }) => used + size <= length);
    let row = fits.reduce<typeof open[number] | undefined>(
      (best, r) => best === undefined || r.used > best.used ? r : best,
      undefined,
    );
    if (row === undefined) {
      open.push(row = { length, used: 0, examples: [] });
      if (open.length > OPEN_ROWS) full.push(open.shift()!);
    }
    row.examples.push(example);
    row.used += size;
  }
  return [...full, ...open];
}

/** A batch of a run, and the epoch whose noise it gets. */
export interface PlannedBatch {
  plan: BatchPlan;
  epoch: number;
}

/**
 * The batches of a run in order: `epochs` of the data from `start` on, both may be fractions. Runs that go on
 * where another one stopped read what comes next, so several steps see the data that one longer run sees.
 */
export function planRun(
  lengths: readonly number[],
  { epochs, start, ...sizes }:
    & Omit<Sizes, "epoch">
    & Pick<Recipe, "epochs">
    & {
      start: number;
    },
): PlannedBatch[] {
  const plans: PlannedBatch[] = [], end = start + epochs;
  for (let epoch = Math.floor(start); epoch < end; epoch++) {
    const all = planEpoch(lengths, { ...sizes, epoch });
    const place = (x: number) => Math.round(Math.min(1, Math.max(0, x - epoch)) * all.length);
    plans.push(...all.slice(place(start), place(end)).map((plan) => ({ plan, epoch })));
  }
  return plans;
}

async function readAll(examples: Examples, indices: readonly number[]) {
  if (examples.readMany !== undefined) return await examples.readMany(indices);
  return await Promise.all(indices.map((i) => examples.read(i)));
}

/** Fills a batch. Noise is drawn per example and epoch, so it does not depend on the batch. */
export async function fillBatch(
  examples: Examples,
  { plan, epoch }: PlannedBatch,
  { seed, noise }: Pick<Recipe, "seed" | "noise">,
): Promise<Batch> {
  const { batch, length } = plan, { width, taps } = examples.of, n = batch * length;
  const wide = width * Math.max(1, taps.length);
  const ids = new Int32Array(n), mask = new Float32Array(n), place = new Float32Array(n);
  const features = new Float32Array(n * width);
  const noisy = taps.length === 0 ? new Float32Array(n * width) : new Float32Array(n * wide);
  const all = plan.rows.flat(), found = await readAll(examples, all);
  let trained = 0, tokens = 0;
  for (const [row, held] of plan.rows.entries()) {
    let at = row * length;
    for (const index of held) {
      const example = found[all.indexOf(index)];
      const real = Math.min(example.ids.length, (row + 1) * length - at);
      // Row t reads token t + 1; the last row has none and is never trained.
      ids.set(example.ids.subarray(1, real), at);
      mask.set(example.mask.subarray(0, real - 1), at);
      features.set(example.features.subarray(0, real * width), at * width);
      const read = taps.length === 0 ? example.features : example.tapped;
      const part = noisy.subarray(at * wide, (at + real) * wide);
      part.set(read.subarray(0, real * wide));
      const half = noise === "length-scaled" ? LENGTH_SCALED_NOISE / real : noise;
      const stream = random(seed, "noise", epoch, index).integer(2 ** 31);
      if (half > 0) addNoise(part, { noise: half, stream });
      for (let t = 0; t < real; t++) place[at + t] = t;
      for (let t = 0; t < real - 1; t++) trained += example.mask[t];
      tokens += real;
      at += real;
    }
  }
  return { ids, mask, features, noisy, place, trained, tokens };
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
