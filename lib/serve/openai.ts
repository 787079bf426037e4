/**
 * The answer in the shapes of OpenAI's chat completions, whole or in chunks, with `usage` and a block of numbers of
 * speculation. Pure functions and one generator over a reply's events; no HTTP. What is asked: `requests.ts`.
 */
import type { EndReason } from "../report/events.ts";
import { comment, data } from "./event_stream.ts";
import type { PlaceEvent } from "./desk.ts";
import type { ReplyEvent, ReplyRequest } from "./reply.ts";
import { RequestError } from "./requests.ts";
import { StopText } from "./stop_text.ts";

/** Numbers of speculation; the first token, which the prompt's forward gave, is no round's. */
export interface SpeculationBlock {
  mode: string;
  tree: string | null;
  /** Tokens of rounds over rounds; null without a round. */
  tau: number | null;
  rounds: number;
  drafted: number;
  accepted: number;
  prefill_ms: number;
  draft_ms: number;
  verify_ms: number;
  host_ms: number;
}

export interface Usage {
  prompt_tokens: number;
  /** The end token counts. */
  completion_tokens: number;
  total_tokens: number;
}

/** Adds up a reply. */
export class Tally {
  tokens = 0;
  reason: EndReason | undefined;
  #request: ReplyRequest;
  #sums = { rounds: 0, emitted: 0, drafted: 0, accepted: 0 };
  #ms = { prefill: 0, draft: 0, verify: 0, host: 0 };

  constructor(request: ReplyRequest) {
    this.#request = request;
  }

  take({ row }: ReplyEvent): void {
    const sums = this.#sums, ms = this.#ms;
    if (row.type === "end") {
      this.reason = row.reason;
      return;
    }
    this.tokens += row.tokens.length;
    if (row.type === "start") ms.prefill += row.prefillMs;
    else {
      sums.rounds++;
      sums.emitted += row.tokens.length;
      sums.drafted += row.drafted;
      sums.accepted += row.accepted;
      ms.draft += row.draftMs;
      ms.verify += row.verifyMs;
      ms.host += row.sampleMs + row.hostMs;
    }
  }

  get usage(): Usage {
    const prompt = this.#request.prompt.length, { tokens } = this;
    return {
      prompt_tokens: prompt,
      completion_tokens: tokens,
      total_tokens: prompt + tokens,
    };
  }

  get speculation(): SpeculationBlock {
    const { rounds, emitted, drafted, accepted } = this.#sums, { mode, tree } = this.#request;
    const ms = (value: number) => Number(value.toFixed(3));
    return {
      mode,
      tree: mode === "plain" ? null : tree,
      tau: rounds === 0 ? null : emitted / rounds,
      rounds,
      drafted,
      accepted,
      prefill_ms: ms(this.#ms.prefill),
      draft_ms: ms(this.#ms.draft),
      verify_ms: ms(this.#ms.verify),
      host_ms: ms(this.#ms.host),
    };
  }

  get finishReason(): "stop" | "length" {
    return this.reason === "length limit" || this.reason === "positions" ? "length" : "stop";
  }
}

/** What an answer says of itself, the same in each of its chunks. */
export interface Heading {
  id: string;
  created: number;
  model: string;
  system_fingerprint: string;
}

/** @param identity of the model's weights */
export function headingOf(model: string, identity: string): Heading {
  return {
    id: `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`,
    created: Math.floor(Date.now() / 1000),
    model,
    system_fingerprint: `fp_${identity.slice(0, 16)}`,
  };
}

type Events = AsyncIterable<PlaceEvent | ReplyEvent>;

/** The whole answer as one object; undefined when it was stopped before its end. */
export async function completion(
  events: Events,
  { heading, request }: { heading: Heading; request: ReplyRequest },
): Promise<Record<string, unknown> | undefined> {
  const tally = new Tally(request), text = new StopText(request.stop);
  let content = "";
  for await (const event of events) {
    if ("place" in event) continue;
    tally.take(event);
    content += text.push(event.pieces.join(""));
  }
  if (tally.reason === undefined || tally.reason === "abort") return undefined;
  content += text.flush();
  return {
    ...heading,
    object: "chat.completion",
    choices: [{
      index: 0,
      message: { role: "assistant", content, refusal: null },
      logprobs: null,
      finish_reason: tally.finishReason,
    }],
    usage: tally.usage,
    speculation: tally.speculation,
  };
}

/**
 * The answer as lines of server-sent events. The place in the line goes out as a comment, which clients skip; the
 * block of speculation stands in the chunk with the finish reason; `usage` comes last, if it was asked for.
 */
export async function* chunks(
  events: Events,
  { heading, request, includeUsage }: {
    heading: Heading;
    request: ReplyRequest;
    includeUsage: boolean;
  },
): AsyncGenerator<string> {
  const tally = new Tally(request), text = new StopText(request.stop);
  const chunk = (
    delta: Record<string, string>,
    { finish_reason = null, ...more }: {
      finish_reason?: string | null;
      speculation?: SpeculationBlock;
    } = {},
  ) =>
    data({
      ...heading,
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
      ...(includeUsage && { usage: null }),
      ...more,
    });
  try {
    let begun = false;
    for await (const event of events) {
      if ("place" in event) {
        yield comment(`place ${event.place}`);
        continue;
      }
      if (!begun) yield chunk({ role: "assistant", content: "" });
      begun = true;
      tally.take(event);
      const content = text.push(event.pieces.join(""));
      if (content !== "") yield chunk({ content });
    }
    if (tally.reason === undefined || tally.reason === "abort") return;
    const rest = text.flush();
    if (rest !== "") yield chunk({ content: rest });
    yield chunk({}, { finish_reason: tally.finishReason, speculation: tally.speculation });
    if (includeUsage) {
      const last = { ...heading, object: "chat.completion.chunk", choices: [] };
      yield data({ ...last, usage: tally.usage });
    }
    yield "data: [DONE]\n\n";
  } catch (cause) {
    yield data(errorBody(cause));
  }
}

/** An error in OpenAI's shape. */
export function errorBody(cause: unknown): { error: Record<string, string | null> } {
  const { status, param, code } = cause instanceof RequestError
    ? cause
    : { status: 500, param: null, code: null };
  const type = status === 429
    ? "rate_limit_error"
    : status >= 500
    ? "server_error"
    : "invalid_request_error";
  return { error: { message: messageOf(cause), type, param, code } };
}

/** What went wrong, without paths of this machine. */
function messageOf(cause: unknown): string {
  if (cause instanceof RequestError) return cause.message;
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.replaceAll(`${Deno.cwd()}/`, "");
}
