/**
 * The tokenizer of a model folder, through npm:@huggingface/tokenizers: text to ids and back, special
 * tokens, the chat template's text. Rendering chats is `chat.ts`.
 */
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { modelFolder } from "../hub/model.ts";
import { readJson } from "../io/json.ts";

export interface Tokenizer {
  readonly folder: string;
  /** Ids that can occur: one more than the largest. */
  readonly vocabulary: number;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly chatTemplate: string | undefined;
  /** Ids of a text, special tokens in it recognised, none added. */
  encode(text: string): Int32Array;
  /** Text of ids; special tokens are left out unless asked for. */
  decode(ids: ArrayLike<number>, options?: { special?: boolean }): string;
}

/**
 * Loads `tokenizer.json` and `tokenizer_config.json` of a folder, or of `ORG/NAME[@REVISION]` of the hub.
 * @throws naming the file that is missing or unfit.
 */
export async function loadTokenizer(given: string): Promise<Tokenizer> {
  const folder = await modelFolder(given, { weights: false }),
    file = join(folder, "tokenizer.json");
  const json = await readJson(file), config = await readJson(join(folder, "tokenizer_config.json"));
  let inner: HuggingFaceTokenizer;
  try {
    inner = new HuggingFaceTokenizer(json as never, config as never);
  } catch (cause) {
    throw new Error(`Cannot use ${file}: ${(cause as Error).message}`, { cause });
  }
  const token = (key: string) => {
    const value = config[key] as string | { content: string } | null | undefined;
    return typeof value === "string" ? value : value?.content;
  };
  // Added tokens may stand in the model's vocabulary too (LLaMA-2), so they are not counted on top.
  let vocabulary = 0;
  for (const id of inner.get_vocab(true).values()) vocabulary = Math.max(vocabulary, id + 1);
  return {
    folder,
    vocabulary,
    bosToken: token("bos_token"),
    eosToken: token("eos_token"),
    chatTemplate: await readTemplate(folder) ?? templateOf(config.chat_template),
    encode: (text) => Int32Array.from(inner.encode(text, { add_special_tokens: false }).ids),
    decode: (ids, { special = false } = {}) =>
      // The library refuses an empty list.
      ids.length === 0 ? "" : inner.decode(Array.from(ids), { skip_special_tokens: !special }),
  };
}

/** The template that stands in a file of its own, as newer models have it; it goes before the configuration's. */
const readTemplate = (folder: string): Promise<string | undefined> =>
  readFile(join(folder, "chat_template.jinja"), "utf8").catch(() => undefined);

/** A chat template is a text, or one of several by name of which "default" is the one for plain chats. */
function templateOf(value: unknown): string | undefined {
  const named = Array.isArray(value) ? value as { name?: string; template?: string }[] : [];
  const text = named.length > 0 ? named.find(({ name }) => name === "default")?.template : value;
  return typeof text === "string" ? text : undefined;
}

/** Text of a growing run of ids. */
export interface StreamDecoder {
  /** Takes new ids; returns the text that can no longer change. */
  push(ids: ArrayLike<number>): string;
  /** The rest, with U+FFFD for bytes that never became a character. */
  flush(): string;
}

/** Ids before the newest that are decoded again with them: what a token says may depend on those before it. */
const CONTEXT = 16;

/**
 * Decodes ids as they come, each in time that does not grow with the text. A character whose bytes are not complete
 * yet decodes to U+FFFD, so a U+FFFD at the end is held back until more is known. Wants a decoding that only grows:
 * tokenizers configured to tidy blanks afterwards (`clean_up_tokenization_spaces`) may take back a blank that has
 * been given out.
 */
export function streamDecoder(tokenizer: Pick<Tokenizer, "decode">): StreamDecoder {
  let ids: number[] = [], given = 0;
  const giveUpTo = (end: number, text: string) => {
    const fresh = text.slice(given, end);
    given += fresh.length;
    return fresh;
  };
  return {
    push(more) {
      ids = ids.concat(Array.from(more));
      const text = tokenizer.decode(ids);
      let end = text.length;
      while (text[end - 1] === "\uFFFD") end--;
      const fresh = giveUpTo(end, text);
      if (end === text.length && ids.length >= 2 * CONTEXT) {
        // Not in the midst of a character: some decoders then give up all bytes that follow.
        const context = ids.slice(-CONTEXT), before = tokenizer.decode(context);
        if (!before.includes("\uFFFD")) [ids, given] = [context, before.length];
      }
      return fresh;
    },
    flush() {
      const text = tokenizer.decode(ids), rest = giveUpTo(text.length, text);
      [ids, given] = [[], 0];
      return rest;
    },
  };
}
