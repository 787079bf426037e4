/**
 * Chat templates of models that are published without one, written from how their authors render conversations. A
 * model's own template always comes first; these are asked for by name.
 */
import { readFile } from "node:fs/promises";

/** By name. */
export const PUBLISHED_TEMPLATES: Readonly<Record<string, string>> = {
  /** Vicuna 1.1 to 1.5: FastChat's conversation `vicuna_v1.1`, its system prompt where the conversation has none. */
  vicuna: "{{ bos_token }}" +
    "{%- if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}{%- set turns = messages[1:] %}" +
    "{%- else %}A chat between a curious user and an artificial intelligence assistant. The assistant gives " +
    "helpful, detailed, and polite answers to the user's questions.{%- set turns = messages %}{%- endif %}" +
    "{{ ' ' }}" +
    "{%- for turn in turns %}" +
    "{%- if turn['role'] == 'user' %}{{ 'USER: ' + turn['content'] + ' ' }}" +
    "{%- else %}{{ 'ASSISTANT: ' + turn['content'] + eos_token }}{%- endif %}{%- endfor %}" +
    "{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{%- endif %}",
};

/** The template of this name, or the text of a file. @throws when it is neither. */
export async function readTemplate(nameOrFile: string): Promise<string> {
  if (Object.hasOwn(PUBLISHED_TEMPLATES, nameOrFile)) return PUBLISHED_TEMPLATES[nameOrFile];
  try {
    return await readFile(nameOrFile, "utf8");
  } catch (cause) {
    const known = Object.keys(PUBLISHED_TEMPLATES).join(", ");
    throw new Error(`Cannot read the chat template ${nameOrFile}: wanted ${known} or a file`, {
      cause,
    });
  }
}
