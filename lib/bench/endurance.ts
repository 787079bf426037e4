/**
 * Does memory stay flat while decoding? Decodes prompt after prompt and looks at the process every so many tokens.
 * What a round allocates on the backend is counted exactly in the tests; this sees what no count does: native
 * memory, and garbage that is kept. Called by `deno task bench endurance`.
 */
import process from "node:process";
import { generate, speculate } from "../decode/generate.ts";
import type { Drafter } from "../decode/drafter.ts";
import type { TargetDecoder } from "../decode/target.ts";

/** What the process holds after that many new tokens. */
export interface EnduranceRow {
  tokens: number;
  /** Resident memory, bytes. */
  resident: number;
  /** JavaScript heap in use, bytes. */
  heap: number;
}

/**
 * Decodes prompts greedily, from the first again when they are used up, until `total` new tokens are there, and yields
 * a row every `every` tokens; the first row comes after the first prompt, when everything has been compiled.
 * @throws when there is no prompt.
 */
export async function* endure(
  target: TargetDecoder,
  { prompts, drafter, total, every, maxTokens, signal }: {
    prompts: readonly Int32Array[];
    /** None: plain decoding. */
    drafter?: Drafter;
    total: number;
    every: number;
    /** New tokens of one prompt at most. */
    maxTokens: number;
    signal?: AbortSignal;
  },
): AsyncGenerator<EnduranceRow> {
  if (prompts.length === 0) throw new Error("Cannot decode for long without a prompt");
  let tokens = 0, next = 0;
  for (let i = 0; tokens < total && !signal?.aborted; i++) {
    const prompt = prompts[i % prompts.length];
    const events = drafter === undefined
      ? generate(target, prompt, { maxTokens, signal })
      : speculate(target, prompt, { drafter, maxTokens, signal });
    for await (const event of events) {
      if (event.type !== "end") tokens += event.tokens.length;
    }
    if (tokens < next) continue;
    const { rss, heapUsed } = process.memoryUsage();
    yield { tokens, resident: rss, heap: heapUsed };
    next = (Math.floor(tokens / every) + 1) * every;
  }
}
