/**
 * Evaluation: every question decoded plainly and speculatively in one run, in turn, so that both meet the
 * same machine; an async generator of results. A question of several turns is a conversation as FastChat holds it: each
 * answer is put into it and the next turn asked, plainly and speculatively each with its own answers. Summarised by
 * `summary.ts`.
 */
import { askedIn, type Question, type Suite } from "../data/suites.ts";
import { generate, speculate, type SpeculateOptions } from "../decode/generate.ts";
import type { ResidentDecoder } from "../decode/resident_decoder.ts";
import type { GenerateOptions } from "../decode/sequence.ts";
import { sizesUpTo, type TargetDecoder } from "../decode/target.ts";
import type { Target } from "../model/load.ts";
import { random } from "../random.ts";
import type { GenerationEvent } from "../report/events.ts";
import { encodePrompt, type Message } from "../text/chat.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type Generation, joinTurns, type PromptResult } from "./metrics.ts";

/** Decoders whose rounds run on the device without waiting for the host, in place of the drafter's. */
export interface ResidentDecoders {
  plain: ResidentDecoder;
  speculative: ResidentDecoder;
}

export interface EvaluateOptions extends Omit<SpeculateOptions, "random"> {
  tokenizer: Tokenizer;
  resident?: ResidentDecoders;
  seed?: number;
  /** What conversations open with. */
  system?: string;
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

/** What is common to all conversations of a run. */
interface Room {
  tokenizer: Tokenizer;
  target: Target;
  system: string | undefined;
}

const opening = ({ system }: Room): Message[] =>
  system === undefined ? [] : [{ role: "system", content: system }];

/** Tokens of the first prompts of a suite. @throws naming the first that does not fit, before any is decoded. */
function promptLengths({ name, questions }: Suite, room: Room): number[] {
  const { tokenizer, target: { folder, config } } = room;
  return questions.map(({ id, text }) => {
    const { length } = encodePrompt(tokenizer, [...opening(room), { role: "user", content: text }]);
    if (length >= config.positions) {
      throw new Error(
        `Cannot ask question ${id} of suite ${name}: it has ${length} tokens, ` +
          `${folder} knows ${config.positions} positions`,
      );
    }
    return length;
  });
}

/**
 * Holds a conversation; `answer` decodes one turn. A later turn for which no position is left is not asked. Returns
 * nothing after an abort.
 */
async function converse(
  question: Question,
  room: Room,
  { answer, signal }: {
    answer: (prompt: Int32Array, turn: number) => Promise<Generation>;
    signal?: AbortSignal;
  },
): Promise<Generation | undefined> {
  const messages = opening(room), done: Generation[] = [], { tokenizer, target } = room;
  for (const [turn, content] of askedIn(question).entries()) {
    messages.push({ role: "user", content });
    const prompt = encodePrompt(tokenizer, messages);
    if (turn > 0 && prompt.length >= target.config.positions) break;
    const generation = await answer(prompt, turn);
    if (signal?.aborted) return undefined;
    done.push(generation);
    messages.push({ role: "assistant", content: answerText(generation, tokenizer) });
  }
  return joinTurns(done);
}

/** The text of a generation of one turn as it stands in a conversation: no special tokens, no blanks around it. */
export function answerText({ tokens }: Generation, tokenizer: Pick<Tokenizer, "decode">): string {
  return tokenizer.decode(tokens).trim();
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
  const { tokenizer, drafter, seed = 0, system, trace, resident, ...others } = options;
  const { watch = (events) => events, ...rest } = others;
  const room: Room = { tokenizer, target: target.target, system }, { signal } = rest;
  // The first turn's numbers are those of a question of one turn.
  const settings = (kind: string, id: string, turn: number): GenerateOptions => ({
    ...rest,
    random: turn === 0 ? random(seed, kind, id) : random(seed, kind, id, turn),
  });
  const lengths = promptLengths(suite, room);
  target.checkTree(drafter.budget);
  // How long a conversation gets is not known beforehand: any size of its last chunk may come.
  const later = suite.questions.some((q) => q.later !== undefined)
    ? Array.from({ length: target.largestTree + 1 }, (_, i) => i + 1)
    : [];
  const read = [...lengths, ...later];
  if (resident !== undefined) {
    for (const decoder of Object.values(resident)) await decoder.prepare(read);
  } else {
    // A round verifies a tree of any size up to the budget.
    await target.prepare([...sizesUpTo(drafter.budget), ...read]);
    await drafter.prepare(read);
  }
  let warm = false;
  for (const [i, question] of suite.questions.entries()) {
    if (signal?.aborted) return;
    const { id, category } = question;
    const plainly = (prompt: Int32Array, turn: number) => {
      const own = settings("plain", id, turn);
      return record(resident?.plain.generate(prompt, own) ?? generate(target, prompt, own));
    };
    const speculatively = (prompt: Int32Array, turn: number) => {
      // There a number decides the token at its place: with the same numbers both texts are one.
      if (resident !== undefined) {
        return resident.speculative.generate(prompt, settings("plain", id, turn));
      }
      return speculate(target, prompt, { ...settings("speculative", id, turn), drafter, trace });
    };
    const watched = (prompt: Int32Array, turn: number) => {
      const name = turn === 0 ? id : `${id}, turn ${turn + 1}`;
      return record(watch(speculatively(prompt, turn), { id: name, category, prompt }));
    };
    if (!warm) {
      const first = { ...question, later: undefined };
      await converse(first, room, { answer: plainly, signal });
      const unwatched = (prompt: Int32Array) => record(speculatively(prompt, 0));
      await converse(first, room, { answer: unwatched, signal });
      warm = true;
    }
    const plain = await converse(question, room, { answer: plainly, signal });
    if (plain === undefined) return;
    const speculative = await converse(question, room, { answer: watched, signal });
    if (speculative === undefined) return;
    yield { id, category, promptTokens: lengths[i], plain, speculative };
  }
}
