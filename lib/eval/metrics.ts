/**
 * The reported numbers as pure functions of recorded generations: tau, acceptance by depth, tokens a second,
 * speedup. Definitions: griffin.md section 7. Intervals come from `stats.ts`.
 */

/** One generation of one prompt. */
export interface Generation {
  /** Emitted tokens, cut at the end token and the length limit; the first comes from prefill. */
  tokens: number[];
  prefillMs: number;
  /** Everything after prefill. */
  decodeMs: number;
  rounds: RoundRecord[];
}

/** One target forward after prefill. */
export interface RoundRecord {
  /** Tokens emitted, after cutting. */
  emitted: number;
  drafted: number;
  /** Deepest level drafted. */
  depth: number;
  accepted: number;
  draftMs: number;
  verifyMs: number;
  sampleMs: number;
  hostMs: number;
}

/** Plain and speculative decoding of one prompt. */
export interface PromptResult {
  id: string;
  category: string;
  promptTokens: number;
  plain: Generation;
  speculative: Generation;
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** A ratio with what it was made of. */
export interface Ratio {
  numerator: number;
  denominator: number;
  value: number;
}

/** Of nothing it is NaN. */
export function ratio(numerator: number, denominator: number): Ratio {
  return { numerator, denominator, value: denominator === 0 ? NaN : numerator / denominator };
}

/** Acceptance length: tokens emitted by rounds over target forwards after prefill, pooled. */
export function tau(generations: readonly Generation[]): Ratio {
  const rounds = generations.flatMap((g) => g.rounds);
  return ratio(sum(rounds.map((r) => r.emitted)), rounds.length);
}

/** tau as the published script counts it: tokens after the end are kept, the last round is not counted. */
export function tauUpstream(generations: readonly Generation[]): Ratio {
  const emitted = generations.map((g) => sum(g.rounds.map((r) => r.accepted + 1)));
  return ratio(sum(emitted), sum(generations.map((g) => Math.max(0, g.rounds.length - 1))));
}

/** n-alpha: of the rounds that reached depth i (from 1), the share whose token at that depth was accepted. */
export function acceptanceByDepth(generations: readonly Generation[]): Ratio[] {
  const rounds = generations.flatMap((g) => g.rounds);
  const deepest = Math.max(0, ...rounds.map((r) => r.depth));
  return Array.from({ length: deepest }, (_, i) => {
    const reached = rounds.filter((r) => r.accepted >= i && r.depth > i);
    return ratio(reached.filter((r) => r.accepted > i).length, reached.length);
  });
}

/** Tokens a second from totals, with prefill and without (then the first token does not count). */
export function tokensPerSecond(
  generations: readonly Generation[],
): { withPrefill: number; withoutPrefill: number } {
  const tokens = sum(generations.map((g) => g.tokens.length));
  const decode = sum(generations.map((g) => g.decodeMs)) / 1000;
  const prefill = sum(generations.map((g) => g.prefillMs)) / 1000;
  return {
    withPrefill: tokens / (decode + prefill),
    withoutPrefill: (tokens - generations.length) / decode,
  };
}

/** Milliseconds a round, split. */
export function timeSplit(
  generations: readonly Generation[],
): { draftMs: number; verifyMs: number; sampleMs: number; hostMs: number } {
  const rounds = generations.flatMap((g) => g.rounds), n = Math.max(1, rounds.length);
  return {
    draftMs: sum(rounds.map((r) => r.draftMs)) / n,
    verifyMs: sum(rounds.map((r) => r.verifyMs)) / n,
    sampleMs: sum(rounds.map((r) => r.sampleMs)) / n,
    hostMs: sum(rounds.map((r) => r.hostMs)) / n,
  };
}

/** Do both generations of a prompt say the same? */
export function isIdentical({ plain, speculative }: PromptResult): boolean {
  return plain.tokens.length === speculative.tokens.length &&
    plain.tokens.every((t, i) => t === speculative.tokens[i]);
}

/** Speedup over prompts: tokens a second of speculative over plain, prefill excluded and included. */
export function speedup(
  results: readonly PromptResult[],
): { withoutPrefill: number; withPrefill: number } {
  const fast = tokensPerSecond(results.map((r) => r.speculative));
  const slow = tokensPerSecond(results.map((r) => r.plain));
  return {
    withoutPrefill: fast.withoutPrefill / slow.withoutPrefill,
    withPrefill: fast.withPrefill / slow.withPrefill,
  };
}
