/**
 * The golden sets: where they lie, which there are, and the passes of a set as a run on a backend. Sizes
 * come from the files, so that other sets can be checked: GOLDEN_DIR names their folder. Not a test itself.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Backend, Params } from "../../lib/backend/backend.ts";
import { ReferenceTensor } from "../../lib/backend/reference.ts";
import { gradients } from "../../lib/graph/gradients.ts";
import type { HostArray, Node } from "../../lib/graph/node.ts";
import { add } from "../../lib/graph/ops.ts";
import { program } from "../../lib/graph/program.ts";
import { openSafetensors, type TensorSource } from "../../lib/io/safetensors.ts";
import { type DraftConfig, readDraftConfig } from "../../lib/model/config.ts";
import { draftShapes } from "../../lib/model/draft.ts";
import { linear } from "../../lib/model/llama.ts";
import { random } from "../../lib/random.ts";
import { batchInputs, type PassRecipe } from "../../lib/train/passes.ts";
import { DEFAULT_RECIPE } from "../../lib/train/recipe.ts";
import { inputParts, passesOf } from "../../lib/train/step.ts";

export const FOLDER = Deno.env.get("GOLDEN_DIR") ?? join(import.meta.dirname!, "upstream");

/** Files of the folder that match, with the groups of the pattern. */
export function goldenFiles(pattern: RegExp): RegExpMatchArray[] {
  return readdirSync(FOLDER).sort().flatMap((name) => {
    const match = name.match(pattern);
    return match === null ? [] : [match];
  });
}

export const openGolden = (name: string): TensorSource => openSafetensors(join(FOLDER, name));

/** A variant's draft (`mha`, `gqa`, ...): configuration, parameters, and the target's two matrices. */
export async function goldenDraft(variant: string) {
  const config = await readDraftConfig(join(FOLDER, `draft-${variant}.config.json`));
  using weights = openGolden(`draft-${variant}.safetensors`);
  using heads = openGolden(`head-${variant}.safetensors`);
  return {
    config,
    parameters: Object.fromEntries(
      Object.keys(draftShapes(config)).map((name) => [name, weights.readFloat32(name)]),
    ),
    embedding: weights.readFloat32("embed_tokens.weight"),
    head: heads.readFloat32("lm_head.weight"),
  };
}

export type GoldenDraft = Awaited<ReturnType<typeof goldenDraft>>;
/** Largest error relative to the largest wanted value. */
export function relative(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (found.length !== wanted.length) return Infinity;
  let error = 0, size = 0;
  for (let i = 0; i < wanted.length; i++) {
    const apart = Math.abs(found[i] - wanted[i]);
    if (Number.isNaN(apart)) return Infinity;
    error = Math.max(error, apart);
    size = Math.max(size, Math.abs(wanted[i]));
  }
  return error === 0 ? 0 : error / size;
}

/** Values by name. */
export type Values = Record<string, ArrayLike<number>>;

function unrounded(tensors: Params): Values {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, t]) => [
      name,
      t instanceof ReferenceTensor ? t.exact : t.host!.slice(),
    ]),
  );
}

/** The inputs of a set: the batch as it was trained on, all parameters, embedding and head. */
export function goldenInputs(
  { draft, set }: { draft: GoldenDraft; set: TensorSource },
  { backend, nudge = 0 }: { backend: Backend; nudge?: number },
): Params {
  const { config, parameters, embedding, head } = draft;
  const [b, t, d] = set.info("hidden_states").shape, vocabulary = [config.vocabulary, d];
  const floats = (name: string, values: Float32Array) => {
    if (nudge === 0) return values;
    // Another value within one rounding of this one.
    const from = random(nudge, name);
    return values.map((x) => x * (1 + (from.integer(3) - 1) * 2 ** -23));
  };
  const features = floats("features", set.readFloat32("hidden_states"));
  const inputs: [string, HostArray, readonly number[]][] = [
    ["ids", set.readInt("input_ids"), [b, t]],
    ["mask", Float32Array.from(set.readInt("loss_mask")), [b, t]],
    ["noisy", features, [b, t, d]],
    ["features", features.slice(), [b, t, d]],
    ["embed_tokens.weight", floats("embedding", embedding), vocabulary],
    ["lm_head.weight", floats("head", head), vocabulary],
    ...Object.entries(draftShapes(config)).map(([name, shape]) =>
      [name, floats(name, parameters[name]).slice(), shape] as [string, HostArray, number[]]
    ),
  ];
  return Object.fromEntries(inputs.map(([n, data, shape]) => [n, backend.tensor(data, shape)]));
}

export type GoldenRecipe = Partial<PassRecipe> & Pick<PassRecipe, "passes">;

/**
 * Compiles the passes of a set. Outputs, p from 1: `p.predict`, `p.regress`, `p.logits`, `p.mask`, `p.vloss`,
 * `p.ploss`, `p.topk_loss`, `p.loss`, and after the passes in `after` the gradients of the losses so far,
 * `p.grad.NAME`.
 */
export async function goldenPasses(
  config: DraftConfig,
  { backend, shape: [batch, length], recipe, after }: {
    backend: Backend;
    shape: readonly number[];
    recipe: GoldenRecipe;
    after: readonly number[];
  },
): Promise<(inputs: Params) => Promise<Values>> {
  const parts = inputParts(config), names = Object.keys(draftShapes(config));
  const passes = passesOf(parts, batchInputs({ batch, length }, { config }), {
    ...DEFAULT_RECIPE,
    ...recipe,
  });
  const outputs: Record<string, Node> = {};
  let total: Node | undefined;
  passes.forEach((pass, i) => {
    const at = i + 1;
    outputs[`${at}.predict`] = pass.predict;
    outputs[`${at}.regress`] = pass.regress;
    outputs[`${at}.logits`] = linear(pass.predict, parts.head);
    outputs[`${at}.mask`] = pass.mask;
    outputs[`${at}.vloss`] = pass.featureLoss;
    outputs[`${at}.ploss`] = pass.tokenLoss;
    outputs[`${at}.topk_loss`] = pass.topKLoss;
    outputs[`${at}.loss`] = pass.loss;
    total = total === undefined ? pass.loss : add(total, pass.loss);
    if (!after.includes(at)) return;
    gradients(total, names.map((name) => parts.weight(name)))
      .forEach((g, n) => outputs[`${at}.grad.${names[n]}`] = g);
  });
  const run = await backend.compile(program(outputs));
  return async (inputs) => unrounded(await run.run(inputs));
}
