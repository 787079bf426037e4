/**
 * The training loop: batches through the step's Program, events out. Parameters and moments stay on the
 * backend; checkpoints are written as it goes, and a run continues from the newest one. Breaking out of the
 * loop, or the signal, saves and cleans up.
 */
import type { Backend, Executable, Params, Tensor } from "../backend/backend.ts";
import type { Examples } from "../data/features.ts";
import type { DraftConfig } from "../model/config.ts";
import { draftShapes } from "../model/draft.ts";
import { type Draft, sharedHead, type Target } from "../model/load.ts";
import { random } from "../random.ts";
import type { PassMetrics, TrainingEvent } from "../report/events.ts";
import { type BatchPlan, fillBatch, planEpoch } from "./batches.ts";
import { loadCheckpoint, saveCheckpoint, type TrainingState, zeroMoments } from "./checkpoint.ts";
import { checkRecipe, learningRateAt, type Recipe } from "./recipe.ts";
import { type BatchShape, readMetrics, trainingProgram, validationProgram } from "./step.ts";

export interface TrainOptions {
  backend: Backend;
  target: Target;
  examples: Examples;
  validation?: Examples;
  recipe: Recipe;
  /** Folder of the run's checkpoints. */
  folder: string;
  checkpointEvery?: number;
  validateEvery?: number;
  signal?: AbortSignal;
}

/**
 * A fresh draft: matrices normal with deviation 1/sqrt(inner size), those that end in a residual 0.02 at
 * most, norms 1, biases 0.
 */
export function initialDraft(config: DraftConfig, { seed }: { seed: number }): Draft {
  const parameters = Object.fromEntries(
    Object.entries(draftShapes(config)).map(([name, shape]) => {
      const from = random(seed, "init", name), size = shape.reduce((a, b) => a * b, 1);
      if (shape.length === 1) {
        return [name, new Float32Array(size).fill(name.endsWith("bias") ? 0 : 1)];
      }
      const scale = shape[1] ** -0.5, closing = /down_proj|o_proj/.test(name);
      const deviation = closing ? Math.min(0.02, scale) : scale;
      return [name, Float32Array.from({ length: size }, () => deviation * from.normal())];
    }),
  );
  return { config, parameters };
}

