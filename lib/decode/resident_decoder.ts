/**
 * Decoding whose rounds never wait for the host: Programs of whole rounds (`resident_round.ts`) are submitted one
 * after the other, and the tokens of each are read while later ones run. On a device an awaited read costs more than
 * a round. The same events as `generate.ts`, and the same texts.
 */
import type { Backend, Executable, Params, Tensor } from "../backend/backend.ts";
import type { Shape } from "../graph/node.ts";
import type { Program } from "../graph/program.ts";
import type { Random } from "../random.ts";
import type { GenerationEvent } from "../report/events.ts";
import type { DraftDecoder } from "./draft.ts";
import {
  DRAFT,
  longestRound,
  type RoundOptions,
  roundProgram,
  stateShapes,
} from "./resident_round.ts";
import { GREEDY, type Sampling } from "./sample.ts";
import { type GenerateOptions, Sequence } from "./sequence.ts";
import type { TargetDecoder, TargetRows } from "./target.ts";
import type { TreeDrafter } from "./tree_drafter.ts";

/** How rounds are run. */
export interface ResidentOptions {
  backend: Backend;
  sampling?: Sampling;
  /** Who proposes a dynamic tree of its draft's best tokens; without it every round is a plain token. */
  drafter?: TreeDrafter;
  /** Rounds submitted before the first of them is read. */
  ahead?: number;
}

/** Rounds under way on a device that the host cannot see into, by default. */
const AHEAD = 4;

export class ResidentDecoder implements Disposable {
  readonly sampling: Sampling;
  readonly #target: TargetDecoder;
  readonly #backend: Backend;
  readonly #ahead: number;
  readonly #round: RoundOptions;
  readonly #drafter: DraftDecoder | undefined;
  readonly #program: Program;
  #compiled: Promise<Executable> | undefined;

