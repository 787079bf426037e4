/**
 * The decoding loop, twice: plain (one token a target forward) and speculative (a proposed tree a forward). Both are
 * async generators of events and produce the same distribution; greedy they produce the same text. Several
 * sequences at a time: `batch.ts`, of which `speculate` is the case of one.
 */
import type { GenerationEvent } from "../report/events.ts";
import { type BatchOptions, speculateAll } from "./batch.ts";
import { type GenerateOptions, Sequence } from "./sequence.ts";
import type { TargetDecoder } from "./target.ts";

/** Settings of speculative decoding. */
export interface SpeculateOptions
  extends GenerateOptions, Pick<BatchOptions, "drafter" | "trace"> {}

/** Plain decoding: one target forward a token. */
export async function* generate(
  target: TargetDecoder,
  prompt: Int32Array,
  options: GenerateOptions = {},
): AsyncGenerator<GenerationEvent> {
  using sequence = new Sequence(target, prompt, options);
  const { cache, ending } = sequence;
  let before = performance.now();
  let token = sequence.choose((await target.prefill(prompt, cache)).logits);
  yield { type: "prefill", tokens: sequence.take([token]), ms: performance.now() - before };
  while (ending.reason === undefined) {
    before = performance.now();
    const { logits } = await target.forwardChain([token], cache);
    const verified = performance.now();
    token = sequence.choose(logits);
    const chosen = performance.now(), tokens = sequence.take([token]);
    yield {
      type: "round",
      tokens,
      drafted: 0,
      depth: 0,
      accepted: 0,
      draftMs: 0,
      verifyMs: verified - before,
      sampleMs: chosen - verified,
      hostMs: performance.now() - chosen,
    };
  }
  yield { type: "end", reason: ending.reason };
}

/** Speculative decoding of one prompt: propose a tree, verify it in one target forward, keep what is accepted. */
export async function* speculate(
  target: TargetDecoder,
  prompt: Int32Array,
  { random, ...options }: SpeculateOptions,
): AsyncGenerator<GenerationEvent> {
  const all = { ...options, ...(random !== undefined && { random: () => random }) };
  for await (const { event } of speculateAll(target, [prompt], all)) yield event;
}
