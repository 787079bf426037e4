/**
 * Prompt lookup (Saxena 2023; n-gram speculation): a baseline without a draft model. What followed the last
 * occurrence of the text's last few tokens is proposed again, as a chain. Strong where answers repeat their prompt.
 */
import type { Drafter, Drafting, Proposal } from "./drafter.ts";

interface Lookup extends Drafting {
  text: number[];
}

/**
 * The tokens that followed the newest earlier occurrence of the text's end: the longest end of at most `longest`
 * tokens that occurs, at most `length` tokens; none when not even the last token occurred.
 */
export function lookUp(
  text: readonly number[],
  { longest, length }: { longest: number; length: number },
): number[] {
  const end = text.length;
  for (let n = Math.min(longest, end - 1); n > 0; n--) {
    for (let start = end - n - 1; start >= 0; start--) {
      let same = 0;
      while (same < n && text[start + same] === text[end - n + same]) same++;
      if (same === n) return text.slice(start + n, start + n + length);
    }
  }
  return [];
}

/** A drafter that looks up. @throws when a setting is no whole number from 1. */
export function promptLookup(
  { longest = 3, length = 10 }: {
    /** Tokens of the end that is searched for, at most. */
    longest?: number;
    /** Tokens proposed, at most. */
    length?: number;
  } = {},
): Drafter<Lookup> {
  for (const [name, value] of [["match of", longest], ["proposal of", length]] as const) {
    if (!Number.isInteger(value) || value < 1) {
      throw new Error(
        `Cannot look up with a ${name} ${value} tokens: wanted a whole number from 1`,
      );
    }
  }
  return {
    taps: [],
    budget: length + 1,
    depth: length,
    begin: ({ first }) => ({ text: [first], [Symbol.dispose]() {} }),
    prepare: () => Promise.resolve(),
    propose: (requests) =>
      Promise.resolve(requests.map(({ drafting: { text }, news: { ids } }): Proposal => {
        text.push(...ids);
        const found = lookUp(text, { longest, length });
        return {
          tree: {
            tokens: Int32Array.of(ids[ids.length - 1], ...found),
            parents: Int32Array.from({ length: found.length + 1 }, (_, i) => i - 1),
            scores: new Float32Array(found.length + 1),
          },
        };
      })),
  };
}
