/**
 * Conversations as ids with a loss mask, by rendering the chat template turn by turn: what a turn adds to
 * the rendering is that turn, in any template whose renderings extend each other. A template for which
 * that does not hold is refused. Rows: griffin.md section 3, `lib/train/batches.ts`.
 */
import { Template } from "@huggingface/jinja";
import type { Tokenizer } from "./tokenizer.ts";

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

/**
 * The text of a conversation, by the tokenizer's chat template.
 * @throws when there is no template, or it refuses the conversation.
 */
export function renderChat(
  tokenizer: Pick<Tokenizer, "folder" | "chatTemplate" | "bosToken" | "eosToken">,
  messages: readonly Message[],
  { addGenerationPrompt }: { addGenerationPrompt: boolean },
): string {
  if (tokenizer.chatTemplate === undefined) {
    throw new Error(
      `Cannot render a chat: ${tokenizer.folder} has no chat_template in tokenizer_config.json, ` +
        `wanted one there or in chat_template.jinja`,
    );
  }
  try {
    return new Template(tokenizer.chatTemplate).render({
      messages,
      add_generation_prompt: addGenerationPrompt,
      bos_token: tokenizer.bosToken ?? "",
      eos_token: tokenizer.eosToken ?? "",
    });
  } catch (cause) {
    throw new Error(
      `Cannot render ${messages.length} messages with the chat template of ${tokenizer.folder}: ${
        (cause as Error).message
      }`,
      { cause },
    );
  }
}

/** Ids of a conversation up to where the model's reply begins. */
export function encodePrompt(tokenizer: Tokenizer, messages: readonly Message[]): Int32Array {
  return tokenizer.encode(renderChat(tokenizer, messages, { addGenerationPrompt: true }));
}

/** Reply tokens of one assistant turn: positions [start, end) of the ids, end-of-turn token included. */
export interface Reply {
  start: number;
  end: number;
}

/**
 * Loss mask of a conversation of `length` tokens. Row t reads (f_t, x_{t+1}) and predicts x_{t+2}, so the
 * trained rows of a reply at [start, end) are start - 1 (the last prompt token) to end - 3.
 */
export function lossMask(length: number, replies: readonly Reply[]): Uint8Array {
  const mask = new Uint8Array(length);
  for (const { start, end } of replies) mask.fill(1, Math.max(0, start - 1), Math.max(0, end - 2));
  if (length > 0) mask[length - 1] = 0;
  return mask;
}

/**
 * Checks a mask against what section 3 promises: of each reply at [start, end) rows start - 1 to end - 3 are
 * trained and no others, so no row predicts a header; the last row never; at least one row is.
 * @throws naming the first row that breaks the promise.
 */
export function checkMask(mask: Uint8Array, replies: readonly Reply[]): void {
  const refuse = (found: string) => new Error(`Cannot train on this loss mask: ${found}`);
  if (mask[mask.length - 1] === 1) throw refuse(`the last row, ${mask.length - 1}, is trained`);
  const wanted = lossMask(mask.length, replies);
  const at = mask.findIndex((m, t) => m !== wanted[t]);
  if (at >= 0) throw refuse(`row ${at} holds ${mask[at]}, wanted ${wanted[at]}`);
  if (!mask.includes(1)) throw refuse(`none of its ${mask.length} rows is trained`);
}

/**
 * Ids and loss mask of a whole conversation. Without a reply of two tokens or more the mask is empty.
 * @throws when the template's renderings of a growing conversation do not extend each other.
 */
export function encodeConversation(
  tokenizer: Tokenizer,
  messages: readonly Message[],
): { ids: Int32Array; mask: Uint8Array; replies: Reply[] } {
  const replies: Reply[] = [];
  let ids = new Int32Array(0);
  // Cut only where a reply begins and ends: some templates refuse a system turn that stands alone.
  messages.forEach(({ role }, i) => {
    if (role !== "assistant" && i < messages.length - 1) return;
    const after = Int32Array.from(tokenizer.encode(
      renderChat(tokenizer, messages.slice(0, i + 1), { addGenerationPrompt: false }),
    ));
    if (role === "assistant") {
      const prompt = encodePrompt(tokenizer, messages.slice(0, i));
      checkExtends(tokenizer, prompt, { by: after, turn: i });
      const { length: start } = prompt;
      replies.push({ start, end: endOfTurn(tokenizer, after, { start }) });
    }
    checkExtends(tokenizer, ids, { by: after, turn: i });
    ids = after;
  });
  return { ids, mask: lossMask(ids.length, replies), replies };
}

function checkExtends(
  { folder }: Tokenizer,
  shorter: Int32Array,
  { by, turn }: { by: Int32Array; turn: number },
): void {
  const at = shorter.findIndex((id, i) => id !== by[i]);
  if (at >= 0) {
    throw new Error(
      `Cannot mask conversations with the chat template of ${folder}: rendering turn ${turn} changes token ${at} of what came before`,
    );
  }
}

/** One past the end-of-turn token; template text after it (a newline, say) is not the model's to learn. */
function endOfTurn(
  { eosToken, encode }: Tokenizer,
  ids: Int32Array,
  { start }: { start: number },
): number {
  const [eos] = eosToken === undefined ? [] : encode(eosToken);
  const at = eos === undefined ? -1 : ids.lastIndexOf(eos);
  // One before the reply ended an earlier turn.
  return at < start ? ids.length : at + 1;
}