  /**
   * Target and drafter stay the caller's.
   * @throws when the drafter's trees or the settings of sampling need the host.
   */
  constructor(
    target: TargetDecoder,
    { backend, sampling = GREEDY, drafter, ahead = AHEAD }: ResidentOptions,
  ) {
    if (!(Number.isInteger(ahead) && ahead >= 1)) {
      throw new Error(`Cannot run ${ahead} rounds ahead: wanted a whole number from 1`);
    }
    const { target: { config, weights, stages }, capacity } = target;
    if (stages !== undefined) {
      throw new Error(
        "Cannot run rounds on the device with a target that is split over several: wanted rounds by the host",
      );
    }
    this.sampling = sampling;
    this.#target = target;
    this.#backend = backend;
    // Where the host sees the memory, the next run overwrites what it would read.
    this.#ahead = backend.hostVisible ? 1 : ahead;
    this.#drafter = drafter?.decoder;
    this.#round = {
      ...{ target: config, capacity, sampling, stored: weights },
      ...(drafter && { drafting: draftingOf(drafter) }),
    };
    this.#program = roundProgram(this.#round);
    target.checkTree(this.nodes);
  }

  /** Nodes verified in a round, and tokens that it emits at most. */
  get nodes(): number {
    return this.#program.outputs.tokens.shape[0];
  }

  #compile(): Promise<Executable> {
    if (this.#compiled === undefined) {
      const { weights } = this.#target.target, own = this.#drafter?.weights ?? {};
      const drafts = Object.entries(own).map(([name, weight]) => [`${DRAFT}${name}`, weight]);
      const all = { ...weights, ...Object.fromEntries(drafts) };
      this.#compiled = this.#backend.compile(this.#program, { weights: all });
    }
    return this.#compiled;
  }

  /** Compiles the round and what prompts of these lengths need, so that no token waits for it. */
  async prepare(promptLengths: Iterable<number>): Promise<void> {
    const lengths = [...promptLengths];
    await this.#target.prepare(lengths);
    const reading = lengths.map((n) => n - 1).filter((n) => n > 0);
    await this.#drafter?.prepare({ reading, expanding: [] });
    await this.#compile();
  }

  /**
   * Decodes one prompt. Where a temperature is set, the token at each place of the text is decided by one random
   * number of its own, as in plain decoding on the host: the same `random` gives the same text. A round's time is
   * told as its target's forward; it is the time since the event before.
   * @throws when a prompt or a setting does not fit the target (see {@link Sequence}).
   */
  async *generate(
    prompt: Int32Array,
    { random, ...options }: Omit<GenerateOptions, "sampling"> = {},
  ): AsyncGenerator<GenerationEvent> {
    const { sampling } = this, target = this.#target, round = await this.#compile();
    let before = performance.now();
    using resources = new DisposableStack();
    const sequence = new Sequence(target, prompt, { ...options, sampling, random });
    resources.use(sequence);
    const { cache, ending } = sequence;
    const start = await target.prefill(prompt, cache), first = sequence.choose(start.logits);
    yield { type: "prefill", tokens: sequence.take([first]), ms: performance.now() - before };
    const states = resources.use(await this.#begin({ prompt, first, start, random }));
    Object.assign(states.tensors, cache.tensors);
    const longest = longestRound(this.#round), { positions } = target.target.config;
    const { maxTokens = 256 } = options, drafted = this.nodes - 1;
    const underWay: Promise<Int32Array>[] = [];
    // A sequence that ends leaves rounds under way: what they say is nobody's, but they must be over.
    resources.defer(() => underWay.forEach((one) => void one.catch(() => {})));
    let length = prompt.length, emitted = 1;
    before = performance.now();
    while (ending.reason === undefined) {
      const flying = () => underWay.length;
      while (
        flying() === 0 ||
        (flying() < this.#ahead && emitted + flying() < maxTokens &&
          length + flying() * longest < positions)
      ) {
        const { told } = await round.run(states.tensors);
        underWay.push(copied(told));
      }
      const told = await underWay.shift()!, count = told[longest], depth = told[longest + 1];
      length += count;
      emitted += count;
      const tokens = sequence.take([...told.subarray(0, count)]), now = performance.now();
      yield {
        type: "round",
        ...{ tokens, drafted, depth, accepted: count - 1 },
        ...{ draftMs: 0, verifyMs: now - before, sampleMs: 0, hostMs: 0 },
      };
      before = now;
    }
    yield { type: "end", reason: ending.reason };
  }

  /** The states of a sequence whose prompt the target has read. */
  async #begin(
    { prompt, first, start, random }: {
      prompt: Int32Array;
      first: number;
      start: TargetRows;
      random: Random | undefined;
    },
  ): Promise<{ tensors: Params } & Disposable> {
    const { sampling: { temperature } } = this, backend = this.#backend, n = prompt.length;
    using resources = new DisposableStack();
    const tensors: Params = {};
    const { length, ids, count, features } = stateShapes(this.#round);
    const put = (name: string, data: Int32Array | Float32Array, shape: Shape) =>
      tensors[name] = resources.use(backend.tensor(data, shape));
    put("length", Int32Array.of(n), length);
    const news = new Int32Array(ids[0]);
    news[0] = first;
    put("ids", news, ids);
    put("count", Int32Array.of(1), count);
    if (temperature > 0) {
      // The number that decides the token at each place behind the first new one.
      const uniforms = new Float32Array(this.#round.capacity);
      for (let i = n + 1; i < uniforms.length; i++) uniforms[i] = random!.uniform();
      put("uniforms", uniforms, [uniforms.length]);
    }
    if (this.#drafter !== undefined) {
      const drafter = this.#drafter, cache = resources.use(drafter.newCache());
      const rows = start.tapped.length > 0 ? start.tapped : start.features, wide = features![1];
      // The last row is read by the first round.
      if (n > 1) {
        const before = rows.subarray(0, (n - 1) * wide);
        await drafter.read([{ ids: prompt.subarray(1), features: before, cache }]);
      }
      for (const [name, tensor] of Object.entries(cache.tensors)) {
        tensors[`${DRAFT}${name}`] = tensor;
      }
      const last = new Float32Array(features![0] * wide);
      last.set(rows.subarray((n - 1) * wide));
      put("features", last, features!);
    }
    const owned = resources.move();
    return { tensors, [Symbol.dispose]: () => owned.dispose() };
  }

  [Symbol.dispose](): void {
    void this.#compiled?.then((round) => round[Symbol.dispose](), () => {});
    this.#compiled = undefined;
  }
}

/** What a round asks of a drafter. @throws when its trees cannot grow on a device. */
function draftingOf({ growth: { shape }, decoder }: TreeDrafter): RoundOptions["drafting"] {
  const { draft, capacity, weights: stored, children } = decoder;
  if (shape !== undefined && children === "top") {
    return { draft: draft.config, capacity, stored, shape };
  }
  throw new Error(
    "Cannot run rounds on the device with trees that are sized, listed or sampled by the host: " +
      "wanted a dynamic tree of a fixed size with the draft's best tokens",
  );
}

/** The elements as they are now: the next run overwrites the tensor. */
async function copied(tensor: Tensor): Promise<Int32Array> {
  if (tensor.host !== undefined) return (tensor.host as Int32Array).slice();
  return await tensor.read() as Int32Array;
}
