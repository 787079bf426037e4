/**
 * Which tree is the fastest? Sizes are ranked by simulation (`lib/eval/sweep.ts`); the best of them and others are
 * then really decoded in turn, prompt by prompt, so that all meet the same machine. The claim to be tested: a tree
 * that sizes itself is as fast as the best fixed size, which nobody knows beforehand.
 */
import type { Drafter } from "../decode/drafter.ts";
import { speculate } from "../decode/generate.ts";
import type { TreeShape } from "../decode/growth.ts";
import { sizesUpTo, type TargetDecoder } from "../decode/target.ts";
import { type Generation, tau, timeSplit } from "../eval/metrics.ts";
import { record } from "../eval/run.ts";
import { bootstrap } from "../eval/stats.ts";
import type { SweepGrid, SweepRow } from "../eval/sweep.ts";
import { median } from "./timing.ts";

/** Sizes that are swept. */
export const SWEEP_GRID: SweepGrid = {
  depths: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  widths: [1, 2, 3, 4, 6, 8, 10],
  budgets: [2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64],
  minimumScores: [-Infinity, -6, -4, -3, -2],
};

/** NODES/DEPTH/WIDTH, and the minimum score if there is one. */
export function nameOf(
  { depth, width, budget, minimumScore }: TreeShape & { minimumScore: number },
): string {
  const size = `${budget}/${depth}/${width}`;
  return Number.isFinite(minimumScore) ? `${size} from ${minimumScore}` : size;
}

/**
 * Rows worth decoding, of rows that predict the same the first: half of them those predicted to be the fastest, the
 * others the fastest of further budgets, so that the best is not missed where costs are a little wrong.
 */
export function fastest(rows: readonly SweepRow[], { count }: { count: number }): SweepRow[] {
  const sorted = rows.toSorted((a, b) => b.tokensPerSecond - a.tokensPerSecond);
  const different = firstOfEach(
    sorted,
    ({ emitted, forwards, ms }) => `${emitted} ${forwards} ${ms}`,
  );
  const chosen = different.slice(0, Math.ceil(count / 2));
  const others = firstOfEach(different, (row) => row.budget)
    .filter(({ budget }) => chosen.every((row) => row.budget !== budget));
  return [...chosen, ...others].slice(0, count);
}

function firstOfEach<T>(items: readonly T[], key: (item: T) => unknown): T[] {
  return [...Map.groupBy(items, key).values()].map(([first]) => first);
}

/** Something to decode with. */
export interface Contender {
  name: string;
  // deno-lint-ignore no-explicit-any -- what a drafter keeps of a sequence is its own affair
  drafter: Drafter<any>;
}

/** One prompt decoded by one contender. */
export interface Decoded {
  /** Indexes. */
  contender: number;
  prompt: number;
  repetition: number;
  generation: Generation;
}

/**
 * Decodes every prompt with every contender, greedily, `repetitions` times. Contenders take turns on a prompt, each
 * time another one first; before that all is compiled and the first prompt decoded once, unrecorded.
 */
export async function* decodeInTurn(
  target: TargetDecoder,
  contenders: readonly Contender[],
  { prompts, repetitions, maxTokens, signal }: {
    prompts: readonly Int32Array[];
    repetitions: number;
    maxTokens?: number;
    signal?: AbortSignal;
  },
): AsyncGenerator<Decoded> {
  const lengths = prompts.map((ids) => ids.length), n = contenders.length;
  await target.prepare([
    ...sizesUpTo(Math.max(...contenders.map(({ drafter }) => drafter.budget))),
    ...lengths,
  ]);
  const decode = (prompt: number, contender: number) =>
    record(speculate(target, prompts[prompt], {
      drafter: contenders[contender].drafter,
      maxTokens,
      signal,
    }));
  for (const [c, { drafter }] of contenders.entries()) {
    await drafter.prepare(lengths);
    await decode(0, c);
  }
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (let prompt = 0; prompt < prompts.length; prompt++) {
      for (let turn = 0; turn < n; turn++) {
        const contender = (repetition + prompt + turn) % n;
        const generation = await decode(prompt, contender);
        if (signal?.aborted) return;
        yield { contender, prompt, repetition, generation };
      }
    }
  }
}

/** What came of a contender. */
export interface Standing {
  name: string;
  tau: number;
  tokensPerSecond: number;
  /** Tokens a second over those of the fastest fixed tree, with the 95 % interval over prompts. */
  ratio: number;
  low: number;
  high: number;
  /** Milliseconds of a round. */
  parts: ReturnType<typeof timeSplit>;
}

/** Tokens and milliseconds of a prompt: the median of its repetitions. */
interface Run {
  tokens: number;
  ms: number;
}

const speed = (runs: readonly Run[]) =>
  1000 * runs.reduce((sum, r) => sum + r.tokens, 0) / runs.reduce((sum, r) => sum + r.ms, 0);

/**
 * Speeds, prefill excluded, in the order of `names`. The best is chosen among `fixed` by the same times that it is
 * then compared by, so luck is on its side.
 * @throws when a contender has not decoded every prompt, or none is fixed.
 */
export function standings(
  decoded: readonly Decoded[],
  { names, fixed }: { names: readonly string[]; fixed: (name: string) => boolean },
): { rows: Standing[]; best: string } {
  const prompts = 1 + Math.max(-1, ...decoded.map((d) => d.prompt));
  const runs = names.map((name, contender) =>
    Array.from({ length: prompts }, (_, prompt): Run => {
      const own = decoded.filter((d) => d.contender === contender && d.prompt === prompt);
      if (own.length === 0) {
        throw new Error(`Cannot compare: ${name} has not decoded prompt ${prompt + 1}`);
      }
      // The first token comes from prefill.
      const tokens = own[0].generation.tokens.length - 1;
      return { tokens, ms: median(own.map((d) => d.generation.decodeMs)) };
    })
  );
  const speeds = runs.map(speed), candidates = [...names.keys()].filter((i) => fixed(names[i]));
  if (candidates.length === 0) throw new Error("Cannot compare with the best of no fixed trees");
  const best = candidates.reduce((a, b) => speeds[b] > speeds[a] ? b : a);
  const rows = names.map((name, i): Standing => {
    const pairs = runs[i].map((run, prompt) => [run, runs[best][prompt]] as const);
    const ratio = (drawn: typeof pairs) =>
      speed(drawn.map(([own]) => own)) / speed(drawn.map(([, other]) => other));
    const own = decoded.filter((d) => d.contender === i).map((d) => d.generation);
    return {
      name,
      tau: tau(own).value,
      tokensPerSecond: speeds[i],
      ratio: ratio(pairs),
      ...bootstrap(pairs, (drawn) => ratio([...drawn])),
      parts: timeSplit(own),
    };
  });
  return { rows, best: names[best] };
}
