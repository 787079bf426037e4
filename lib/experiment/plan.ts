/**
 * From an experiment to what must be trained and measured: a job an arm and seed, each with its steps of training.
 * A step's name is a hash of all that its result depends on, the step before included: what is trained the same
 * way, in this experiment or another, is trained once. Runs of the plan: `run.ts`.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Examples } from "../data/features.ts";
import type { DraftConfig } from "../model/config.ts";
import type { Target } from "../model/load.ts";
import { checkRecipe, type Recipe } from "../train/recipe.ts";
import {
  type Arm,
  checkExperiment,
  draftConfigOf,
  type Experiment,
  isTrained,
  recipesOf,
} from "./experiment.ts";

/** A step of training that one or more arms need. */
export interface PlannedStep {
  key: string;
  recipe: Recipe;
  /** Epochs read by the steps before. */
  start: number;
}

/** One arm with one seed. */
export interface Job {
  arm: Arm;
  seed: number;
  /** The draft to train; none where nothing is trained. */
  config?: DraftConfig;
  steps: readonly PlannedStep[];
  /** Name of the row's file: what was trained and how it was measured. */
  file: string;
}

export interface PlanOptions {
  target: Pick<Target, "config" | "identity">;
  /** Training data; needed where an arm is trained. */
  examples?: Pick<Examples, "of" | "count" | "lengths">;
  /** These seeds in place of the experiment's. */
  seeds?: readonly number[];
  /** Names of arms; all where left out. */
  only?: readonly string[];
}

const keyOf = (...parts: unknown[]) =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 12);

const slug = (name: string) => name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

function planSteps(
  { arm, seed, config }: { arm: Arm; seed: number; config: DraftConfig },
  { settings }: Experiment,
  { target, examples }: PlanOptions,
): PlannedStep[] {
  if (examples === undefined) {
    throw new Error(`Cannot train arm ${arm.name}: there are no training examples, wanted --data`);
  }
  const { of, count, lengths } = examples;
  let start = 0, key = keyOf(target.identity, config, seed, of, count, lengths);
  return recipesOf(arm, { settings, seed }).map((recipe) => {
    checkRecipe(recipe, config);
    key = keyOf(key, recipe, start);
    const step = { key, recipe, start };
    start += recipe.epochs;
    return step;
  });
}

async function hashDraft(folder: string): Promise<string> {
  const path = join(folder, "model.safetensors");
  const bytes = await readFile(path).catch(() => {
    throw new Error(`Cannot measure ${folder}: it holds no model.safetensors, wanted a draft`);
  });
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}

/**
 * The jobs of an experiment, a seed after the other, so that what is stopped early has all arms of its first seeds.
 * @throws when the experiment contradicts itself, `only` names no arm, or data or a draft is missing.
 */
export async function planExperiment(
  experiment: Experiment,
  options: PlanOptions,
): Promise<Job[]> {
  checkExperiment(experiment);
  const { arms, seeds, settings, name } = experiment, { only, target } = options;
  const unknown = only?.find((n) => !arms.some((a) => a.name === n));
  if (unknown !== undefined) {
    throw new Error(
      `Cannot run arm ${unknown} of ${name}: wanted some of ${arms.map((a) => a.name).join(", ")}`,
    );
  }
  const jobs: Job[] = [];
  for (const seed of options.seeds ?? seeds) {
    for (const arm of arms.filter((a) => only?.includes(a.name) ?? true)) {
      const trains = isTrained(experiment, arm);
      const config = trains ? draftConfigOf(arm, target, settings) : undefined;
      const steps = config === undefined
        ? []
        : planSteps({ arm, seed, config }, experiment, options);
      const { prompts, maxTokens } = settings, trees = arm.trees ?? settings.trees;
      const draft = arm.trained === undefined ? undefined : await hashDraft(arm.trained);
      const key = keyOf(target.identity, steps.at(-1)?.key, draft, prompts, maxTokens, trees);
      const file = `${slug(arm.name)}-seed-${seed}-${key}.json`;
      jobs.push({ arm, seed, ...(config !== undefined && { config }), steps, file });
    }
  }
  return jobs;
}
