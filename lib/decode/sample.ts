/**
 * From logits to a token: the *processed* distribution (repetition penalty, temperature, top-k, top-p, in this
 * order, as in Hugging Face transformers) and draws from it. Plain decoding, verification and the lossless tests all use this one definition; there is no other way
 * from logits to a token. Next on the walk of a prompt: `tree.ts`, which grows the draft tree.
 */

/** Sampling settings. */
export interface Sampling {
  /** 0 is greedy: the distribution that puts everything on the argmax. */
  temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  topK: number;
  /** Keep the smallest set of most likely tokens whose probabilities reach this sum; 1 keeps all. */
  topP: number;
  /**
   * Logits of tokens that occurred before, in the prompt too, are divided by it where positive and multiplied where
   * negative (Keskar et al. 2019, CTRL); 1, the default, changes nothing.
   */
  repetitionPenalty?: number;
}

/** Greedy decoding. */
export const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1 };

/** Checks sampling settings. @throws one error naming the setting, what was found and what was wanted. */
export function checkSampling(
  { temperature, topK, topP, repetitionPenalty = 1 }: Sampling,
): void {
  if (!(temperature >= 0 && Number.isFinite(temperature))) {
    throw new Error(`Cannot sample at temperature ${temperature}: wanted 0 (greedy) or more`);
  }
  if (!(Number.isInteger(topK) && topK >= 0)) {
    throw new Error(`Cannot sample with top-k ${topK}: wanted a whole number, 0 for all tokens`);
  }
  if (!(topP > 0 && topP <= 1)) {
    throw new Error(`Cannot sample with top-p ${topP}: wanted more than 0 and at most 1`);
  }
  if (!(repetitionPenalty > 0 && Number.isFinite(repetitionPenalty))) {
    throw new Error(
      `Cannot sample with repetition penalty ${repetitionPenalty}: wanted more than 0, 1 for none`,
    );
  }
}

/** Index of the largest of `length` values from `offset`; the lowest index wins a tie. */
export function argmax(values: ArrayLike<number>, offset = 0, length = values.length): number {
  let best = offset;
  for (let i = offset + 1; i < offset + length; i++) if (values[i] > values[best]) best = i;
  return best - offset;
}

/**
 * Writes the processed distribution of one row of logits [V] into `p` [V], normalised in f64. `seen` are the
 * tokens before, for the repetition penalty. Tokens tied with the last one kept by top-k are kept too; ties within
 * top-p go to the lower id.
 * @throws when the logits leave no distribution: NaN, +Infinity, or every token at -Infinity.
 */
export function processLogits(
  logits: ArrayLike<number>,
  { temperature, topK, topP, repetitionPenalty = 1 }: Sampling,
  p: Float64Array,
  seen: Iterable<number> = [],
): void {
  const size = p.length;
  for (let i = 0; i < size; i++) p[i] = logits[i];
  if (repetitionPenalty !== 1) penalize(p, { repetitionPenalty, seen });
  const best = argmax(p);
  if (temperature === 0) {
    p.fill(0);
    p[best] = 1;
    return;
  }
  const largest = p[best];
  let floor = -Infinity;
  if (topK > 0 && topK < size) floor = kthLargest(p, { size, k: topK });
  let total = 0;
  for (let i = 0; i < size; i++) {
    p[i] = p[i] < floor ? 0 : Math.exp((p[i] - largest) / temperature);
    total += p[i];
  }
  if (!(total > 0)) {
    throw new Error(
      `Cannot sample from logits whose largest is ${largest}: wanted finite numbers, or -Infinity for some`,
    );
  }
  if (topP < 1) total = keepNucleus(p, { topP, total });
  for (let i = 0; i < size; i++) p[i] /= total;
}

/** A token counts once, however often it was seen. */
function penalize(
  logits: Float64Array,
  { repetitionPenalty, seen }: { repetitionPenalty: number; seen: Iterable<number> },
): void {
  for (const token of new Set(seen)) {
    if (token >= logits.length) continue;
    logits[token] *= logits[token] > 0 ? 1 / repetitionPenalty : repetitionPenalty;
  }
}

/** The k-th largest of the first `size` values: one sweep with the k best so far in rising order. */
function kthLargest(
  values: ArrayLike<number>,
  { size, k }: { size: number; k: number },
): number {
  const best = new Float64Array(k).fill(-Infinity);
  for (let i = 0; i < size; i++) {
    const value = values[i];
    if (!(value > best[0])) continue;
    let at = 1;
    while (at < k && best[at] < value) at++;
    best.copyWithin(0, 1, at);
    best[at - 1] = value;
  }
  return best[0];
}

/**
 * Zeros all but the most likely entries whose sum first reaches `topP` of the total; returns the sum kept.
 * Entries below a V-th of the mass to drop cannot be in the set, even all together: they are not sorted.
 */
function keepNucleus(
  p: Float64Array,
  { topP, total }: { topP: number; total: number },
): number {
  const small = (1 - topP) * total / p.length, order: number[] = [];
  for (let i = 0; i < p.length; i++) {
    if (p[i] >= small) order.push(i);
    else p[i] = 0;
  }
  order.sort((a, b) => p[b] - p[a] || a - b);
  let kept = 0, n = 0;
  while (n < order.length && kept < topP * total) kept += p[order[n++]];
  for (; n < order.length; n++) p[order[n]] = 0;
  return kept;
}

/** The index at which the running sum of p (normalised or not) passes `u` times its total; never one of probability 0. */
export function draw(p: Float64Array, u: number): number {
  let total = 0;
  for (let i = 0; i < p.length; i++) total += p[i];
  let left = u * total, last = 0;
  for (let i = 0; i < p.length; i++) {
    if (p[i] === 0) continue;
    last = i;
    left -= p[i];
    if (left < 0) return i;
  }
  return last;
}
