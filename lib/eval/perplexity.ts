/**
 * How surprised a target is by texts that it did not write: perplexity, the exponential of the mean loss a token. What
 * fewer bits cost shows in it at once, text by text. What they do to the target's own texts: `experiments/target_bits`.
 */
import { processLogits } from "../decode/sample.ts";
import type { TargetDecoder } from "../decode/target.ts";
import { bootstrap, type Interval } from "./stats.ts";

/** Loss of one text: sum of -log p over its tokens but the first, in nats, and how many these are. */
export interface TextLoss {
  loss: number;
  tokens: number;
}

/** Tokens read at a time. */
const CHUNK = 64;

/** Lets a target read texts, each from its beginning, and yields what each costs; texts of one token are left out. */
export async function* readTexts(
  target: TargetDecoder,
  texts: Iterable<Int32Array>,
  { signal }: { signal?: AbortSignal } = {},
): AsyncGenerator<TextLoss> {
  const { vocabulary } = target.target.config, p = new Float64Array(vocabulary);
  for (const ids of texts) {
    if (signal?.aborted) return;
    if (ids.length < 2) continue;
    using cache = target.newCache();
    let loss = 0;
    for (let at = 0; at < ids.length - 1; at += CHUNK) {
      const chunk = ids.subarray(at, Math.min(at + CHUNK, ids.length - 1));
      const { logits } = await target.forwardChain(chunk, cache);
      for (let i = 0; i < chunk.length; i++) {
        const row = logits.subarray(i * vocabulary, (i + 1) * vocabulary);
        processLogits(row, { temperature: 1, topK: 0, topP: 1 }, p);
        loss -= Math.log(p[ids[at + i + 1]]);
      }
    }
    yield { loss, tokens: ids.length - 1 };
  }
}

/** Perplexity over texts, every token counting the same. */
export function perplexity(losses: readonly TextLoss[]): number {
  const sum = (key: keyof TextLoss) => losses.reduce((n, text) => n + text[key], 0);
  return Math.exp(sum("loss") / sum("tokens"));
}

/** Perplexity with its interval over texts, and how many times another's it is on the same texts, paired. */
export interface PerplexityRow {
  perplexity: number;
  interval: Interval;
  ratio: number;
  ratioInterval: Interval;
}

/** Compares losses with those of `base` on the same texts. @throws when the texts are not as many. */
export function comparePerplexity(
  losses: readonly TextLoss[],
  base: readonly TextLoss[],
): PerplexityRow {
  if (losses.length !== base.length) {
    throw new Error(
      `Cannot compare ${losses.length} texts with ${base.length}: wanted the same ones`,
    );
  }
  const pairs = losses.map((own, i) => ({ own, other: base[i] }));
  const ratio = (drawn: typeof pairs) =>
    perplexity(drawn.map((p) => p.own)) / perplexity(drawn.map((p) => p.other));
  return {
    perplexity: perplexity(losses),
    interval: bootstrap(losses, perplexity),
    ratio: ratio(pairs),
    ratioInterval: bootstrap(pairs, (drawn) => ratio([...drawn])),
  };
}
