/**
 * The body of a request as a `ReplyRequest`: every field read once, checked, and refused by name. The names are those
 * of OpenAI's chat completions; what it has not (`top_k`, `repetition_penalty`, `tree`, `speculation`, `mode`) is ours.
 * It answers nothing itself. Next on the walk of a request: `desk.ts`.
 */
import { checkSampling, type Sampling } from "../decode/sample.ts";
import { encodePrompt, type Message } from "../text/chat.ts";
import { readTree } from "./drafters.ts";
import type { ChatModel, Mode, ReplyRequest } from "./reply.ts";

/** A request that is refused: HTTP status, and the rest as OpenAI's errors have it. */
export class RequestError extends Error {
  readonly status: number;
  readonly param: string | null;
  readonly code: string | null;
  constructor(
    message: string,
    { status = 400, param = null, code = null }: {
      status?: number;
      param?: string | null;
      code?: string | null;
    } = {},
  ) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

/** What a request that leaves something out gets. */
export interface Defaults {
  sampling: Sampling;
  maxTokens: number;
  tree: string;
}

/** Limits that do not depend on the model. */
export const LIMITS = { messages: 512, stops: 4, stopLength: 128 };
/** Characters of a conversation a position at most: longer texts are refused before they are tokenised. */
const CHARACTERS_A_POSITION = 16;

const ROLES: Record<string, Message["role"]> = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
};

type Body = Record<string, unknown>;

const isObject = (v: unknown): v is Body =>
  typeof v === "object" && v !== null && !Array.isArray(v);

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function refuse(param: string, found: unknown, wanted: string): never {
  throw new RequestError(`Cannot use ${param}: found ${shown(found)}, wanted ${wanted}`, { param });
}

function number(
  body: Body,
  param: string,
  { fallback, least, most, whole = false }: {
    fallback: number;
    least: number;
    most: number;
    whole?: boolean;
  },
): number {
  const value = body[param] ?? fallback;
  const isRight = typeof value === "number" && value >= least && value <= most &&
    (!whole || Number.isInteger(value));
  if (!isRight) {
    refuse(param, value, `a ${whole ? "whole " : ""}number from ${least} to ${most}`);
  }
  return value;
}

function flag(body: Body, param: string, fallback: boolean): boolean {
  const value = body[param] ?? fallback;
  return typeof value === "boolean" ? value : refuse(param, value, "true or false");
}

/** The text of a message: a text, or parts of type text. */
function contentOf(content: unknown, param: string): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) refuse(param, content, "a text or a list of parts of type text");
  return content.map((part, i) => {
    const isText = isObject(part) && part.type === "text" && typeof part.text === "string";
    return isText ? part.text as string : refuse(`${param}.${i}`, part, "a part of type text");
  }).join("");
}

/** The conversation. @throws {@link RequestError} naming the message. */
export function readMessages(value: unknown): Message[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > LIMITS.messages) {
    const found = Array.isArray(value) ? `${value.length} messages` : value;
    refuse("messages", found, `a list of 1 to ${LIMITS.messages} messages`);
  }
  return value.map((message, i): Message => {
    const param = `messages.${i}`;
    if (!isObject(message)) refuse(param, message, "an object");
    const role = typeof message.role === "string" ? ROLES[message.role] : undefined;
    if (role === undefined || !Object.hasOwn(ROLES, message.role as string)) {
      refuse(`${param}.role`, message.role, Object.keys(ROLES).join(", "));
    }
    return { role, content: contentOf(message.content, `${param}.content`) };
  });
}

/** Fields of OpenAI's requests that change the answer and are not supported, and what is taken instead. */
const UNSUPPORTED: Record<string, { wanted: string; harmless: (value: unknown) => boolean }> = {
  n: { wanted: "1", harmless: (v) => v === 1 },
  logprobs: { wanted: "false", harmless: (v) => v === false },
  top_logprobs: { wanted: "nothing", harmless: (v) => v === 0 },
  presence_penalty: { wanted: "0; see repetition_penalty", harmless: (v) => v === 0 },
  frequency_penalty: { wanted: "0; see repetition_penalty", harmless: (v) => v === 0 },
  logit_bias: { wanted: "nothing", harmless: (v) => isObject(v) && Object.keys(v).length === 0 },
  tools: { wanted: "no tools", harmless: (v) => Array.isArray(v) && v.length === 0 },
  functions: { wanted: "no functions", harmless: (v) => Array.isArray(v) && v.length === 0 },
  response_format: { wanted: "type text", harmless: (v) => isObject(v) && v.type === "text" },
  audio: { wanted: "nothing", harmless: () => false },
  modalities: {
    wanted: '["text"]',
    harmless: (v) => Array.isArray(v) && v.every((m) => m === "text"),
  },
};

