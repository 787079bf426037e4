/**
 * The decoding loop, twice: plain (one token a target forward) and speculative (a drafted tree a forward).
 * Both are async generators of events and produce the same distribution; greedy they produce the same text.
 */
import type { Random } from "../random.ts";
import type { EndReason, GenerationEvent } from "../report/events.ts";
import type { DraftDecoder } from "./draft.ts";
import { depthsOf } from "./ancestry.ts";
import { argmax, checkSampling, draw, GREEDY, processLogits, type Sampling } from "./sample.ts";
import type { TargetDecoder, TargetRows } from "./target.ts";
import type { TreeShape } from "./tree.ts";
import { chanceFrom, type Verdict, verifyGreedy, verifySampled } from "./verify.ts";

/** Settings of one generation. */
export interface GenerateOptions {
  sampling?: Sampling;
  /** New tokens at most. */
  maxTokens?: number;
  /** Random numbers; needed when the temperature is above 0. */
  random?: Random;
  signal?: AbortSignal;
}

/** Settings of speculative decoding. */
export interface SpeculateOptions extends GenerateOptions {
  draft: DraftDecoder;
  tree: TreeShape;
  minimumScore?: number;
}

/** Counts emitted tokens and knows when to stop. */
class Ending {
  reason: EndReason | undefined;
  #left: number;
  #room: number;
  constructor(
    readonly eos: readonly number[],
    { maxTokens, room, signal }: { maxTokens: number; room: number; signal?: AbortSignal },
  ) {
    this.#left = maxTokens;
    this.#room = room;
    this.signal = signal;
  }
  readonly signal: AbortSignal | undefined;

  /** The part of these tokens that is emitted; sets the reason when generation ends with it. */
  take(tokens: number[]): number[] {
    const end = tokens.findIndex((t) => this.eos.includes(t));
    const cut = end < 0 ? tokens : tokens.slice(0, end + 1);
    const kept = cut.slice(0, Math.min(this.#left, this.#room));
    if (kept.length === cut.length && end >= 0) this.reason = "end token";
    this.#left -= kept.length;
    this.#room -= kept.length;
    if (this.reason === undefined && this.#left <= 0) this.reason = "length limit";
    if (this.reason === undefined && this.#room <= 0) this.reason = "positions";
    if (this.reason === undefined && this.signal?.aborted) this.reason = "abort";
    return kept;
  }
}

function begin(target: TargetDecoder, prompt: Int32Array, options: GenerateOptions) {
  const { config, folder } = target.target;
  const { sampling = GREEDY, maxTokens = 256, random, signal } = options;
  checkSampling(sampling);
  if (sampling.temperature > 0 && random === undefined) {
    throw new Error(`Cannot sample at temperature ${sampling.temperature} without random numbers`);
  }
  if (prompt.length === 0) throw new Error("Cannot generate from an empty prompt");
  if (prompt.length >= config.positions) {
    throw new Error(
      `Cannot generate: the prompt has ${prompt.length} tokens, ${folder} knows ${config.positions} positions`,
    );
  }
  const room = config.positions - prompt.length;
  const p = new Float64Array(config.vocabulary);
  /** The processed distribution of row `row`. */
  const distribution = (logits: Float32Array, row: number) => {
    processLogits(logits.subarray(row * p.length, (row + 1) * p.length), sampling, p);
    return p;
  };
  const choose = (logits: Float32Array) =>
    sampling.temperature === 0
      ? argmax(logits, 0, p.length)
      : draw(distribution(logits, 0), random!.uniform());
  const ending = new Ending(config.eos, { maxTokens, room, signal });
  return { sampling, random, ending, choose, distribution };
}

/** Plain decoding: one target forward a token. */
export async function* generate(
  target: TargetDecoder,
  prompt: Int32Array,
  options: GenerateOptions = {},
): AsyncGenerator<GenerationEvent> {
  const { ending, choose } = begin(target, prompt, options);
  using cache = target.newCache();
  let before = performance.now();
  let token = choose((await target.prefill(prompt, cache)).logits);
  yield { type: "prefill", tokens: ending.take([token]), ms: performance.now() - before };
  while (ending.reason === undefined) {
    before = performance.now();
    const { logits } = await target.forwardChain([token], cache);
    const verified = performance.now();
    token = choose(logits);
    const tokens = ending.take([token]);
    yield {
      type: "round",
      tokens,
      drafted: 0,
      depth: 0,
      accepted: 0,
      draftMs: 0,
      verifyMs: verified - before,
      hostMs: performance.now() - verified,
    };
  }
  yield { type: "end", reason: ending.reason };
}

/** Speculative decoding: draft a tree, verify it in one target forward, keep what is accepted, go on. */
export async function* speculate(
  target: TargetDecoder,
  prompt: Int32Array,
  options: SpeculateOptions,
): AsyncGenerator<GenerationEvent> {
  const { sampling, random, ending, choose, distribution } = begin(target, prompt, options);
  const { draft, tree: shape, minimumScore } = options;
  draft.checkShape(shape);
  const { vocabulary, width } = target.target.config, { taps } = draft;
  if (`${taps}` !== `${target.taps}`) {
    throw new Error(
      `Cannot speculate: the draft reads layers [${taps}], this target decoder taps [${target.taps}]`,
    );
  }
  // What the draft reads of each target row, and how wide it is.
  const read = ({ features, tapped }: TargetRows) => taps.length > 0 ? tapped : features;
  const wide = width * Math.max(1, taps.length);
  const chance = random === undefined ? undefined : chanceFrom(random);
  const verify = (tree: Parameters<typeof verifyGreedy>[0], logits: Float32Array): Verdict => {
    if (sampling.temperature > 0) {
      return verifySampled(tree, (node) => distribution(logits, node), { chance: chance! });
    }
    const choices = Int32Array.from(
      tree.tokens,
      (_, i) => argmax(logits, i * vocabulary, vocabulary),
    );
    return verifyGreedy(tree, choices);
  };
  using cache = target.newCache();
  using draftCache = draft.newCache();
  let before = performance.now();
  const start = await target.prefill(prompt, cache);
  const first = choose(start.logits);
  yield { type: "prefill", tokens: ending.take([first]), ms: performance.now() - before };
  // Row t of the draft reads feature t and the token after it.
  let news = { ids: Int32Array.of(...prompt.subarray(1), first), features: read(start) };
  while (ending.reason === undefined) {
    before = performance.now();
    const tree = await draft.draft(news, { shape, cache: draftCache, minimumScore });
    const drafted = performance.now();
    const rows = await target.forwardTree(tree, cache);
    const verified = performance.now();
    const { path, next } = verify(tree, rows.logits);
    const kept = [0, ...path];
    cache.keep(kept);
    const from = read(rows), features = new Float32Array(kept.length * wide);
    kept.forEach((node, i) =>
      features.set(from.subarray(node * wide, (node + 1) * wide), i * wide)
    );
    const emitted = [...path.map((node) => tree.tokens[node]), next];
    news = { ids: Int32Array.from(emitted), features };
    const tokens = ending.take(emitted);
    yield {
      type: "round",
      tokens,
      drafted: tree.tokens.length - 1,
      depth: Math.max(...depthsOf(tree.parents)),
      accepted: path.length,
      draftMs: drafted - before,
      verifyMs: verified - drafted,
      hostMs: performance.now() - verified,
    };
  }
  yield { type: "end", reason: ending.reason };
}
