/**
 * What a run keeps on the backend: parameters and optimiser state, frozen matrices, compiled Programs, and how a
 * batch goes through them. It knows neither the order of batches nor files: that is `train.ts`.
 */
import {
  type Backend,
  type Executable,
  type Params,
  readAll,
  type Tensor,
} from "../backend/backend.ts";
import type { Program } from "../graph/program.ts";
import { sizeOf } from "../graph/node.ts";
import { draftShapes, featureWidth } from "../model/draft.ts";
import { DRAFT_TOKENS } from "../model/eagle3.ts";
import { type FrozenTarget, type FrozenType, frozenType, sharedHead } from "../model/load.ts";
import type { PassMetrics } from "../report/events.ts";
import type { Batch } from "./batches.ts";
import type { TrainingState } from "./checkpoint.ts";
import { type BatchShape, readMetrics } from "./passes.ts";
import type { Recipe } from "./recipe.ts";
import {
  accumulateProgram,
  AVERAGE,
  EMBEDDING,
  optimizerShapes,
  SUM,
  targetHead,
  trainingProgram,
  updateProgram,
  validationProgram,
} from "./step.ts";

/** A batch and its sizes. */
export interface SizedBatch extends BatchShape {
  batch: number;
  arrays: Batch;
}

/** What a batch gave. */
export interface BatchResult {
  loss: number;
  passes: PassMetrics[];
  /** NaN where no update was made. */
  gradientNorm: number;
}

/** The running mean begins as the parameters themselves and then slows down to its decay. */
const renewalAt = (step: number, decay: number) => 1 - Math.min(decay, (1 + step) / (10 + step));

/** A run's tensors and Programs on a backend. */
export class Resident implements Disposable {
  #backend: Backend;
  #recipe: Recipe;
  #config: TrainingState["config"];
  #tensors: Params = {};
  #frozen: Params;
  /** Type of the frozen matrices. */
  #stored: FrozenType;
  #schedule: Tensor;
  #renewal: Tensor;
  #programs = new Map<string, Promise<Executable>>();