function checkSupported(body: Body): void {
  for (const [param, { wanted, harmless }] of Object.entries(UNSUPPORTED)) {
    const value = body[param];
    if (value === undefined || value === null || harmless(value)) continue;
    throw new RequestError(
      `Cannot use ${param}: found ${shown(value)}, which is not supported; wanted ${wanted}`,
      { param, code: "unsupported_parameter" },
    );
  }
}

function readStops(value: unknown): string[] {
  const stops = value === undefined || value === null ? [] : [value].flat();
  const isRight = stops.length <= LIMITS.stops &&
    stops.every((s) => typeof s === "string" && s !== "" && s.length <= LIMITS.stopLength);
  if (!isRight) {
    refuse(
      "stop",
      value,
      `up to ${LIMITS.stops} texts of 1 to ${LIMITS.stopLength} characters`,
    );
  }
  return stops as string[];
}

function readMode(body: Body): Mode {
  const mode = body.mode ?? (flag(body, "speculation", true) ? "speculative" : "plain");
  return mode === "speculative" || mode === "plain" || mode === "both"
    ? mode
    : refuse("mode", mode, "speculative, plain or both");
}

/** The conversation's ids. @throws {@link RequestError} when it is longer than the model's positions. */
export function encodeMessages(
  { tokenizer, target: { target: { config } } }: ChatModel,
  messages: readonly Message[],
): Int32Array {
  const { positions } = config, most = positions * CHARACTERS_A_POSITION;
  const characters = messages.reduce((n, m) => n + m.content.length, 0);
  const tooLong = (found: string) =>
    new RequestError(
      `Cannot answer: the conversation has ${found}, the model knows ${positions} positions`,
      { param: "messages", code: "context_length_exceeded" },
    );
  if (characters > most) throw tooLong(`${characters} characters`);
  let prompt: Int32Array;
  try {
    prompt = encodePrompt(tokenizer, messages);
  } catch (cause) {
    // Some chat templates refuse some orders of roles.
    throw new RequestError((cause as Error).message, { param: "messages" });
  }
  if (prompt.length >= positions) throw tooLong(`${prompt.length} tokens`);
  return prompt;
}

/**
 * Reads a request's body.
 * @throws {@link RequestError} naming the field, what was found and what was wanted.
 */
export function readRequest(
  body: unknown,
  { model, defaults }: { model: ChatModel; defaults: Defaults },
): ReplyRequest {
  if (!isObject(body)) {
    throw new RequestError(`Cannot read the request: found ${shown(body)}, wanted a JSON object`);
  }
  checkSupported(body);
  const { positions } = model.target.target.config, { sampling: usual } = defaults;
  const sampling: Sampling = {
    temperature: number(body, "temperature", { fallback: usual.temperature, least: 0, most: 2 }),
    topP: number(body, "top_p", { fallback: usual.topP, least: 0, most: 1 }),
    topK: number(body, "top_k", { fallback: usual.topK, least: 0, most: 1e6, whole: true }),
    repetitionPenalty: number(body, "repetition_penalty", {
      fallback: usual.repetitionPenalty ?? 1,
      least: 0.1,
      most: 10,
    }),
  };
  // OpenAI's clients may send 0 for "the most likely token only".
  if (sampling.topP === 0) sampling.topP = Number.MIN_VALUE;
  checkSampling(sampling);
  const length = body.max_completion_tokens === undefined || body.max_completion_tokens === null
    ? "max_tokens"
    : "max_completion_tokens";
  const tree = body.tree ?? defaults.tree;
  if (typeof tree !== "string") refuse("tree", tree, "auto or NODES/DEPTH/WIDTH");
  try {
    readTree(tree);
  } catch (cause) {
    throw new RequestError(`Cannot use tree: ${(cause as Error).message}`, { param: "tree" });
  }
  const anySeed = () => crypto.getRandomValues(new Uint32Array(1))[0];
  return {
    mode: readMode(body),
    sampling,
    maxTokens: number(body, length, {
      fallback: Math.min(defaults.maxTokens, positions),
      least: 1,
      most: 1e6,
      whole: true,
    }),
    seed: number(body, "seed", {
      fallback: anySeed(),
      least: Number.MIN_SAFE_INTEGER,
      most: Number.MAX_SAFE_INTEGER,
      whole: true,
    }),
    tree,
    stop: readStops(body.stop),
    trace: flag(body, "trace", false),
    prompt: encodeMessages(model, readMessages(body.messages)),
  };
}
