/**
 * The target's own answers as training data: B conversations at a time, finished ones replaced by the next
 * prompt; ids, loss mask and features go to shards. Each answer has its own random stream, so it does not
 * depend on the batch it was made in, nor on interruptions. Next on the walk: `lib/train/batches.ts`.
 */
import type { Backend } from "../backend/backend.ts";
import { argmax, draw, GREEDY, processLogits, type Sampling } from "../decode/sample.ts";
import type { Target } from "../model/load.ts";
import type { Cache } from "../model/placement.ts";
import { type Random, random } from "../random.ts";
import type { ExampleEvent } from "../report/events.ts";
import { encodePrompt, lossMask } from "../text/chat.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { openShardWriter } from "./features.ts";
import type { Prompt } from "./prompts.ts";
import { openSlots } from "./slots.ts";
import type { Storage } from "./storage.ts";

export interface GenerateDataOptions {
  backend: Backend;
  tokenizer: Tokenizer;
  /** Folder of shards; examples already there are skipped. */
  folder: string;
  sampling?: Sampling;
  /** Share of prompts that are answered greedily instead. */
  greedyShare?: number;
  /** New tokens of an answer at most. */
  maxTokens?: number;
  /** Conversations in work at a time. */
  batch?: number;
  seed?: number;
  /** How features are stored; "none" leaves them to be computed while training. */
  storage?: Storage;
  /** Layers whose inputs are stored too. */
  taps?: readonly number[];
  /** Where the prompts come from; kept with the settings. */
  promptSource?: string;
  signal?: AbortSignal;
}

/** A conversation in work. */
interface Slot {
  cache: Cache;
  prompt: Prompt;
  ids: number[];
  promptLength: number;
  /** Features of all tokens but the newest. */
  features: Float32Array[];
  /** What entered the tapped layers, likewise. */
  tapped: Float32Array[];
  random: Random;
  sampling: Sampling;
}

/** Parts one behind the other in `size` values; what they do not fill stays zero. */
function joined(parts: readonly Float32Array[], size: number): Float32Array {
  const all = new Float32Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * Answers prompts and stores the examples; yields one event an example. A folder with examples is added to.
 * @throws when they were made with other settings, or do not say with which and there are prompts left.
 */
export async function* generateData(
  target: Target,
  prompts: readonly Prompt[],
  options: GenerateDataOptions,
): AsyncGenerator<ExampleEvent> {
  const { backend, tokenizer, folder, maxTokens = 160, batch = 16, seed = 0, signal } = options;
  const { sampling = { temperature: 0.7, topK: 0, topP: 0.95 }, greedyShare = 0.5 } = options;
  const { storage = "f16", taps = [], promptSource = "given" } = options;
  const { config, identity, bits = 32 } = target, { width, vocabulary } = config;
  const of = { target: identity, width, taps, storage };
  const { temperature, topP, topK } = sampling;
  const writer = await openShardWriter(folder, {
    of,
    settings: {
      prompts: promptSource,
      seed,
      temperature,
      "top-k": topK,
      "top-p": topP,
      "greedy share": greedyShare,
      "tokens at most": maxTokens,
      ...(bits !== 32 && { "target bits": bits }),
    },
  });
  const waiting = prompts.filter((p) => !writer.done.has(p.id)).reverse();
  if (waiting.length === 0) return;
  writer.checkSettings();
  let done = prompts.length - waiting.length;
  using slots = await openSlots(target, { backend, batch, taps });
  const p = new Float64Array(vocabulary);
  const choose = ({ sampling, random }: Slot, logits: Float32Array) => {
    if (sampling.temperature === 0) return argmax(logits);
    processLogits(logits, sampling, p);
    return draw(p, random.uniform());
  };
  const start = async (cache: Cache): Promise<Slot | undefined> => {
    const prompt = signal?.aborted ? undefined : waiting.pop();
    if (prompt === undefined) return undefined;
    const encoded = encodePrompt(tokenizer, prompt.messages);
    if (encoded.length + maxTokens > config.positions) {
      throw new Error(
        `Cannot answer prompt ${prompt.id}: ${encoded.length} tokens and ${maxTokens} new ones exceed ${config.positions} positions`,
      );
    }
    cache.length = 0;
    const { logits, features, tapped } = await slots.decoder.prefill(encoded, cache);
    const stream = random(seed, "answers", prompt.id);
    const greedy = stream.uniform() < greedyShare;
    const slot: Slot = {
      cache,
      prompt,
      ids: [...encoded],
      promptLength: encoded.length,
      features: [features],
      tapped: [tapped],
      random: stream,
      sampling: greedy ? GREEDY : sampling,
    };
    slot.ids.push(choose(slot, logits));
    return slot;
  };
  const finished = ({ ids, promptLength }: Slot) =>
    config.eos.includes(ids[ids.length - 1]) || ids.length - promptLength >= maxTokens;
  const store = async (slot: Slot): Promise<ExampleEvent> => {
    const { prompt, ids, promptLength, features, tapped } = slot;
    await writer.append({
      id: prompt.id,
      ids: Int32Array.from(ids),
      mask: lossMask(ids.length, [{ start: promptLength, end: ids.length }]),
      // The last token's features stay zero: no row needs them.
      features: joined(features, ids.length * width),
      tapped: joined(tapped, ids.length * width * taps.length),
    });
    return {
      type: "example",
      id: prompt.id,
      done: ++done,
      total: prompts.length,
      tokens: ids.length,
    };
  };

  const inWork: (Slot | undefined)[] = new Array(batch).fill(undefined);
  try {
    for (;;) {
      for (let b = 0; b < batch; b++) {
        let slot = inWork[b];
        while (slot === undefined || finished(slot)) {
          if (slot !== undefined) yield await store(slot);
          slot = await start(slots.caches[b]);
          if (slot === undefined) break;
        }
        inWork[b] = slot;
      }
      const live = inWork.filter((slot) => slot !== undefined);
      if (live.length === 0) return;
      const rows = await slots.step(live.map(({ ids, cache }) => ({ token: ids.at(-1)!, cache })));
      live.forEach((slot, i) => {
        const { logits, features, tapped } = rows[i];
        slot.features.push(features.slice());
        if (taps.length > 0) slot.tapped.push(tapped.slice());
        slot.ids.push(choose(slot, logits));
      });
    }
  } finally {
    await writer.flush();
  }
}
