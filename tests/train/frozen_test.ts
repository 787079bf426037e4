/**
 * Training with the target's embedding and head stored in f16: the same step, exactly, as with their rounded values in
 * f32; ten steps beside the values as they were; resume to the same bits; what is refused.
 */
import assert from "node:assert/strict";
import { referenceBackend } from "../../lib/backend/reference.ts";
import type { Backend, Params } from "../../lib/backend/backend.ts";
import { sizeOf } from "../../lib/graph/node.ts";
import { fromHalf, toHalf } from "../../lib/io/float16.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import type { Draft, FrozenTarget, Target } from "../../lib/model/load.ts";
import { DRAFT_TOKENS } from "../../lib/model/eagle3.ts";
import type { StepEvent, TrainingEvent } from "../../lib/report/events.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { DEFAULT_RECIPE, LOSS_WEIGHTS, type Recipe } from "../../lib/train/recipe.ts";
import { EMBEDDING, type StepOptions, targetHead, trainingProgram } from "../../lib/train/step.ts";
import { train, type TrainOptions } from "../../lib/train/train.ts";
import { integers, values } from "../graph/evaluate.ts";
import { tinyDraft, tinyDraftConfig } from "../model/tiny.ts";
import { assertClose } from "../tolerance.ts";
import { sameBits, withRun } from "./tiny_run.ts";

const CONFIG = tinyDraftConfig(undefined, { target: "tiny-1" });
const TAPS = tinyDraftConfig(undefined, {
  fusion: "taps",
  head: "single",
  taps: [0, 1],
  draftVocabulary: 12,
});
const RECIPE: Recipe = {
  ...DEFAULT_RECIPE,
  passes: 2,
  epochs: 2.5,
  rows: 128,
  maxLength: 64,
  warmup: 2,
  learningRate: 3e-3,
  seed: 5,
};

/** One step in float64, and what it leaves: outputs, parameters, moments. */
async function exactStep(
  config: DraftConfig,
  options: StepOptions,
): Promise<Record<string, Float64Array>> {
  const backend = referenceBackend(), made = trainingProgram(config, options);
  const { tokens } = tinyDraft(config), given: Params = {};
  for (const [name, { shape, dtype }] of Object.entries(made.inputs)) {
    if (name === EMBEDDING || name === targetHead(config)) {
      const bits = toHalf(Float32Array.from(values(shape, name)));
      given[name] = backend.tensor(dtype === "f16" ? bits : fromHalf(bits), shape);
    } else if (name === DRAFT_TOKENS) given[name] = backend.tensor(tokens!, shape);
    else if (dtype === "i32") {
      given[name] = backend.tensor(integers(shape, name, { below: config.vocabulary }), shape);
    } else if (name === "schedule") {
      given[name] = backend.tensor(Float32Array.of(0.1, 0.1, 0.1), shape);
    } else if (name === "mask") {
      given[name] = backend.tensor(new Float32Array(sizeOf(shape)).fill(1), shape);
    } else {given[name] = backend.exact(
        values(shape, name, { positive: /^second/.test(name) }),
        shape,
      );}
  }
  const run = await backend.compile(made), out = await run.run(given);
  const all = {
    ...out,
    ...Object.fromEntries(Object.keys(made.updates).map((n) => [n, given[n]])),
  };
  return Object.fromEntries(
    Object.entries(all).map(([name, t]) => [name, (t as unknown as { exact: Float64Array }).exact]),
  );
}

for (
  const [name, config, changes] of [
    ["griffin", CONFIG, { passes: 2, alignK: 15 }],
    ["gradients through all passes", CONFIG, { passes: 2, bptt: true, mask: "none" }],
    ["eagle3", TAPS, { passes: 2, mask: "none", weights: LOSS_WEIGHTS.tokens, bptt: true }],
  ] as [string, DraftConfig, Partial<Recipe>][]
) {
  Deno.test(`a step on f16 is the step on its values in f32: ${name}`, async () => {
    const options = { recipe: { ...DEFAULT_RECIPE, ...changes }, shape: { batch: 2, length: 7 } };
    const found = await exactStep(config, { ...options, frozen: "f16" });
    const wanted = await exactStep(config, { ...options, frozen: "f32" });
    assert.deepEqual(Object.keys(found).sort(), Object.keys(wanted).sort());
    for (const [key, w] of Object.entries(wanted)) {
      assertClose(found[key], w, { what: key, shape: [w.length], a: 1e-12, eps: 1e-12 });
    }
  });
}

