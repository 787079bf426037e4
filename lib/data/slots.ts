/**
 * Conversations in work at a time: a cache for each, and one forward that gives every one its next token's row. Where
 * the host sees the caches they lie in one block, which attends in one call; on a device each has caches of its own.
 * Used by `generate.ts`.
 */
import { type Backend, zeros } from "../backend/backend.ts";
import { TargetDecoder, type TargetRows } from "../decode/target.ts";
import { targetProgram } from "../model/llama.ts";
import type { Target } from "../model/load.ts";
import { type Cache, newBatchCache } from "../model/placement.ts";

/** A token that follows what a cache holds. */
export interface NextToken {
  token: number;
  /** One of the slots' caches. */
  cache: Cache;
}

export interface Slots extends Disposable {
  /** Empty caches, one a conversation. */
  readonly caches: readonly Cache[];
  /** Reads whole prompts into a cache. */
  readonly decoder: TargetDecoder;
  /** Forwards one token of each of several conversations and keeps it; results are views until the next step. */
  step(tokens: readonly NextToken[]): Promise<TargetRows[]>;
}

/** What slots are made for. */
interface SlotOptions {
  backend: Backend;
  /** Conversations at a time. */
  batch: number;
  taps: readonly number[];
}

/** Slots on the backend that a target is on. */
export function openSlots(target: Target, options: SlotOptions): Promise<Slots> {
  return options.backend.hostVisible ? inOneBlock(target, options) : apart(target, options);
}

async function inOneBlock(target: Target, { backend, batch, taps }: SlotOptions): Promise<Slots> {
  const { config, weights } = target, { width, vocabulary } = config;
  using resources = new DisposableStack();
  const decoder = resources.use(new TargetDecoder(target, { backend, taps })),
    { capacity } = decoder;
  const { tensors, slots } = newBatchCache(backend, config, {
    ...{ capacity, layers: config.layers, batch },
  });
  const shape = { rows: 1, capacity, batch, taps, stored: weights };
  const program = resources.use(await backend.compile(targetProgram(config, shape), { weights }));
  const ids = backend.tensor(new Int32Array(batch), [batch, 1]);
  const positions = backend.tensor(new Int32Array(batch), [batch, 1]);
  const length = backend.tensor(new Int32Array(batch), [batch]);
  const bias = zeros(backend, [1, 1, 1, capacity]);
  const owned = resources.move();
  return {
    caches: slots,
    decoder,
    async step(tokens) {
      for (const tensor of [ids, positions, length]) tensor.host!.fill(0);
      const places = tokens.map(({ cache }) => slots.indexOf(cache));
      tokens.forEach(({ token, cache }, i) => {
        ids.host![places[i]] = token;
        positions.host![places[i]] = length.host![places[i]] = cache.length++;
      });
      const out = await program.run({ ids, positions, length, bias, ...tensors });
      const row = (name: string, place: number, wide: number) =>
        (out[name].host as Float32Array).subarray(place * wide, (place + 1) * wide);
      return places.map((place) => ({
        logits: row("logits", place, vocabulary),
        features: row("features", place, width),
        tapped: taps.length > 0 ? row("tapped", place, width * taps.length) : new Float32Array(0),
      }));
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function apart(target: Target, { backend, batch, taps }: SlotOptions): Promise<Slots> {
  const decoder = new TargetDecoder(target, { backend, taps, sequences: batch });
  const caches = Array.from({ length: batch }, () => decoder.newCache());
  return Promise.resolve({
    caches,
    decoder,
    step: (tokens) =>
      decoder.forwardChains(tokens.map(({ token, cache }) => ({ ids: [token], cache }))),
    [Symbol.dispose]() {
      for (const cache of caches) cache[Symbol.dispose]();
      decoder[Symbol.dispose]();
    },
  });
}
