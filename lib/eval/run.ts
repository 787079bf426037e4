/**
 * Evaluation: every question decoded plainly and speculatively in one run, in turn, so that both meet the
 * same machine; an async generator of results. Summarised by `summary.ts`.
 */
import type { Suite } from "../data/suites.ts";
import { generate, speculate, type SpeculateOptions } from "../decode/generate.ts";
import type { ResidentDecoder } from "../decode/resident_decoder.ts";
import type { GenerateOptions } from "../decode/sequence.ts";
import { sizesUpTo, type TargetDecoder } from "../decode/target.ts";
import type { Target } from "../model/load.ts";
import { random } from "../random.ts";
import type { GenerationEvent } from "../report/events.ts";
import { encodePrompt } from "../text/chat.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Generation, PromptResult } from "./metrics.ts";

/** Decoders whose rounds run on the device without waiting for the host, in place of the drafter's. */
export interface ResidentDecoders {
  plain: ResidentDecoder;
  speculative: ResidentDecoder;
}

export interface EvaluateOptions extends Omit<SpeculateOptions, "random"> {
  tokenizer: Tokenizer;
  resident?: ResidentDecoders;
  seed?: number;
  /** Sees the events of each speculative generation on their way, as a writer of traces does. */
  watch?: (
    events: AsyncIterable<GenerationEvent>,
    question: { id: string; category: string; prompt: Int32Array },
  ) => AsyncIterable<GenerationEvent>;
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
      out.decodeMs += event.draftMs + event.verifyMs + event.sampleMs + event.hostMs;
    }
  }
  return out;
}

/** The prompts of a suite. @throws naming the first that does not fit, before any is decoded. */
function encodeSuite(
  { name, questions }: Suite,
  { tokenizer, target: { folder, config } }: { tokenizer: Tokenizer; target: Target },
) {
  return questions.map(({ id, category, text }) => {
    const prompt = encodePrompt(tokenizer, [{ role: "user", content: text }]);
    if (prompt.length >= config.positions) {
      throw new Error(
        `Cannot ask question ${id} of suite ${name}: it has ${prompt.length} tokens, ` +
          `${folder} knows ${config.positions} positions`,
      );
    }
    return { id, category, prompt };
  });
}

/**
 * Runs a suite. Beforehand everything is compiled and one prompt decoded, unrecorded, so that the measurement
 * waits for neither.
 * @throws when a question is longer than the target's positions, or settings are out of range.
 */
export async function* evaluate(
  target: TargetDecoder,
  suite: Suite,
  options: EvaluateOptions,
): AsyncGenerator<PromptResult> {
  const { tokenizer, drafter, seed = 0, trace, watch = (events) => events, resident, ...rest } =
    options;
  const settings = (id: string, kind: string): GenerateOptions => ({
    ...rest,
    random: random(seed, kind, id),
  });
  const questions = encodeSuite(suite, { tokenizer, target: target.target });
  const lengths = questions.map(({ prompt }) => prompt.length);
  target.checkTree(drafter.budget);
  if (resident !== undefined) {
    for (const decoder of Object.values(resident)) await decoder.prepare(lengths);
  } else {
    // A round verifies a tree of any size up to the budget.
    await target.prepare([...sizesUpTo(drafter.budget), ...lengths]);
    await drafter.prepare(lengths);
  }
  let warm = false;
  for (const { id, category, prompt } of questions) {
    if (rest.signal?.aborted) return;
    const plainly = () => {
      const own = settings(id, "plain");
      return record(resident?.plain.generate(prompt, own) ?? generate(target, prompt, own));
    };
    const speculatively = () => {
      // There a number decides the token at its place: with the same numbers both texts are one.
      if (resident !== undefined) {
        return resident.speculative.generate(prompt, settings(id, "plain"));
      }
      const own = { ...settings(id, "speculative"), drafter, trace };
      return speculate(target, prompt, own);
    };
    if (!warm) {
      await plainly();
      await record(speculatively());
      warm = true;
    }
    const plain = await plainly();
    const speculative = await record(watch(speculatively(), { id, category, prompt }));
    if (rest.signal?.aborted) return;
    yield { id, category, promptTokens: prompt.length, plain, speculative };
  }
}
