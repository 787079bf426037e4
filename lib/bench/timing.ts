/** Timing that can be trusted on a shared machine: candidates in turn, medians and minima of many. */

/** Something to time. */
export interface Candidate {
  name: string;
  run: () => Promise<unknown>;
}

/** Milliseconds of one candidate. */
export interface Timing {
  name: string;
  median: number;
  minimum: number;
  runs: number;
}

/** Median of numbers; the mean of the middle two when there is an even number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Times candidates in turn (A B C A B C ...), each after one run that is not counted. */
export async function timeInTurn(
  candidates: readonly Candidate[],
  { rounds = 15 }: { rounds?: number } = {},
): Promise<Timing[]> {
  const times = candidates.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, { run }] of candidates.entries()) {
      const before = performance.now();
      await run();
      if (round > 0) times[i].push(performance.now() - before);
    }
  }
  return candidates.map(({ name }, i) => ({
    name,
    median: median(times[i]),
    minimum: Math.min(...times[i]),
    runs: rounds,
  }));
}
