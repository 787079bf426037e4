/**
 * The tokenizer of a model folder, through npm:@huggingface/tokenizers: text to ids and back, special
 * tokens, the chat template's text. Rendering chats is `chat.ts`.
 */
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { join } from "node:path";
import { readJson } from "../io/json.ts";

export interface Tokenizer {
  readonly folder: string;
  readonly vocabulary: number;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly chatTemplate: string | undefined;
  /** Ids of a text, special tokens in it recognised, none added. */
  encode(text: string): Int32Array;
  /** Text of ids; special tokens are left out unless asked for. */
  decode(ids: ArrayLike<number>, options?: { special?: boolean }): string;
}

/** Loads `tokenizer.json` and `tokenizer_config.json`. @throws naming the file that is missing or unfit. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const file = join(folder, "tokenizer.json");
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
  const model = json.model as { vocab?: Record<string, number> } | undefined;
  const added = (json.added_tokens ?? []) as unknown[];
  return {
    folder,
    vocabulary: Object.keys(model?.vocab ?? {}).length + added.length,
    bosToken: token("bos_token"),
    eosToken: token("eos_token"),
    chatTemplate: typeof config.chat_template === "string" ? config.chat_template : undefined,
    encode: (text) => Int32Array.from(inner.encode(text, { add_special_tokens: false }).ids),
    decode: (ids, { special = false } = {}) =>
      // The library refuses an empty list.
      ids.length === 0 ? "" : inner.decode(Array.from(ids), { skip_special_tokens: !special }),
  };
}
