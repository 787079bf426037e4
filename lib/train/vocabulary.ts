/** The draft vocabulary of EAGLE-3: the tokens that the training text predicts most often. */
import type { StoredExamples } from "../data/features.ts";

/**
 * The `size` tokens that trained rows predict most often, rising; equally frequent ones by id. Row t predicts
 * token t + 2. Tokens that never occur fill up what is missing.
 * @throws when the target has fewer tokens.
 */
export function frequentTokens(
  examples: Pick<StoredExamples, "count" | "readText">,
  { size, vocabulary }: { size: number; vocabulary: number },
): Int32Array {
  if (!(Number.isInteger(size) && size >= 1 && size <= vocabulary)) {
    throw new Error(`Cannot choose ${size} of ${vocabulary} tokens: wanted 1 to ${vocabulary}`);
  }
  const counts = new Float64Array(vocabulary);
  for (let i = 0; i < examples.count; i++) {
    const { ids, mask } = examples.readText(i);
    for (let t = 0; t + 2 < ids.length; t++) counts[ids[t + 2]] += mask[t];
  }
  const order = Array.from(counts.keys()).sort((a, b) => counts[b] - counts[a] || a - b);
  return Int32Array.from(order.slice(0, size)).sort();
}
