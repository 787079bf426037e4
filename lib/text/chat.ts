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

function render(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  { addGenerationPrompt }: { addGenerationPrompt: boolean },
): string {
  if (tokenizer.chatTemplate === undefined) {
    throw new Error(`Cannot render a chat: ${tokenizer.folder} has no chat_template`);
  }
  return new Template(tokenizer.chatTemplate).render({
    messages,
    add_generation_prompt: addGenerationPrompt,
    bos_token: tokenizer.bosToken ?? "",
    eos_token: tokenizer.eosToken ?? "",
  });
}

/** Ids of a conversation up to where the model's reply begins. */
export function encodePrompt(tokenizer: Tokenizer, messages: readonly Message[]): Int32Array {
  return tokenizer.encode(render(tokenizer, messages, { addGenerationPrompt: true }));
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
 * Ids and loss mask of a whole conversation.
 * @throws when the template's renderings of a growing conversation do not extend each other.
 */
export function encodeConversation(
  tokenizer: Tokenizer,
  messages: readonly Message[],
): { ids: Int32Array; mask: Uint8Array; replies: Reply[] } {
  const replies: Reply[] = [];
  let ids = new Int32Array(0);
  messages.forEach(({ role }, i) => {
    const after = tokenizer.encode(
      render(tokenizer, messages.slice(0, i + 1), { addGenerationPrompt: false }),
    );
    if (role === "assistant") {
      const prompt = encodePrompt(tokenizer, messages.slice(0, i));
      checkExtends(tokenizer, prompt, { by: after, turn: i });
      replies.push({ start: prompt.length, end: endOfTurn(tokenizer, after) });
    } else checkExtends(tokenizer, ids, { by: after, turn: i });
    ids = Int32Array.from(after);
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
function endOfTurn({ eosToken, encode }: Tokenizer, ids: Int32Array): number {
  const [eos] = eosToken === undefined ? [] : encode(eosToken);
  const at = eos === undefined ? -1 : ids.lastIndexOf(eos);
  return at < 0 ? ids.length : at + 1;
}
