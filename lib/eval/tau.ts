/**
 * The acceptance length of a draft by really decoding: greedy, speculative only, on prompts given as ids. What
 * training validates with and methods are compared by; whole suites with speedups are `run.ts`.
 */
import type { Backend } from "../backend/backend.ts";
import type { StoredExamples } from "../data/features.ts";
import { speculate } from "../decode/generate.ts";
import { dynamicGrowth, type TreeShape } from "../decode/growth.ts";
import { TargetDecoder } from "../decode/target.ts";
import { TreeDrafter } from "../decode/tree_drafter.ts";
import type { Draft, Target } from "../model/load.ts";
import type { TauEstimate } from "../report/events.ts";
import { type Generation, tau } from "./metrics.ts";
import { record } from "./run.ts";
import { bootstrap } from "./stats.ts";

/** How drafts are decoded with. */
export interface TauOptions {
  target: Target;
  backend: Backend;
  /** Token ids of each prompt. */
  prompts: readonly Int32Array[];
  tree: TreeShape;
  minimumScore?: number;
  /** New tokens at most. */
  maxTokens?: number;
  signal?: AbortSignal;
}

/** Prompts of training examples: everything up to the first trained row, which is their last token. */
export function promptsOf(
  examples: Pick<StoredExamples, "count" | "readText">,
  { count }: { count: number },
): Int32Array[] {
  return Array.from({ length: Math.min(count, examples.count) }, (_, i) => {
    const { ids, mask } = examples.readText(i);
    return ids.slice(0, mask.indexOf(1) + 1);
  });
}

/** Decodes every prompt; yields its record. */
export async function* decodePrompts(
  draft: Draft,
  options: TauOptions,
): AsyncGenerator<Generation> {
  const { target, backend, prompts, tree, minimumScore, maxTokens = 128, signal } = options;
  using decoder = new TargetDecoder(target, { backend, taps: draft.config.taps });
  const growth = dynamicGrowth(tree, { minimumScore });
  using drafter = new TreeDrafter(draft, { backend, target, growth });
  for (const prompt of prompts) {
    if (signal?.aborted) return;
    yield await record(speculate(decoder, prompt, { drafter, maxTokens, signal }));
  }
}

/** tau with its interval over prompts. @throws when nothing was generated after prefill. */
export function estimateTau(generations: readonly Generation[]): TauEstimate {
  const { value, numerator, denominator } = tau(generations);
  if (denominator === 0) {
    throw new Error(
      `Cannot estimate tau from ${generations.length} generations without a target forward after prefill`,
    );
  }
  const { low, high } = bootstrap(generations, (drawn) => tau(drawn).value);
  const counts = generations.map((g): [number, number] => {
    const own = tau([g]);
    return [own.numerator, own.denominator];
  });
  return { value, low, high, emitted: numerator, forwards: denominator, counts };
}
