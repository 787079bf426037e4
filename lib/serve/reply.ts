/**
 * One reply, as a stream of trace rows with the texts that a reader without a tokenizer needs: plainly, with
 * speculation, or both side by side, of which the one whose own clock is behind goes on. It waits in no line and
 * speaks no HTTP. Before it on the walk of a request: `desk.ts`; after it: `page_api.ts` or `openai.ts`.
 */
import { setImmediate } from "node:timers";
import { generate, speculate } from "../decode/generate.ts";
import type { Sampling } from "../decode/sample.ts";
import { sizesUpTo, type TargetDecoder } from "../decode/target.ts";
import { random } from "../random.ts";
import type { GenerationEvent } from "../report/events.ts";
import { type TraceRow, traceRow, type TraceSubject } from "../report/trace.ts";
import { streamDecoder, type Tokenizer } from "../text/tokenizer.ts";
import type { Drafters } from "./drafters.ts";

/** A model that replies. */
export interface ChatModel {
  /** As clients call it. */
  name: string;
  /** Folders as they were given, for traces. */
  folders: { target: string; draft: string };
  target: TargetDecoder;
  tokenizer: Tokenizer;
  drafters: Drafters;
}

export type Mode = "speculative" | "plain" | "both";
export type Side = Exclude<Mode, "both">;

/** What is asked of it, checked. */
export interface ReplyRequest {
  /** Ids up to where the reply begins. */
  prompt: Int32Array;
  mode: Mode;
  sampling: Sampling;
  seed: number;
  maxTokens: number;
  tree: string;
  stop: readonly string[];
  /** Rounds tell their trees. */
  trace: boolean;
}

/** An event of a reply. */
export interface ReplyEvent {
  side: Side;
  /** As in a trace's file; generation 0 is the first side. */
  row: TraceRow;
  /** The text that each token of the row adds, never half a character; joined they are the reply. */
  pieces: string[];
  /** Texts of the tree's tokens that have not occurred before in this reply, by id. */
  texts?: Record<number, string>;
  /** Time that this side has worked so far, prefill included. */
  ms: number;
}

/** Turns of the event loop after every round, and more of them after so many milliseconds. */
const TURNS = 16, MORE_TURNS = 48, MORE_AFTER_MS = 25;
let lastLong = 0;

/**
 * Lets the process do something else: rounds may not leave the thread. Answering a request takes some sixty turns of
 * the event loop and a turn some microseconds; with one a round a request would wait for as many rounds.
 */
async function breathe(): Promise<void> {
  const isLong = performance.now() - lastLong > MORE_AFTER_MS;
  for (let i = 0; i < (isLong ? MORE_TURNS : TURNS); i++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  if (isLong) lastLong = performance.now();
}

async function* oneSide(
  model: ChatModel,
  request: ReplyRequest,
  { side, generation, signal }: { side: Side; generation: number; signal?: AbortSignal },
): AsyncGenerator<ReplyEvent> {
  const { target, tokenizer, drafters, folders } = model;
  const { prompt, sampling, maxTokens, tree, stop, seed, trace } = request;
  const options = {
    sampling,
    maxTokens,
    signal,
    random: random(seed, side),
    stop: { strings: stop, decode: (ids: number[]) => tokenizer.decode(ids) },
  };
  let events: AsyncGenerator<GenerationEvent>;
  // Compiled before any clock runs.
  await target.prepare([1, prompt.length]);
  if (side === "plain") events = generate(target, prompt, options);
  else {
    const drafter = await drafters.of({ tree, temperature: sampling.temperature });
    target.checkTree(drafter.budget);
    await target.prepare(sizesUpTo(drafter.budget));
    await drafter.prepare([prompt.length]);
    events = speculate(target, prompt, { ...options, drafter, trace });
  }
  const subject: TraceSubject = {
    id: `chat-${side}`,
    category: "chat",
    prompt: [...prompt],
    settings: { ...folders, method: side, tree, ...sampling, seed, maxTokens },
  };
  const stream = streamDecoder(tokenizer), told = new Set<number>();
  let round = 0, ms = 0;
  for await (const event of events) {
    if (event.type === "round") round++;
    const row = traceRow(event, { generation, round, subject });
    const pieces = event.type === "end"
      ? [stream.flush()].filter((text) => text !== "")
      : event.tokens.map((id) => stream.push([id]));
    if (event.type === "prefill") ms += event.ms;
    if (event.type === "round") {
      ms += event.draftMs + event.verifyMs + event.sampleMs + event.hostMs;
    }
    const reply: ReplyEvent = { side, row, pieces, ms };
    if (event.type === "round" && event.trace !== undefined) {
      const { tokens, choices } = event.trace;
      const fresh = [...new Set([...tokens, ...choices, ...event.tokens])]
        .filter((id) => !told.has(id));
      fresh.forEach((id) => told.add(id));
      reply.texts = Object.fromEntries(
        fresh.map((id) => [id, tokenizer.decode([id], { special: true })]),
      );
    }
    yield reply;
    await breathe();
  }
}

/**
 * Replies. Stops within a round once the signal is aborted, and frees what it holds when it ends or is returned.
 * @throws when a setting does not fit the model.
 */
export async function* reply(
  model: ChatModel,
  request: ReplyRequest,
  { signal }: { signal?: AbortSignal } = {},
): AsyncGenerator<ReplyEvent> {
  const sides: Side[] = request.mode === "both" ? ["plain", "speculative"] : [request.mode];
  const running = sides.map((side, generation) => ({
    events: oneSide(model, request, { side, generation, signal }),
    ms: 0,
  }));
  const open = new Set(running);
  try {
    while (open.size > 0) {
      const next = [...open].reduce((a, b) => b.ms < a.ms ? b : a);
      const { value, done } = await next.events.next();
      if (done) open.delete(next);
      else {
        next.ms = value.ms;
        yield value;
      }
    }
  } finally {
    for (const { events } of running) await events.return(undefined);
  }
}
