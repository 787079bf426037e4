/**
 * One training step as Programs: the passes and their summed loss, the reverse sweep, and the update (clipping,
 * AdamW, running mean). One Program does it all; with accumulated gradients there are two. The passes are in
 * `passes.ts` and `eagle3_passes.ts`, the loop around the step is `train.ts`.
 */
import {
  add,
  concat,
  div,
  fill,
  input,
  max,
  min,
  mul,
  sliceAxis,
  sqrt,
  sub,
  sum,
} from "../graph/ops.ts";
import { adamw } from "../graph/composites.ts";
import { gradients, pullback } from "../graph/gradients.ts";
import type { Node, Shape } from "../graph/node.ts";
import { type Program, program } from "../graph/program.ts";
import type { DraftConfig } from "../model/config.ts";
import { type DraftParts, draftShapes } from "../model/draft.ts";
import { DRAFT_TOKENS } from "../model/eagle3.ts";
import { linear } from "../model/llama.ts";
import type { FrozenType } from "../model/load.ts";
import { buildEagle3Passes } from "./eagle3_passes.ts";
import {
  batchInputs,
  type BatchShape,
  type BetweenPasses,
  buildPasses,
  type Pass,
  type PassInputs,
  type PassRecipe,
} from "./passes.ts";
import type { Recipe } from "./recipe.ts";

/** Names of the target's frozen matrices among the inputs; its head, since a draft may have its own. */
export const EMBEDDING = "embed_tokens.weight";
export const targetHead = ({ fusion }: DraftConfig): string =>
  fusion === "taps" ? "target.lm_head.weight" : "lm_head.weight";

/** Everything of a draft, and what is frozen, as inputs of a Program. */
export interface InputParts extends DraftParts {
  embedding: Node;
  /** The target's LM head. */
  head: Node;
  /** The target's ids of the draft vocabulary, if it has its own. */
  tokens?: Node;
}

/**
 * x W^T. Where x is put together of parts (the fusion's [e ; f]), a product for each part: that of the
 * embeddings, which all passes read, is then computed and differentiated once.
 */
function projectParts(x: Node, w: Node): Node {
  if (x.op !== "concat") return linear(x, w);
  let start = 0;
  const products = x.inputs.map((part) => {
    const end = start + part.shape[1], columns = sliceAxis(w, 1, { start, end });
    start = end;
    return linear(part, columns);
  });
  return products.reduce((a, b) => add(a, b));
}

/** Makes the inputs. */
export function inputParts(
  config: DraftConfig,
  { frozen = "f32" }: { frozen?: FrozenType } = {},
): InputParts {
  const inputs = new Map(
    Object.entries(draftShapes(config)).map(([name, shape]) => [name, input(name, shape)]),
  );
  const weight = (name: string) => inputs.get(name)!;
  const { vocabulary, width, draftVocabulary } = config;
  return {
    config,
    weight,
    project: (x, name) => projectParts(x, weight(name)),
    embedding: input(EMBEDDING, [vocabulary, width], frozen),
    head: input(targetHead(config), [vocabulary, width], frozen),
    ...(draftVocabulary !== undefined && { tokens: input(DRAFT_TOKENS, [draftVocabulary], "i32") }),
  };
}

/** The passes of a batch, in the way of the draft's design. */
export function passesOf(
  parts: InputParts,
  inputs: PassInputs,
  { between, ...recipe }: PassRecipe & { between?: BetweenPasses },
): Pass[] {
  const { tokens } = parts;
  return tokens === undefined
    ? buildPasses(parts, inputs, { recipe, ...parts, between })
    : buildEagle3Passes(parts, inputs, { recipe, ...parts, tokens });
}

/** What pass i counts in the loss of a batch. */
const weightOf = (i: number, { backward, passDecay, passes }: Recipe): number =>
  passDecay ** i / (backward === "mean" ? passes : 1);

/** The loss of a batch: passes weighted and added, or averaged. */
export const totalLoss = (passes: readonly Pass[], recipe: Recipe): Node =>
  passes.map(({ loss }, i) => mul(loss, weightOf(i, recipe))).reduce((a, b) => add(a, b));

