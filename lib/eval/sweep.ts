/**
 * Every size of a dynamic tree, simulated: what `simulate.ts` finds for one size after the other, for all sizes of a
 * width at once. Nodes expanded depend on the width alone and a smaller budget keeps the first of a larger one's
 * nodes, so one deepest tree a root and width tells what every depth, budget and minimum score accepts.
 */
import { dynamicGrowth, type TreeShape } from "../decode/growth.ts";
import { costOf, type Costs } from "../decode/pricing.ts";
import type { Candidates } from "../decode/tree.ts";
import type { RecordedPrompt, Recording } from "./recording.ts";
import { growRecorded } from "./simulate.ts";

/** Sizes to try, all with all. */
export interface SweepGrid {
  depths: readonly number[];
  widths: readonly number[];
  budgets: readonly number[];
  minimumScores: readonly number[];
}

/** A size and what decoding with it would give. */
export interface SweepRow extends TreeShape {
  minimumScore: number;
  emitted: number;
  forwards: number;
  tau: number;
  ms: number;
  tokensPerSecond: number;
  /** Nodes to be expanded, at any root with this width, that the recording does not hold. */
  missed: number;
}

/** What the deepest tree of a width tells of one root. Arrays over depths d have d - 1 first. */
interface Root {
  /** Of candidates to depth d, how many come before the true path's node of each depth. */
  ranks: number[][];
  /** Scores of the true path's nodes, depth after depth. */
  path: number[];
  /** The best score at exactly depth d. */
  best: number[];
  /** Candidates to depth d with each minimum score. */
  counts: Map<number, number[]>;
  /** Milliseconds of all expansions that depth d needs. */
  expandMs: number[];
}

/** The candidates of the true path, depth after depth, as far as it was drafted. */
function truePath({ tokens, parents }: Candidates, following: Int32Array): number[] {
  const path: number[] = [];
  for (let c = 0, parent = -1; c < tokens.length; c++) {
    if (parents[c] === parent && tokens[c] === following[path.length]) path.push(parent = c);
  }
  return path;
}

/** Running sums of a count at each depth. */
function cumulative({ depths }: Candidates, depth: number, counts: (c: number) => boolean) {
  const sums = new Array<number>(depth).fill(0);
  depths.forEach((d, c) => counts(c) && sums[d - 1]++);
  for (let d = 1; d < depth; d++) sums[d] += sums[d - 1];
  return sums;
}

function readRoot(
  candidates: Candidates,
  { depth, following, minimumScores, expandMs }: {
    depth: number;
    following: Int32Array;
    minimumScores: readonly number[];
    expandMs: number[];
  },
): Root {
  const { scores, depths } = candidates, path = truePath(candidates, following);
  const byNode = path.map((node) =>
    cumulative(
      candidates,
      depth,
      (c) => scores[c] > scores[node] || (scores[c] === scores[node] && c < node),
    )
  );
  const best = new Array<number>(depth).fill(-Infinity);
  depths.forEach((d, c) => best[d - 1] = Math.max(best[d - 1], scores[c]));
  return {
    ranks: Array.from({ length: depth }, (_, d) => byNode.map((before) => before[d])),
    path: path.map((node) => scores[node]),
    best,
    counts: new Map(minimumScores.map((least) => [
      least,
      cumulative(candidates, depth, (c) => scores[c] >= least),
    ])),
    expandMs,
  };
}

/** Levels that are drafted: a level whose best score is too low is the last. */
function levels({ best }: Root, { depth, minimumScore }: { depth: number; minimumScore: number }) {
  const last = best.findIndex((score) => score < minimumScore);
  return last < 0 ? depth : Math.min(depth, last + 1);
}

/** Decodes one prompt with one size. */
function walk(
  { promptTokens, emitted: end }: RecordedPrompt,
  { roots, shape: { depth, budget, minimumScore }, costs }: {
    roots: readonly Root[];
    shape: TreeShape & { minimumScore: number };
    costs: Costs;
  },
): { emitted: number; forwards: number; ms: number } {
  let emitted = 0, forwards = 0, ms = 0;
  for (let at = 0, read = promptTokens; at < end - 1;) {
    const root = roots[at], drafted = levels(root, { depth, minimumScore }) - 1;
    const ranks = root.ranks[drafted];
    let accepted = 0;
    while (
      accepted <= drafted && accepted < root.path.length && ranks[accepted] < budget - 1 &&
      // The best candidate is kept whatever its score.
      (ranks[accepted] === 0 || root.path[accepted] >= minimumScore)
    ) accepted++;
    const kept = Math.min(budget - 1, Math.max(1, root.counts.get(minimumScore)![drafted]));
    ms += costOf(costs.read, read) + root.expandMs[drafted] + costOf(costs.verify, kept + 1) +
      costs.host;
    forwards++;
    const step = Math.min(accepted + 1, end - 1 - at);
    emitted += step;
    at += step;
    read = accepted + 1;
  }
  return { emitted, forwards, ms };
}

/** Yields a row for every size, width after width. Costs price the rounds. */
export function* sweep(
  { prompts, branching }: Recording,
  { grid: { depths, widths, budgets, minimumScores }, costs }: { grid: SweepGrid; costs: Costs },
): Generator<SweepRow> {
  const deepest = Math.max(...depths);
  for (const width of widths) {
    let candidates: Candidates | undefined, missed = 0;
    const growth = {
      ...dynamicGrowth({ depth: deepest, width, budget: 2 }),
      keep: (all: Candidates) => {
        candidates = all;
        return [];
      },
    };
    const roots = prompts.map(({ trees, text }) =>
      trees.map((recorded, at): Root => {
        const grown = growRecorded(recorded, { root: text[at], growth, branching });
        missed += grown.missed;
        const expandMs = [0], { expanded } = grown.grown;
        for (let d = 1; d < deepest; d++) {
          expandMs.push(
            expandMs[d - 1] + (d <= expanded.length ? costOf(costs.expand, expanded[d - 1]) : 0),
          );
        }
        const following = text.subarray(at + 1);
        return readRoot(candidates!, { depth: deepest, following, minimumScores, expandMs });
      })
    );
    for (const depth of depths) {
      for (const budget of budgets) {
        for (const minimumScore of minimumScores) {
          const shape = { depth, width, budget, minimumScore };
          let emitted = 0, forwards = 0, ms = 0;
          for (const [i, prompt] of prompts.entries()) {
            const walked = walk(prompt, { roots: roots[i], shape, costs });
            emitted += walked.emitted;
            forwards += walked.forwards;
            ms += walked.ms;
          }
          const tau = emitted / forwards, tokensPerSecond = 1000 * emitted / ms;
          yield { ...shape, emitted, forwards, tau, ms, tokensPerSecond, missed };
        }
      }
    }
  }
}
