/**
 * How fast texts come: several ways of decoding the same prompts, in turn, so that all meet the same machine. A way
 * is ours (plain, with a draft, with the target in 8 bits) or another framework's (`peers.ts`). Times are without
 * the prompt's: a text's first token comes from reading it.
 */
import { median } from "./timing.ts";

/** A text as it was decoded. */
export interface Decoded {
  tokens: readonly number[];
  /** Milliseconds after the first token. */
  decodeMs: number;
}

/** A way of decoding. */
export interface Side {
  name: string;
  /** Sides of the same kind (greedy, sampled) are compared. */
  kind: string;
  decode(prompt: Int32Array, index: number): Promise<Decoded>;
}

/** Speed of one side. */
export interface SideSpeed {
  name: string;
  kind: string;
  /** Median over texts of milliseconds a token. */
  msPerToken: number;
  /** From totals. */
  tokensPerSecond: number;
  /** Texts that are those of the first side of the kind, token for token. */
  same: number;
  texts: number;
}

/** Texts shorter than this say little of time a token. */
const SHORTEST = 8;

/**
 * Decodes every prompt by every side, in turn (A B C, A B C, ...), `rounds` times; the first prompt once before, not
 * counted. Yields how many prompts are done.
 */
export async function* compareSides(
  sides: readonly Side[],
  prompts: readonly Int32Array[],
  { rounds = 1 }: { rounds?: number } = {},
): AsyncGenerator<number, SideSpeed[]> {
  const all = sides.map((): { tokens: number; ms: number; text: string }[] => []);
  for (const side of sides) await side.decode(prompts[0], 0);
  for (let round = 0; round < rounds; round++) {
    for (const [index, prompt] of prompts.entries()) {
      for (const [i, side] of sides.entries()) {
        const { tokens, decodeMs } = await side.decode(prompt, index);
        all[i].push({ tokens: tokens.length - 1, ms: decodeMs, text: tokens.join(" ") });
      }
      yield round * prompts.length + index + 1;
    }
  }
  return sides.map(({ name, kind }, i) => {
    const first = all[sides.findIndex((s) => s.kind === kind)];
    const long = all[i].filter(({ tokens }) => tokens >= SHORTEST);
    const total = long.reduce((sum, t) => ({ tokens: sum.tokens + t.tokens, ms: sum.ms + t.ms }), {
      tokens: 0,
      ms: 0,
    });
    return {
      name,
      kind,
      msPerToken: median(long.map(({ tokens, ms }) => ms / tokens)),
      tokensPerSecond: 1000 * total.tokens / total.ms,
      same: all[i].filter(({ text }, t) => text === first[t].text).length,
      texts: all[i].length,
    };
  });
}
