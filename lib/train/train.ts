/**
 * The training loop: batches through the step's Programs, events out. Checkpoints are written as it goes and a
 * run continues from the newest one, to the same bits. Breaking out of the loop, or the signal, saves and cleans
 * up. What lives on the backend is `resident.ts`, what lies on disk `checkpoint.ts`.
 */
import type { Backend } from "../backend/backend.ts";
import type { Examples } from "../data/features.ts";
import { type Draft, type FrozenTarget, frozenType } from "../model/load.ts";
import type { PassMetrics, TauEstimate, TrainingEvent, ValidationEvent } from "../report/events.ts";
import { fillBatch, planEpoch, type PlannedBatch, planRun } from "./batches.ts";
import {
  freshOptimizer,
  loadBest,
  loadCheckpoint,
  saveBest,
  saveCheckpoint,
  trainedDraft,
  type TrainingState,
} from "./checkpoint.ts";
import { prefetch } from "./prefetch.ts";
import { checkRecipe, learningRateAt, type Recipe } from "./recipe.ts";
import { type BatchResult, Resident, type SizedBatch } from "./resident.ts";

export interface TrainOptions {
  backend: Backend;
  /**
   * Embedding and head are read and never updated, in the type in which the target holds them: f32 ({@link loadTarget},
   * {@link loadFrozen}) or f16 ({@link loadFrozen}). A run goes on in the type it was started with.
   */
  target: FrozenTarget;
  examples: Examples;
  validation?: Examples;
  recipe: Recipe;
  /** Folder of the run's checkpoints. */
  folder: string;
  /** Epochs of the data that earlier steps have read: this run goes on after them. */
  start?: number;
  checkpointEvery?: number;
  validateEvery?: number;
  /** Measures a draft's acceptance length by decoding; the run then returns the best draft, not the last. */
  measureTau?: (draft: Draft) => Promise<TauEstimate>;
  signal?: AbortSignal;
}

function meanMetrics(rows: readonly PassMetrics[][], weights: readonly number[]): PassMetrics[] {
  const total = weights.reduce((a, b) => a + b, 0) || 1;
  return rows[0].map((first, p) => {
    const keys = Object.keys(first) as (keyof PassMetrics)[];
    const mean = (key: keyof PassMetrics) =>
      rows.reduce((sum, r, i) => sum + weights[i] * r[p][key], 0) / total;
    return Object.fromEntries(keys.map((key) => [key, mean(key)])) as unknown as PassMetrics;
  });
}

function checkExamples(start: Draft, { target, examples, validation }: TrainOptions): void {
  const { taps = [] } = start.config;
  for (const { of } of validation === undefined ? [examples] : [examples, validation]) {
    if (of.target !== target.identity) {
      throw new Error(
        `Cannot train on features of target ${of.target}: this target is ${target.identity}`,
      );
    }
    if (`${of.taps}` !== `${taps}`) {
      throw new Error(
        `Cannot train: the draft reads layers [${taps}], the examples hold [${of.taps}]; ` +
          "deno task data --taps stores them, --features online computes them",
      );
    }
  }
}

async function startOrResume(draft: Draft, options: TrainOptions): Promise<TrainingState> {
  const { recipe, folder, examples, target, start = 0 } = options;
  const { config, tokens } = draft;
  const stored = frozenType(target);
  const frozen = stored === "f32" ? {} : { frozen: stored }; // f32 goes without saying
  const settings = JSON.stringify({ recipe, config, start, examples: examples.count, ...frozen });
  const saved = await loadCheckpoint(folder);
  if (saved !== undefined && saved.settings !== settings) {
    throw new Error(
      `Cannot resume ${folder}: it was started with ${saved.settings}, now asked for ${settings}`,
    );
  }
  const parameters = { ...draft.parameters }, optimizer = freshOptimizer(draft, { recipe });
  const fresh = { config, parameters, optimizer, step: 0, settings };
  return saved ?? { ...fresh, ...(tokens !== undefined && { tokens }) };
}

/** Filled batches, the next one read while the current one is in work. */
async function* filled(
  examples: Examples,
  plans: readonly PlannedBatch[],
  recipe: Pick<Recipe, "seed" | "noise">,
): AsyncGenerator<SizedBatch> {
  const ahead = prefetch(plans, (planned) => fillBatch(examples, planned, recipe));
  for await (const { item: { plan: { batch, length } }, loaded: arrays } of ahead) {
    yield { batch, length, arrays };
  }
}

/** The next n of a generator, which goes on afterwards. */
async function* take<T>(from: AsyncGenerator<T>, n: number): AsyncGenerator<T> {
  for (let i = 0; i < n; i++) {
    const { value, done } = await from.next();
    if (done) return;
    yield value;
  }
}

