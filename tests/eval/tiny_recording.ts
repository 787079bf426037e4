/** A tiny random target, a draft of it, and a recording of both for tests of what is read from recordings. Holds no test. */
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import type { Growth } from "../../lib/decode/tree.ts";
import { recordDrafts, type Recording } from "../../lib/eval/recording.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import type { Draft } from "../../lib/model/load.ts";
import { random } from "../../lib/random.ts";
import { tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";

/** Few tokens, so that a random draft is sometimes right. */
export const VOCABULARY = 6;

export interface TinyPair extends Disposable {
  backend: Backend;
  target: TargetDecoder;
  draft: Draft;
  prompts: { id: string; ids: Int32Array }[];
  record(growths: readonly Growth[], maxTokens?: number): Promise<Recording>;
}

export async function tinyPair(
  { eos = [], ...changes }: Partial<DraftConfig> & { eos?: number[] } = {},
): Promise<TinyPair> {
  const backend = await openOnnxBackend({ threads: 1 });
  const loaded = tinyTarget(backend, { vocabulary: VOCABULARY, seed: 5, eos });
  const target = new TargetDecoder(loaded, { backend, taps: changes.taps });
  const draft = tinyDraft(tinyDraftConfig(loaded.config, changes));
  const prompts = [3, 17, 66].map((length) => {
    const from = random(21, "prompt", length);
    return {
      id: `p${length}`,
      ids: Int32Array.from({ length }, () => from.integer(VOCABULARY)),
    };
  });
  return {
    backend,
    target,
    draft,
    prompts,
    async record(growths, maxTokens = 24) {
      // In 8 bits the answers depend, in their last digits, on how many rows are forwarded at once.
      const options = { draft, backend, growths, maxTokens, bits: 32 as const };
      return {
        branching: Math.max(...growths.map((g) => g.branching)),
        depth: Math.max(...growths.map((g) => g.depth)),
        prompts: await Array.fromAsync(recordDrafts(target, prompts, options)),
      };
    },
    [Symbol.dispose]() {
      target[Symbol.dispose]();
      backend[Symbol.dispose]();
    },
  };
}

/** Made-up costs, rising, that tell every part of a round from every other. */
export const COSTS = {
  read: [[1, 1.1], [2, 1.3], [4, 1.7], [64, 9]],
  expand: [[1, 0.31], [2, 0.37], [4, 0.53], [6, 0.71]],
  verify: [[1, 5.1], [2, 5.3], [4, 5.9], [8, 7.3], [16, 9.7], [64, 31]],
  host: 0.03,
} as const;
