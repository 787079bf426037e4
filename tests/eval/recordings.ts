/** Made-up recordings of generations for tests of numbers, figures and pages. Holds no test. */
import type { Generation, PromptResult } from "../../lib/eval/metrics.ts";

/** A generation from rounds (emitted, accepted, depth); a round's time is 2 : 7 : 1 draft, verify, host. */
export function generation(
  rounds: readonly (readonly [emitted: number, accepted: number, depth: number])[],
  { prefillMs, roundMs }: { prefillMs: number; roundMs: number },
): Generation {
  const tokens = 1 + rounds.reduce((sum, [emitted]) => sum + emitted, 0);
  return {
    tokens: Array.from({ length: tokens }, (_, i) => i),
    prefillMs,
    decodeMs: roundMs * rounds.length,
    rounds: rounds.map(([emitted, accepted, depth]) => ({
      emitted,
      drafted: depth === 0 ? 0 : 7,
      depth,
      accepted,
      draftMs: depth === 0 ? 0 : 0.2 * roundMs,
      verifyMs: depth === 0 ? 0.9 * roundMs : 0.7 * roundMs,
      sampleMs: 0.04 * roundMs,
      hostMs: 0.06 * roundMs,
    })),
  };
}

/** Plain decoding: one token a round, nothing drafted. */
export function plainGeneration(
  rounds: number,
  times: { prefillMs: number; roundMs: number },
): Generation {
  return generation(Array.from({ length: rounds }, () => [1, 0, 0] as const), times);
}

/** Both generations of one prompt. */
export function promptResult(
  plain: Generation,
  speculative: Generation,
  { id = "p", category = "c" }: { id?: string; category?: string } = {},
): PromptResult {
  return { id, category, promptTokens: 5, plain, speculative };
}
