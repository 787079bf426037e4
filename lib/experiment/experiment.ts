/**
 * An experiment as a value: a question, arms that differ in what is asked about, seeds, settings that all arms
 * share, and the paper's table that belongs beside it. It runs nothing. Which trainings it needs: `plan.ts`.
 */
import type { Counts } from "../eval/two_level.ts";
import type { TreeShape } from "../decode/growth.ts";
import type { DraftConfig } from "../model/config.ts";
import { checkDraftConfig, draftSizes } from "../model/config.ts";
import type { Target } from "../model/load.ts";
import { eagle3Taps, type Preset, type PresetName, PRESETS } from "../train/presets.ts";
import { checkRecipe, DEFAULT_RECIPE, type Recipe } from "../train/recipe.ts";

/** A tree that tau is measured with. */
export interface MeasuredTree {
  tree: TreeShape;
  minimumScore?: number;
}

/** One thing that is compared: a preset, changed. */
export interface Arm {
  name: string;
  /** griffin where none is named. */
  preset?: PresetName;
  /** Passes of each step; the preset's where none are given. */
  passes?: readonly number[];
  /** Choices that differ from the preset's. */
  recipe?: Partial<Recipe>;
  /** Parts of the draft that differ from the preset's. */
  draft?: Partial<Pick<DraftConfig, "fusion" | "head" | "inner">>;
  /** Folder of a draft that is measured as it is: nothing is trained. */
  trained?: string;
  /** Trees in place of the settings' ones, under the same names. */
  trees?: Record<string, MeasuredTree>;
  /** Its row in the paper's table. */
  paper?: string;
}

/** What all arms share. */
export interface Settings {
  /** Epochs of the training data that each arm reads, all its steps together: equal training tokens. */
  epochs: number;
  /** Learning rate of a first step, and of later ones. */
  learningRate: readonly [first: number, later: number];
  /** Rows of a batch, about. */
  rows: number;
  warmup: number;
  /** Inner width of the draft. */
  inner: number;
  /** Held-out prompts that tau is measured on, new tokens of each at most. */
  prompts: number;
  maxTokens: number;
  /** By the name of the measure: each gives a tau. */
  trees: Record<string, MeasuredTree>;
}

/** A table of the paper: acceptance length and speedup at temperature 0. */
export interface PaperTable {
  title: string;
  rows: readonly { variant: string; tau: number; speedup: number }[];
}

/** Measures an arm otherwise than by training and decoding: by measure, a pair a prompt. */
export type Measure<L> = (
  arm: Arm,
  options: { seed: number; settings: Settings; lab: L; signal?: AbortSignal },
) => Promise<Record<string, Counts[]>>;

/** A question with all that its answer takes. `L`: what a measurement of its own works with. */
// deno-lint-ignore no-explicit-any -- experiments without a measure of their own fit every lab
export interface Experiment<L = any> {
  /** As its folder. */
  name: string;
  question: string;
  arms: readonly Arm[];
  /** Name of the arm that the others are compared with. */
  base: string;
  seeds: readonly number[];
  settings: Settings;
  paper?: PaperTable;
  measure?: Measure<L>;
}

/** Does this arm need a draft of its own to be trained? */
export const isTrained = ({ measure }: Experiment, { trained }: Arm): boolean =>
  measure === undefined && trained === undefined;

/** Passes of each step of an arm. */
export const passesOf = ({ preset = "griffin", passes }: Arm): readonly number[] =>
  passes ?? PRESETS[preset].steps;

/** The draft of an arm for a target. @throws when its parts do not go together. */
export function draftConfigOf(
  { preset = "griffin", draft = {} }: Arm,
  { config, identity }: Pick<Target, "config" | "identity">,
  { inner }: Pick<Settings, "inner">,
): DraftConfig {
  const { fusion, head }: Preset = PRESETS[preset];
  const parts = { fusion, head, ...draft }, taps = parts.fusion === "taps";
  const made: DraftConfig = {
    ...draftSizes(config, parts),
    inner,
    ...parts,
    target: identity,
    ...(taps && { taps: eagle3Taps(config), draftVocabulary: Math.ceil(config.vocabulary / 2) }),
  };
  checkDraftConfig(made);
  return made;
}

/**
 * What has no effect in a step of one pass is set to the default, so that arms which differ in later passes
 * alone have the same first step.
 */
function withoutLaterPasses(recipe: Recipe): Recipe {
  if (recipe.passes > 1) return recipe;
  const { mask, alignK, label, feedback, bptt, topTokens, backward, passDecay, weights } =
    DEFAULT_RECIPE;
  const first = { mask, alignK, label, feedback, bptt, topTokens, backward, passDecay };
  return { ...recipe, ...first, weights: { ...recipe.weights, topK: weights.topK } };
}

/** The recipe of each step of an arm, in order; the settings' epochs divided among them. */
export function recipesOf(
  arm: Arm,
  { settings, seed }: { settings: Settings; seed: number },
): Recipe[] {
  const { epochs, learningRate: [first, later], rows, warmup } = settings, passes = passesOf(arm);
  const preset: Preset = PRESETS[arm.preset ?? "griffin"];
  return passes.map((p, i) =>
    withoutLaterPasses({
      ...DEFAULT_RECIPE,
      rows,
      warmup,
      learningRate: i === 0 ? first : later,
      ...preset.recipe,
      ...arm.recipe,
      passes: p,
      epochs: epochs / passes.length,
      seed,
    })
  );
}

const isDouble = (names: readonly string[]) => names.find((n, i) => names.indexOf(n) !== i);

/** @throws naming what is wrong: names twice, no such base, no seeds, a recipe that contradicts itself. */
export function checkExperiment(experiment: Experiment): void {
  const { name, arms, base, seeds, settings, paper } = experiment;
  const refuse = (what: string) => new Error(`Cannot run experiment ${name}: ${what}`);
  const twice = isDouble(arms.map((a) => a.name));
  if (twice !== undefined) throw refuse(`it has two arms named ${twice}`);
  if (!arms.some((a) => a.name === base)) {
    throw refuse(`its base is ${base}, wanted one of ${arms.map((a) => a.name).join(", ")}`);
  }
  const seed = seeds.find((s, i) => !Number.isSafeInteger(s) || seeds.indexOf(s) !== i);
  if (seeds.length === 0 || seed !== undefined) {
    throw refuse(`its seeds are ${seeds.join(", ") || "none"}, wanted different whole numbers`);
  }
  for (const arm of arms) {
    const unknown = arm.paper !== undefined && !paper?.rows.some((r) => r.variant === arm.paper);
    if (unknown) throw refuse(`arm ${arm.name} names "${arm.paper}", not in the paper's table`);
    if (!isTrained(experiment, arm)) continue;
    for (const recipe of recipesOf(arm, { settings, seed: seeds[0] })) checkRecipe(recipe);
  }
}
