/**
 * Evaluation: every question decoded plainly and speculatively in one run, in turn, so that both meet the
 * same machine; an async generator of results. Summarised by `summary.ts`.
 */
import type { Suite } from "../data/suites.ts";
import {
  generate,
  type GenerateOptions,
  speculate,
  type SpeculateOptions,
} from "../decode/generate.ts";
import type { TargetDecoder } from "../decode/target.ts";
import { random } from "../random.ts";
import type { GenerationEvent } from "../report/events.ts";
import { encodePrompt } from "../text/chat.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Generation, PromptResult } from "./metrics.ts";

export interface EvaluateOptions extends Omit<SpeculateOptions, "random"> {
  tokenizer: Tokenizer;
  seed?: number;
}

/** Collects the events of a generation. */
export async function record(events: AsyncIterable<GenerationEvent>): Promise<Generation> {
  const out: Generation = { tokens: [], prefillMs: 0, decodeMs: 0, rounds: [] };
  for await (const event of events) {
    if (event.type === "end") break;
    out.tokens.push(...event.tokens);
    if (event.type === "prefill") out.prefillMs = event.ms;
    else {
      const { type: _, tokens, ...rest } = event;
      out.rounds.push({ emitted: tokens.length, ...rest });
      out.decodeMs += event.draftMs + event.verifyMs + event.hostMs;
    }
  }
  return out;
}

/** Runs a suite. One prompt is decoded beforehand, unrecorded, so that nothing is compiled in the measurement. */
export async function* evaluate(
  target: TargetDecoder,
  suite: Suite,
  options: EvaluateOptions,
): AsyncGenerator<PromptResult> {
  const { tokenizer, draft, tree, minimumScore, seed = 0, signal, sampling, maxTokens } = options;
  const settings = (id: string, kind: string): GenerateOptions => ({
    sampling,
    maxTokens,
    signal,
    random: random(seed, kind, id),
  });
  let warm = false;
  for (const { id, category, text } of suite.questions) {
    if (signal?.aborted) return;
    const prompt = encodePrompt(tokenizer, [{ role: "user", content: text }]);
    const plainly = () => record(generate(target, prompt, settings(id, "plain")));
    const speculatively = () =>
      record(speculate(target, prompt, {
        ...settings(id, "speculative"),
        draft,
        tree,
        minimumScore,
      }));
    if (!warm) {
      await plainly();
      await speculatively();
      warm = true;
    }
    const plain = await plainly(), speculative = await speculatively();
    if (signal?.aborted) return;
    yield { id, category, promptTokens: prompt.length, plain, speculative };
  }
}