/** The target without its layers, frozen matrices as given. */
function frozenOf(
  { folder, config, identity, weights }: Target,
  { backend, kind }: { backend: Backend; kind: "f32" | "f16" | "rounded" },
): FrozenTarget {
  const names = ["model.embed_tokens.weight", "lm_head.weight"];
  const stored = names.map((name) => {
    const data = (weights[name].host as Float32Array).slice(), { shape } = weights[name];
    const bits = toHalf(data);
    const values = { f32: data, f16: bits, rounded: fromHalf(bits) }[kind];
    return [name, backend.tensor(values, shape)] as const;
  });
  return { folder, config, identity, weights: Object.fromEntries(stored) };
}

async function runTo(
  options: TrainOptions,
  enough: (event: TrainingEvent) => boolean = () => false,
): Promise<{ steps: StepEvent[]; draft: Draft | undefined }> {
  const run = train(initialDraft(CONFIG, { seed: 3 }), options), steps: StepEvent[] = [];
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { steps, draft: value };
    if (value.type === "step") steps.push(value);
    if (enough(value)) {
      await run.return(undefined as never);
      return { steps, draft: undefined };
    }
  }
}

/** Calls with a run on frozen matrices of a kind, in a folder of its own. */
async function withFrozen<T>(
  kind: "f32" | "f16" | "rounded",
  use: (options: TrainOptions) => Promise<T>,
): Promise<T> {
  let made: T;
  await withRun(async ({ backend, target, examples, folder }) => {
    const frozen = frozenOf(target as Target, { backend, kind });
    made = await use({ backend, target: frozen, examples, folder, recipe: RECIPE });
  });
  return made!;
}

/** Largest relative distance of two runs' losses. */
const apart = (one: StepEvent[], other: StepEvent[]) =>
  Math.max(...one.map(({ loss }, i) => Math.abs(loss / other[i].loss - 1)));

Deno.test("ten steps on f16 are those on its values in f32, and near those on the values as they were", async () => {
  const run = (options: TrainOptions) => runTo(options);
  const [half, rounded, full] = [
    await withFrozen("f16", run),
    await withFrozen("rounded", run),
    await withFrozen("f32", run),
  ].map(({ steps }) => steps);
  assert.equal(half.length, 10);
  // The products are those of f32; at this size not even their order differs (found: 0).
  assert.ok(apart(half, rounded) < 1e-6, `${apart(half, rounded)} from rounded values`);
  // Rounding moves a weight by 2^-12 of itself at most; losses were seen to move by 2.2e-5.
  const moved = apart(half, full);
  assert.ok(moved > 0 && moved < 2e-4, `${moved} from the values as they were`);
});

Deno.test("a run on f16 goes on to the same bits, and in no other type", () =>
  withFrozen("f16", async (options) => {
    const whole = await runTo({ ...options, folder: `${options.folder}/whole` });
    const again = { ...options, folder: `${options.folder}/cut`, checkpointEvery: 2 };
    await runTo(again, (e) => e.step === 5);
    const { target, backend } = options,
      weights = Object.fromEntries(
        Object.entries(target.weights).map((
          [name, { host, shape }],
        ) => [name, backend.tensor(fromHalf(host as Uint16Array), shape)]),
      );
    const wrong = { ...again, target: { ...target, weights } };
    await assert.rejects(runTo(wrong), /Cannot resume .*"frozen":"f16".*, now asked for/);
    const rest = await runTo(again);
    assert.equal(rest.steps[0].step, 6);
    assert.ok(sameBits(rest.draft, whole.draft));
    assert.deepEqual(rest.steps.map((e) => e.loss), whole.steps.slice(5).map((e) => e.loss));
  }));

Deno.test("a run on f16 accumulates and validates", () =>
  withFrozen("f16", async (options) => {
    const events: TrainingEvent[] = [];
    const recipe = { ...RECIPE, accumulate: 2 };
    await runTo({ ...options, recipe, validation: options.examples }, (e) => {
      events.push(e);
      return false;
    });
    const validation = events.find((e) => e.type === "validation")!;
    assert.ok(Number.isFinite(validation.loss) && validation.loss > 0);
    assert.ok(events.filter((e) => e.type === "step").every((e) => e.gradientNorm > 0));
  }));