/**
 * Gradients pass by pass. They stop between passes, so what a pass sends back can be computed before the next one
 * begins, as far as its layer's input and the keys and values that it read; from there the sum of all passes goes
 * on in one sweep. The scores of one pass are then all that is in memory: T^2 + P T instead of P T^2.
 */
class PassSweep {
  #sums = new Map<Node, Node>();
  #recipe: Recipe;
  #parameters: readonly Node[];
  #boundary: Node[] = [];
  #pass = 0;
  constructor(recipe: Recipe, parameters: readonly Node[]) {
    this.#recipe = recipe;
    this.#parameters = parameters;
  }

  #add(to: readonly Node[], found: readonly (Node | undefined)[]): void {
    to.forEach((node, i) => {
      const known = this.#sums.get(node), g = found[i];
      if (g !== undefined) this.#sums.set(node, known === undefined ? g : add(known, g));
    });
  }

  /** Sweeps one pass down to its boundary. */
  readonly between: BetweenPasses = (pass, { residual, streams }) => {
    const { keys, values } = streams[streams.length - 1];
    this.#boundary.push(residual, keys, values);
    const read = [residual, ...streams.flatMap((s) => [s.keys, s.values])];
    const wrt = [...this.#parameters, ...read], seed = fill(weightOf(this.#pass++, this.#recipe));
    const found = pullback([pass.loss], [seed], { wrt, stops: read });
    this.#add(wrt, found);
    return found.slice(this.#parameters.length).filter((g) => g !== undefined);
  };

  /** Sweeps from the boundaries of all passes on; gradients in the order of the parameters. */
  finish(): Node[] {
    const seeds = this.#boundary.map((node) => this.#sums.get(node));
    const found = pullback(this.#boundary, seeds, { wrt: this.#parameters });
    this.#add(this.#parameters, found);
    return this.#parameters.map((p) => this.#sums.get(p) ?? fill(0, p.shape));
  }
}

/** What a step's Program is made for. */
export interface StepOptions {
  recipe: Recipe;
  shape: BatchShape;
  frozen?: FrozenType;
}

function lossOf(
  config: DraftConfig,
  { recipe, shape, frozen, sweep }: StepOptions & { sweep?: boolean },
) {
  const parts = inputParts(config, { frozen }),
    parameters = Object.keys(draftShapes(config)).map(parts.weight);
  // Where gradients flow from pass to pass there is nothing to cut.
  const inPieces = sweep === true && !recipe.bptt && parts.tokens === undefined;
  const pieces = inPieces ? new PassSweep(recipe, parameters) : undefined;
  const inputs = batchInputs(shape, { config, packing: recipe.packing });
  const passes = passesOf(parts, inputs, { ...recipe, between: pieces?.between });
  const loss = totalLoss(passes, recipe), metrics = concat(passes.map((p) => p.metrics), 0);
  const slopes = () => pieces?.finish() ?? gradients(loss, parameters);
  return { parts, loss, metrics, slopes };
}

/** Names of a parameter's moments in Programs and checkpoints: `first.NAME`, `second.NAME`. */
export const MOMENTS = ["first", "second"] as const;
/** Name of the running mean of a parameter: `average.NAME`. */
export const AVERAGE = "average";
/** Name of a gradient that is being added up: `sum.NAME`. */
export const SUM = "sum";

/** Names and shapes of what an optimiser keeps beside the parameters. */
export function optimizerShapes(
  config: DraftConfig,
  { average }: Pick<Recipe, "average">,
): Record<string, Shape> {
  const kinds = average > 0 ? [...MOMENTS, AVERAGE] : MOMENTS;
  return Object.fromEntries(
    Object.entries(draftShapes(config))
      .flatMap(([name, shape]) => kinds.map((kind) => [`${kind}.${name}`, shape])),
  );
}

/** New values of parameters and optimiser state, and the norm of the gradient before clipping. */
function update(
  parameters: Record<string, Node>,
  { recipe, slopes }: { recipe: Recipe; slopes: Record<string, Node> },
): { updates: Record<string, Node>; gradientNorm: Node } {
  const { beta1, beta2, epsilon, weightDecay, clip, clipNorm, average } = recipe;
  const schedule = input("schedule", [3]), updates: Record<string, Node> = {};
  const square = Object.values(slopes)
    .map((g) => sum(mul(g, g))).reduce((a, b) => add(a, b), fill(0));
  const gradientNorm = sqrt(square);
  const shrink = clipNorm > 0 ? min(div(clipNorm, max(gradientNorm, 1e-12)), 1) : undefined;
  for (const [name, parameter] of Object.entries(parameters)) {
    const gradient = shrink === undefined ? slopes[name] : mul(slopes[name], shrink);
    const [first, second] = MOMENTS.map((m) => input(`${m}.${name}`, parameter.shape));
    const next = adamw(
      { parameter, gradient, first, second, schedule },
      { beta1, beta2, epsilon, weightDecay, clip },
    );
    updates[name] = next.parameter;
    updates[`first.${name}`] = next.first;
    updates[`second.${name}`] = next.second;
    if (average === 0) continue;
    const mean = input(`${AVERAGE}.${name}`, parameter.shape);
    updates[`${AVERAGE}.${name}`] = add(
      mean,
      mul(sub(next.parameter, mean), input("renewal", [1])),
    );
  }
  return { updates, gradientNorm };
}

const named = (config: DraftConfig, value: (name: string) => Node): Record<string, Node> =>
  Object.fromEntries(Object.keys(draftShapes(config)).map((name) => [name, value(name)]));

/**
 * The Program of a training step. Inputs: those of a batch, parameters and optimiser state, `schedule` [3]
 * (learning rate, 1 - beta1^t, 1 - beta2^t), with a running mean `renewal` [1] (the share of the new value),
 * frozen embedding and head. Outputs: `loss`, `gradientNorm`, `metrics` [P 8]; the rest is updated.
 */
export function trainingProgram(
  config: DraftConfig,
  { recipe, ...options }: StepOptions,
): Program {
  const step = lossOf(config, { recipe, ...options, sweep: true }), { parts, loss, metrics } = step;
  const parameters = named(config, parts.weight), names = Object.keys(parameters);
  const found = step.slopes();
  const slopes = Object.fromEntries(names.map((name, i) => [name, found[i]]));
  const { updates, gradientNorm } = update(parameters, { recipe, slopes });
  return program({ loss, metrics, gradientNorm }, { updates });
}

/** Adds a batch's share of the gradient to `sum.NAME`; outputs as {@link trainingProgram}, without the norm. */
export function accumulateProgram(
  config: DraftConfig,
  { recipe, ...options }: StepOptions,
): Program {
  const step = lossOf(config, { recipe, ...options, sweep: true }), { parts, loss, metrics } = step;
  const parameters = named(config, parts.weight), names = Object.keys(parameters);
  const found = step.slopes().map((g) => mul(g, 1 / recipe.accumulate));
  const updates = Object.fromEntries(
    names.map((name, i) => [
      `${SUM}.${name}`,
      add(input(`${SUM}.${name}`, parameters[name].shape), found[i]),
    ]),
  );
  return program({ loss, metrics }, { updates });
}

/** The update from the gradients added up in `sum.NAME`, which become zero; output `gradientNorm`. */
export function updateProgram(config: DraftConfig, { recipe }: { recipe: Recipe }): Program {
  const shapes = draftShapes(config);
  const parameters = named(config, (name) => input(name, shapes[name]));
  const slopes = named(config, (name) => input(`${SUM}.${name}`, shapes[name]));
  const { updates, gradientNorm } = update(parameters, { recipe, slopes });
  for (const [name, { shape }] of Object.entries(slopes)) {
    updates[`${SUM}.${name}`] = fill(0, shape);
  }
  return program({ gradientNorm }, { updates });
}

/** The same losses and metrics without an update, for validation. */
export function validationProgram(
  config: DraftConfig,
  options: StepOptions,
): Program {
  const { loss, metrics } = lossOf(config, options);
  return program({ loss, metrics });
}
