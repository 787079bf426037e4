/**
 * The reported numbers as pure functions of recorded generations: tau, acceptance by depth, tokens a second,
 * speedup. Definitions: griffin.md section 7. Intervals come from `stats.ts`.
 */

/** One generation of one prompt, or those of all turns of a conversation, one after the other. */
export interface Generation {
  /** Emitted tokens, cut at the end token and the length limit; the first of a turn comes from prefill. */
  tokens: number[];
  prefillMs: number;
  /** Everything after prefill. */
  decodeMs: number;
  rounds: RoundRecord[];
  /** How much of it is each turn's; absent where there is one. */
  turns?: TurnShare[];
}

/** What one turn adds to the generation of a conversation. */
export interface TurnShare {
  tokens: number;
  rounds: number;
  prefillMs: number;
  decodeMs: number;
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

/** One generation from those of the turns of a conversation, in order. */
export function joinTurns(turns: readonly Generation[]): Generation {
  if (turns.length === 1) return turns[0];
  return {
    tokens: turns.flatMap((t) => t.tokens),
    prefillMs: sum(turns.map((t) => t.prefillMs)),
    decodeMs: sum(turns.map((t) => t.decodeMs)),
    rounds: turns.flatMap((t) => t.rounds),
    turns: turns.map(({ tokens, rounds, prefillMs, decodeMs }) => ({
      tokens: tokens.length,
      rounds: rounds.length,
      prefillMs,
      decodeMs,
    })),
  };
}

/** The generations of the turns that were joined. */
export function turnsOf(generation: Generation): Generation[] {
  const { turns, tokens, rounds } = generation;
  if (turns === undefined) return [generation];
  let token = 0, round = 0;
  return turns.map((share) => ({
    tokens: tokens.slice(token, token += share.tokens),
    rounds: rounds.slice(round, round += share.rounds),
    prefillMs: share.prefillMs,
    decodeMs: share.decodeMs,
  }));
}

const turnCount = (generations: readonly Generation[]) =>
  sum(generations.map(({ turns }) => turns?.length ?? 1));

/** Acceptance length: tokens emitted by rounds over target forwards after prefill, pooled. */
export function tau(generations: readonly Generation[]): Ratio {
  const rounds = generations.flatMap((g) => g.rounds);
  return ratio(sum(rounds.map((r) => r.emitted)), rounds.length);
}

/** tau as the published script counts it: tokens after the end are kept, the last round is not counted. */
export function tauUpstream(generations: readonly Generation[]): Ratio {
  const turns = generations.flatMap(turnsOf);
  const emitted = turns.map((g) => sum(g.rounds.map((r) => r.accepted + 1)));
  return ratio(sum(emitted), sum(turns.map((g) => Math.max(0, g.rounds.length - 1))));
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

/** Tokens a second from totals, with prefill and without (then the first token of a turn does not count). */
export function tokensPerSecond(
  generations: readonly Generation[],
): { withPrefill: number; withoutPrefill: number } {
  const tokens = sum(generations.map((g) => g.tokens.length));
  const decode = sum(generations.map((g) => g.decodeMs)) / 1000;
  const prefill = sum(generations.map((g) => g.prefillMs)) / 1000;
  return {
    withPrefill: tokens / (decode + prefill),
    withoutPrefill: (tokens - turnCount(generations)) / decode,
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