/** Losses and metrics on a whole set, and tau where it is measured. */
async function validate(
  set: Examples,
  { resident, recipe, step }: { resident: Resident; recipe: Recipe; step: number },
): Promise<ValidationEvent> {
  const rows: BatchResult[] = [], weights: number[] = [];
  const plans = planEpoch(set.lengths, { ...recipe, epoch: 0 }).map((plan) => ({ plan, epoch: 0 }));
  for await (const batch of filled(set, plans, { ...recipe, noise: 0 })) {
    rows.push(await resident.validate(batch));
    weights.push(batch.arrays.trained);
  }
  const trained = weights.reduce((a, b) => a + b, 0) || 1;
  const loss = rows.reduce((sum, r, i) => sum + weights[i] * r.loss, 0) / trained;
  return {
    type: "validation",
    step,
    loss,
    passes: meanMetrics(rows.map((r) => r.passes), weights),
  };
}

/**
 * Trains a draft. Yields a `step` event for every update, `validation` and `checkpoint` events now and then;
 * returns the draft: the best one where tau is measured, otherwise as it is at the end.
 * @throws when the examples belong to another target, settings contradict each other, or the folder's
 * checkpoint has other ones, when there is no batch, when a checkpoint cannot be written, and when the loss is no number.
 */
export async function* train(
  draft: Draft,
  options: TrainOptions,
): AsyncGenerator<TrainingEvent, Draft> {
  const { examples, validation, recipe, folder, start = 0, signal, measureTau } = options;
  const { checkpointEvery = 200, validateEvery = 200 } = options, { accumulate } = recipe;
  checkRecipe(recipe, draft.config);
  checkExamples(draft, options);
  const state = await startOrResume(draft, options);
  const plans = planRun(examples.lengths, { ...recipe, start });
  if (plans.length === 0) {
    throw new Error(
      `Cannot train: ${recipe.epochs} epochs of ${examples.count} examples make no batch`,
    );
  }
  // The last update takes what is left.
  const total = Math.ceil(plans.length / accumulate), firstStep = state.step;
  const due = (step: number) => step > 0 && (step % validateEvery === 0 || step === total);
  using resident = new Resident(state, options);
  // The batches before the checkpoint have been done.
  const batches = filled(examples, plans.slice(firstStep * accumulate), recipe);
  const began = performance.now();
  let tokens = 0, unsaved = false, paused = 0;
  try {
    for (;;) {
      const stopped = performance.now();
      // At the start too: a run that was left before the validation of its last update owes it.
      if (validation !== undefined && due(state.step) && state.validated !== state.step) {
        const { step } = state, event = await validate(validation, { resident, recipe, step });
        if (measureTau !== undefined) {
          const now = trainedDraft(await resident.copyTo(state)), tau = await measureTau(now);
          const best = state.best === undefined || tau.value > state.best.tau;
          if (best) {
            await saveBest(folder, { ...now, step });
            state.best = { step, tau: tau.value };
          }
          Object.assign(event, { tau, best });
        }
        state.validated = step;
        unsaved = true;
        yield event;
      }
      if (unsaved && (state.step % checkpointEvery === 0 || state.step === total)) {
        unsaved = false; // whatever comes of it: a full disk is not asked twice
        const { step } = state, path = await saveCheckpoint(folder, await resident.copyTo(state));
        yield { type: "checkpoint", step, path };
      }
      paused += performance.now() - stopped;
      if (state.step === total || signal?.aborted) break;
      const step = state.step + 1, learningRate = learningRateAt(step, { recipe, total });
      const before = performance.now();
      let read = 0, trained: number[] = [];
      const counted = (async function* () {
        for await (const batch of take(batches, accumulate)) {
          read += batch.arrays.tokens;
          trained = [...trained, batch.arrays.trained];
          yield batch;
        }
      })();
      const { results, gradientNorm } = await resident.update(counted, { step, learningRate });
      const loss = results.reduce((sum, r) => sum + r.loss, 0) / results.length;
      if (!Number.isFinite(loss)) {
        throw new Error(`Training diverged: loss ${loss} at update ${step}`);
      }
      state.step = step;
      unsaved = true;
      tokens += read;
      const seconds = (performance.now() - began - paused) / 1000;
      yield {
        type: "step",
        step,
        total,
        epoch: plans[Math.min(step * accumulate, plans.length) - 1].epoch,
        loss,
        passes: meanMetrics(results.map((r) => r.passes), trained),
        learningRate,
        gradientNorm,
        tokens: read,
        ms: performance.now() - before,
        tokensPerSecond: tokens / seconds,
        secondsLeft: seconds / (step - firstStep) * (total - step),
        memoryMegabytes: Math.round(Deno.memoryUsage().rss / 1e6),
      };
    }
    const last = trainedDraft(await resident.copyTo(state));
    return state.best !== undefined && state.step === total
      ? await loadBest(folder, state.best)
      : last;
  } finally {
    await batches.return(undefined);
    if (unsaved) await saveCheckpoint(folder, await resident.copyTo(state));
  }
}
