/**
 * What the alignment mask does to one example: the passes of training run forward with a draft, and for every row
 * whether it is trained and whether the draft's top k holds the true token. Drawn by `report/mask_inspector.ts`.
 */
import { type Backend, type Params, readAll } from "../backend/backend.ts";
import type { Examples, TrainingExample } from "../data/features.ts";
import { type Program, program } from "../graph/program.ts";
import { draftShapes } from "../model/draft.ts";
import { type Draft, sharedHead, type Target } from "../model/load.ts";
import { fillBatch } from "./batches.ts";
import { batchInputs } from "./passes.ts";
import type { Recipe } from "./recipe.ts";
import { EMBEDDING, inputParts, passesOf, targetHead } from "./step.ts";

/** One pass over an example; an entry a row, row t predicting token t + 2. */
export interface AlignedPass {
  /** The row is trained in this pass: under the loss mask and the alignment mask. */
  trained: boolean[];
  /** The true token is among the draft's top k in this pass. */
  hit: boolean[];
}

/** An example's rows, pass by pass. */
export interface AlignedExample {
  /** Token that each row predicts. */
  tokens: Int32Array;
  /** The loss counts the row, whatever the alignment mask says. */
  trainable: boolean[];
  passes: AlignedPass[];
}

/**
 * Runs the passes of a recipe forward over one example, with its mask rule, and tells what became of each row.
 * @throws when the draft has a vocabulary of its own: its passes know no alignment mask.
 */
export async function inspectAlignment(
  { config, parameters }: Draft,
  { example, of }: { example: TrainingExample; of: Examples["of"] },
  { backend, target, recipe }: { backend: Backend; target: Target; recipe: Recipe },
): Promise<AlignedExample> {
  if (config.draftVocabulary !== undefined) {
    throw new Error("Cannot inspect alignment: fusion taps trains without an alignment mask");
  }
  const length = example.ids.length, shape = { batch: 1, length };
  const one = { of, count: 1, lengths: [length], read: () => Promise.resolve(example) };
  const plan = { ...shape, rows: [[0]] } as Parameters<typeof fillBatch>[1]["plan"];
  const batch = await fillBatch(one, { plan, epoch: 0 } as Parameters<typeof fillBatch>[1], {
    ...recipe,
    noise: 0,
  });
  const passes = passesOf(inputParts(config), batchInputs(shape, { config }), recipe);
  const outputs = passes.flatMap(({ mask, hit }, p) => [[`mask.${p}`, mask], [`hit.${p}`, hit!]]);
  const made: Program = program(Object.fromEntries(outputs));
  const shared = sharedHead(target);
  const tensors: Params = {
    ids: backend.tensor(batch.ids, [1, length]),
    mask: backend.tensor(batch.mask, [1, length]),
    features: backend.tensor(batch.features, [1, length, config.width]),
    noisy: backend.tensor(batch.noisy, [1, length, config.width]),
    [EMBEDDING]: shared[EMBEDDING],
    [targetHead(config)]: shared["lm_head.weight"],
  };
  for (const [name, size] of Object.entries(draftShapes(config))) {
    tensors[name] = backend.tensor(parameters[name].slice(), size);
  }
  const given = Object.fromEntries(Object.keys(made.inputs).map((name) => [name, tensors[name]]));
  using run = await backend.compile(made);
  const values = await readAll(await run.run(given));
  const flags = (name: string) => Array.from(values[name], (v) => v > 0.5);
  return {
    tokens: Int32Array.from({ length }, (_, t) => example.ids[t + 2] ?? 0),
    trainable: Array.from(batch.mask, (m) => m > 0),
    passes: passes.map((_, p) => ({ trained: flags(`mask.${p}`), hit: flags(`hit.${p}`) })),
  };
}