/** The compiled Programs of a run, one for each batch shape. */
class Programs implements Disposable {
  #made = new Map<string, Promise<Executable>>();
  #make: (shape: BatchShape) => Promise<Executable>;
  constructor(make: (shape: BatchShape) => Promise<Executable>) {
    this.#make = make;
  }
  for({ batch, length }: BatchShape): Promise<Executable> {
    const key = `${batch}x${length}`;
    if (!this.#made.has(key)) this.#made.set(key, this.#make({ batch, length }));
    return this.#made.get(key)!;
  }
  [Symbol.dispose](): void {
    for (const made of this.#made.values()) void made.then((x) => x[Symbol.dispose](), () => {});
  }
}

/** What a run keeps on the backend. */
class Resident implements Disposable {
  readonly tensors: Params = {};
  readonly schedule: Tensor;
  constructor(backend: Backend, { config, parameters, moments }: TrainingState) {
    for (const [name, shape] of Object.entries(draftShapes(config))) {
      this.tensors[name] = backend.tensor(parameters[name].slice(), shape);
      for (const key of Object.keys(moments).filter((k) => k.slice(k.indexOf(".") + 1) === name)) {
        this.tensors[key] = backend.tensor(moments[key].slice(), shape);
      }
    }
    this.schedule = backend.tensor(new Float32Array(3), [3]);
  }
  /** Copies the values back into the state. */
  copyTo(state: TrainingState): TrainingState {
    for (const [name, tensor] of Object.entries(this.tensors)) {
      const into = name in state.parameters ? state.parameters : state.moments;
      into[name] = (tensor.host as Float32Array).slice();
    }
    return state;
  }
  [Symbol.dispose](): void {
    for (const tensor of [...Object.values(this.tensors), this.schedule]) tensor[Symbol.dispose]();
  }
}

function meanMetrics(rows: PassMetrics[][], weights: number[]): PassMetrics[] {
  const total = weights.reduce((a, b) => a + b, 0) || 1;
  return rows[0].map((first, p) => {
    const keys = Object.keys(first) as (keyof PassMetrics)[];
    const mean = (key: keyof PassMetrics) =>
      rows.reduce((sum, r, i) => sum + weights[i] * r[p][key], 0) / total;
    return Object.fromEntries(keys.map((key) => [key, mean(key)])) as unknown as PassMetrics;
  });
}

function checkTargets({ target, examples, validation }: TrainOptions): void {
  for (const set of validation === undefined ? [examples] : [examples, validation]) {
    if (set.of.target !== target.identity) {
      throw new Error(
        `Cannot train on features of target ${set.of.target}: this target is ${target.identity}`,
      );
    }
  }
}

async function startOrResume(start: Draft, options: TrainOptions): Promise<TrainingState> {
  const { recipe, folder, examples } = options;
  const settings = JSON.stringify({ recipe, config: start.config, examples: examples.count });
  const saved = await loadCheckpoint(folder);
  if (saved !== undefined && saved.settings !== settings) {
    throw new Error(
      `Cannot resume ${folder}: it was started with ${saved.settings}, now asked for ${settings}`,
    );
  }
  return saved ?? { ...start, moments: zeroMoments(start.config), step: 0, settings };
}

/**
 * Trains a draft. Yields a `step` event for every update, `validation` and `checkpoint` events now and then;
 * returns the draft as it then is.
 * @throws when the examples belong to another target, or the folder's checkpoint to other settings.
 */
export async function* train(
  start: Draft,
  options: TrainOptions,
): AsyncGenerator<TrainingEvent, Draft> {
  const { backend, target, examples, validation, recipe, folder, signal } = options;
  const { checkpointEvery = 200, validateEvery = 200 } = options, { config } = start;
  checkRecipe(recipe);
  checkTargets(options);
  const state = await startOrResume(start, options), frozen = sharedHead(target);
  using resident = new Resident(backend, state);
  const { tensors, schedule } = resident;
  using training = new Programs((shape) =>
    backend.compile(trainingProgram(config, { recipe, shape }))
  );
  using checking = new Programs((shape) =>
    backend.compile(validationProgram(config, { recipe, shape }))
  );
  const run = async (
    programs: Programs,
    { from, plan, epoch, noise }: { from: Examples; plan: BatchPlan; epoch: number; noise: number },
  ) => {
    const batch = await fillBatch(from, plan, { epoch, seed: recipe.seed, noise });
    const lead = [plan.batch, plan.length], wide = [...lead, config.width];
    const given: Params = {
      ids: backend.tensor(batch.ids, lead),
      mask: backend.tensor(batch.mask, lead),
      features: backend.tensor(batch.features, wide),
      noisy: backend.tensor(batch.noisy, wide),
    };
    const out = await (await programs.for(plan)).run({ ...given, ...tensors, ...frozen, schedule });
    for (const tensor of Object.values(given)) tensor[Symbol.dispose]();
    return { batch, loss: out.loss.host![0], passes: readMetrics(out.metrics.host!), out };
  };
  const validate = async (set: Examples): Promise<TrainingEvent> => {
    const rows: PassMetrics[][] = [], weights: number[] = [];
    let loss = 0, trained = 0;
    for (const plan of planEpoch(set.lengths, { ...recipe, epoch: 0 })) {
      const result = await run(checking, { from: set, plan, epoch: 0, noise: 0 });
      rows.push(result.passes);
      weights.push(result.batch.trained);
      loss += result.loss * result.batch.trained;
      trained += result.batch.trained;
    }
    return {
      type: "validation",
      step: state.step,
      loss: loss / trained,
      passes: meanMetrics(rows, weights),
    };
  };

  // Every batch of the run in order; the ones before the checkpoint have been done.
  const plans = Array.from(
    { length: recipe.epochs },
    (_, epoch) =>
      planEpoch(examples.lengths, { ...recipe, epoch }).map((plan) => ({ plan, epoch })),
  ).flat();
  const total = plans.length, began = performance.now(), firstStep = state.step;
  let tokens = 0, unsaved = false;
  try {
    for (const { plan, epoch } of plans.slice(firstStep)) {
      if (signal?.aborted) break;
      const step = state.step + 1, learningRate = learningRateAt(step, { recipe, total });
      schedule.host!.set([learningRate, 1 - recipe.beta1 ** step, 1 - recipe.beta2 ** step]);
      const { batch, loss, passes, out } = await run(training, {
        from: examples,
        plan,
        epoch,
        noise: recipe.noise,
      });
      if (!Number.isFinite(loss)) {
        throw new Error(`Training diverged: loss ${loss} at update ${step}`);
      }
      state.step = step;
      unsaved = true;
      tokens += batch.tokens;
      const seconds = (performance.now() - began) / 1000;
      yield {
        type: "step",
        step,
        total,
        epoch,
        loss,
        passes,
        learningRate,
        gradientNorm: out.gradientNorm.host![0],
        tokens: batch.tokens,
        tokensPerSecond: tokens / seconds,
        secondsLeft: seconds / (step - firstStep) * (total - step),
      };
      if (step % checkpointEvery === 0 || step === total) {
        const path = await saveCheckpoint(folder, resident.copyTo(state));
        unsaved = false;
        yield { type: "checkpoint", step, path };
      }
      if (validation !== undefined && (step % validateEvery === 0 || step === total)) {
        yield await validate(validation);
      }
    }
    return resident.copyTo(state);
  } finally {
    if (unsaved) await saveCheckpoint(folder, resident.copyTo(state));
  }
}
