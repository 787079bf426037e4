/**
 * One sequence while it is decoded: its text, the target's cache of it, how its next token is chosen, when it ends.
 * The loops of `generate.ts` are written with it; it runs no model.
 */
import type { Cache } from "../model/placement.ts";
import type { Random } from "../random.ts";
import type { RoundTrace } from "../report/events.ts";
import type { Tree } from "./ancestry.ts";
import type { Proposal } from "./drafter.ts";
import { Ending, type StopOptions } from "./ending.ts";
import { argmax, checkSampling, draw, GREEDY, processLogits, type Sampling } from "./sample.ts";
import type { TargetDecoder } from "./target.ts";
import {
  type Chance,
  chanceFrom,
  type Verdict,
  verifyDrawn,
  verifyGreedy,
  verifySampled,
} from "./verify.ts";

/** Settings of one generation. */
export interface GenerateOptions extends StopOptions {
  sampling?: Sampling;
  /** Random numbers; needed when the temperature is above 0. */
  random?: Random;
}

export class Sequence implements Disposable {
  readonly prompt: Int32Array;
  readonly sampling: Sampling;
  readonly chance: Chance | undefined;
  readonly ending: Ending;
  readonly cache: Cache;
  /** Prompt and emitted tokens. */
  readonly text: number[];
  #random: Random | undefined;
  #p: Float64Array;

  /** @throws when settings are out of range, or the prompt is empty or longer than the model's positions. */
  constructor(target: TargetDecoder, prompt: Int32Array, options: GenerateOptions) {
    const { config, folder } = target.target, { sampling = GREEDY, random } = options;
    checkSampling(sampling);
    if (sampling.temperature > 0 && random === undefined) {
      throw new Error(
        `Cannot sample at temperature ${sampling.temperature} without random numbers`,
      );
    }
    if (prompt.length === 0) throw new Error("Cannot generate from an empty prompt");
    if (prompt.length >= config.positions) {
      throw new Error(
        `Cannot generate: the prompt has ${prompt.length} tokens, ${folder} knows ${config.positions} positions`,
      );
    }
    const room = config.positions - prompt.length;
    this.prompt = prompt;
    this.text = [...prompt];
    this.sampling = sampling;
    this.#random = random;
    this.chance = random === undefined ? undefined : chanceFrom(random);
    this.ending = new Ending(options, { eos: config.eos, room });
    this.#p = new Float64Array(config.vocabulary);
    this.cache = target.newCache();
  }

  /** The part of these tokens that is emitted. */
  take(tokens: readonly number[]): number[] {
    const kept = this.ending.take(tokens);
    this.text.push(...kept);
    return kept;
  }

  /** The processed distribution [V] after the text and `drafted`; overwritten by the next call. */
  distribution(logits: Float32Array, drafted: readonly number[] = []): Float64Array {
    const { sampling } = this, seen = this.#seen(drafted);
    processLogits(logits, sampling, this.#p, seen);
    return this.#p;
  }

  #seen(drafted: readonly number[]): readonly number[] {
    return (this.sampling.repetitionPenalty ?? 1) === 1 ? NONE : this.text.concat(drafted);
  }

  /** The next token after logits [V]. */
  choose(logits: Float32Array, drafted: readonly number[] = []): number {
    const { temperature, repetitionPenalty = 1 } = this.sampling;
    if (temperature > 0) return draw(this.distribution(logits), this.#random!.uniform());
    return argmax(repetitionPenalty === 1 ? logits : this.distribution(logits, drafted));
  }

  /** Checks a proposed tree against the target's logits [N, V]. */
  verify({ tree, drafted }: Proposal, logits: Float32Array): Verdict {
    const row = (node: number) => rowOf(logits, node, this.#p.length);
    const distribution = (node: number) => this.distribution(row(node), pathTokens(tree, node));
    if (this.sampling.temperature === 0) {
      return verifyGreedy(tree, (node) => this.choose(row(node), pathTokens(tree, node)));
    }
    const chance = this.chance!;
    return drafted === undefined
      ? verifySampled(tree, distribution, { chance })
      : verifyDrawn(tree, distribution, { drafted, chance });
  }

  /** What the target said of a tree, node by node. Asked before the emitted tokens are taken. */
  trace(tree: Tree, logits: Float32Array, { path, next }: Verdict): RoundTrace {
    const n = tree.tokens.length, choices: number[] = [], probabilities = new Array(n).fill(1);
    const last = path.at(-1) ?? 0;
    let extra = 0;
    for (let node = 0; node < n; node++) {
      const p = this.distribution(rowOf(logits, node, this.#p.length), pathTokens(tree, node));
      choices.push(argmax(p));
      if (node === last) extra = Number(p[next].toPrecision(6));
      for (let child = node + 1; child < n; child++) {
        if (tree.parents[child] === node) probabilities[child] = p[tree.tokens[child]];
      }
    }
    const { tokens, parents, scores } = tree;
    return {
      tokens: [...tokens],
      parents: [...parents],
      scores: [...scores],
      choices,
      probabilities,
      path: [...path],
      extra,
    };
  }

  [Symbol.dispose](): void {
    this.cache[Symbol.dispose]();
  }
}

const NONE: readonly number[] = [];

const rowOf = (logits: Float32Array, row: number, wide: number) =>
  logits.subarray(row * wide, (row + 1) * wide);

/** Tokens from below the root down to a node. */
function pathTokens({ tokens, parents }: Tree, node: number): number[] {
  const path: number[] = [];
  for (let i = node; i > 0; i = parents[i]) path.unshift(tokens[i]);
  return path;
}
