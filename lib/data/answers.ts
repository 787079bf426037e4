/**
 * Training texts made in memory: prompts, the target's own greedy answers, and the loss mask of each. For notebooks and
 * small trials, with {@link onlineExamples}; whole data sets are made by `generate.ts`.
 */
import { generate } from "../decode/generate.ts";
import type { TargetDecoder } from "../decode/target.ts";

import { encodePrompt, lossMask } from "../text/chat.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Prompt } from "./prompts.ts";
import type { TokenizedText } from "./shards.ts";

/** Lets the target answer each prompt; answers of fewer than three tokens train nothing and are left out. */
export async function* answerPrompts(
  target: TargetDecoder,
  prompts: Iterable<Prompt>,
  { tokenizer, maxTokens = 96, signal }: {
    tokenizer: Tokenizer;
    maxTokens?: number;
    signal?: AbortSignal;
  },
): AsyncGenerator<TokenizedText> {
  for (const { id, messages } of prompts) {
    if (signal?.aborted) return;
    const prompt = encodePrompt(tokenizer, messages), answer: number[] = [];
    for await (const event of generate(target, prompt, { maxTokens, signal })) {
      if (event.type !== "end") answer.push(...event.tokens);
    }
    if (answer.length < 3) continue;
    const ids = Int32Array.from([...prompt, ...answer]),
      reply = { start: prompt.length, end: ids.length };
    yield { id, ids, mask: lossMask(ids.length, [reply]) };
  }
}