  constructor(
    { config, parameters, optimizer, tokens }: TrainingState,
    { backend, target, recipe }: { backend: Backend; target: FrozenTarget; recipe: Recipe },
  ) {
    this.#backend = backend;
    this.#recipe = recipe;
    this.#config = config;
    const shapes = { ...draftShapes(config), ...optimizerShapes(config, recipe) };
    for (const [name, shape] of Object.entries(shapes)) {
      this.#tensors[name] = backend.tensor((parameters[name] ?? optimizer[name]).slice(), shape);
    }
    if (recipe.accumulate > 1) {
      for (const [name, shape] of Object.entries(draftShapes(config))) {
        const zeros = new Float32Array(sizeOf(shape));
        this.#tensors[`${SUM}.${name}`] = backend.tensor(zeros, shape);
      }
    }
    const shared = sharedHead(target);
    this.#stored = frozenType(target);
    this.#frozen = {
      [EMBEDDING]: shared[EMBEDDING],
      [targetHead(config)]: shared["lm_head.weight"],
      ...(tokens !== undefined && { [DRAFT_TOKENS]: backend.tensor(tokens, [tokens.length]) }),
    };
    this.#schedule = backend.shared(new Float32Array(3), [3]);
    this.#renewal = backend.shared(new Float32Array(1), [1]);
  }

  #compiled(key: string, make: () => Program): Promise<Executable> {
    let found = this.#programs.get(key);
    if (found === undefined) {
      this.#programs.set(key, found = this.#backend.compile(make()));
    }
    return found;
  }

  #given({ batch, length, arrays }: SizedBatch): Params {
    const lead = [batch, length], { ids, mask, features, noisy, place } = arrays;
    const tensor = (data: Float32Array | Int32Array, shape: number[]) =>
      this.#backend.tensor(data, shape);
    return {
      ids: tensor(ids, lead),
      mask: tensor(mask, lead),
      features: tensor(features, [...lead, this.#config.width]),
      noisy: tensor(noisy, [...lead, featureWidth(this.#config)]),
      ...(this.#recipe.packing && { place: tensor(place, lead) }),
    };
  }

  async #run(key: string, make: () => Program, given: Params): Promise<Params> {
    const executable = await this.#compiled(key, make);
    return await executable.run({
      ...this.#tensors,
      ...this.#frozen,
      schedule: this.#schedule,
      renewal: this.#renewal,
      ...given,
    });
  }

  async #runBatch(
    kind: "train" | "accumulate" | "validate",
    sized: SizedBatch,
  ): Promise<BatchResult> {
    const { batch, length } = sized, shape = { batch, length }, given = this.#given(sized);
    const make = {
      train: trainingProgram,
      accumulate: accumulateProgram,
      validate: validationProgram,
    };
    const options = { recipe: this.#recipe, shape, frozen: this.#stored };
    const out = await this.#run(
      `${kind} ${batch}x${length}`,
      () => make[kind](this.#config, options),
      given,
    );
    const { loss, metrics, gradientNorm } = await readAll(out);
    for (const tensor of Object.values(given)) tensor[Symbol.dispose]();
    return {
      loss: loss[0],
      passes: readMetrics(metrics),
      gradientNorm: gradientNorm === undefined ? NaN : gradientNorm[0],
    };
  }

  /** One update, number `step` from 1, from as many batches as the recipe accumulates. */
  async update(
    batches: AsyncIterable<SizedBatch>,
    { step, learningRate }: { step: number; learningRate: number },
  ): Promise<{ results: BatchResult[]; gradientNorm: number }> {
    const { beta1, beta2, average, accumulate } = this.#recipe, results: BatchResult[] = [];
    this.#schedule.host!.set([learningRate, 1 - beta1 ** step, 1 - beta2 ** step]);
    this.#renewal.host![0] = renewalAt(step, average);
    const kind = accumulate > 1 ? "accumulate" : "train";
    for await (const batch of batches) results.push(await this.#runBatch(kind, batch));
    if (kind === "train") return { results, gradientNorm: results[0].gradientNorm };
    const options = { recipe: this.#recipe };
    const out = await this.#run("update", () => updateProgram(this.#config, options), {});
    return { results, gradientNorm: (await out.gradientNorm.read())[0] };
  }

  /** Losses and metrics of a batch, without an update, of the running mean where there is one. */
  async validate(batch: SizedBatch): Promise<BatchResult> {
    const own = this.#tensors;
    if (this.#recipe.average > 0) {
      const means = Object.keys(draftShapes(this.#config)).map((n) => [n, own[`${AVERAGE}.${n}`]]);
      this.#tensors = { ...own, ...Object.fromEntries(means) };
    }
    try {
      return await this.#runBatch("validate", batch);
    } finally {
      this.#tensors = own;
    }
  }

  /** Copies parameters and optimiser state back into the state. */
  async copyTo(state: TrainingState): Promise<TrainingState> {
    // Sums of an accumulation are zero between updates.
    const kept = Object.entries(this.#tensors).filter(([name]) => !name.startsWith(`${SUM}.`));
    for (const [name, values] of Object.entries(await readAll(Object.fromEntries(kept)))) {
      // Parameters and their means may be a draft that somebody holds; moments are nobody else's.
      if (name in state.parameters) state.parameters[name] = (values as Float32Array).slice();
      else if (name.startsWith(`${AVERAGE}.`)) {
        state.optimizer[name] = (values as Float32Array).slice();
      } else state.optimizer[name].set(values);
    }
    return state;
  }

  [Symbol.dispose](): void {
    for (const made of this.#programs.values()) {
      void made.then((x) => x[Symbol.dispose](), () => {}); // a failed compile was thrown where it was awaited
    }
    for (const tensor of Object.values(this.#tensors)) tensor[Symbol.dispose]();
    this.#frozen[DRAFT_TOKENS]?.[Symbol.dispose]();
    this.#schedule[Symbol.dispose]();
    this.#renewal[Symbol.dispose]();
  }
}
