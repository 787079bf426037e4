/**
 * What a target and the training of its draft need, from `config.json` alone: bytes of weights, caches, activations,
 * features and downloads, operations of a token and of an update. Programs are built, nothing is allocated. Whether it
 * fits, and how long it takes, is said by `lib/cli/plan.ts`, which knows the machine.
 */
import { bytesOfValue, countFlops } from "../graph/count.ts";
import { sizeOf } from "../graph/node.ts";
import type { Program } from "../graph/program.ts";
import type { DraftConfig, TargetConfig } from "../model/config.ts";
import { countParameters } from "../model/draft.ts";
import { targetMatrices, targetProgram, targetShapes } from "../model/llama.ts";
import { type Bits, packedShapes, type Stored, wantedBlock } from "../model/quantize.ts";
import type { Recipe } from "../train/recipe.ts";
import { optimizerShapes, trainingProgram } from "../train/step.ts";

/** One thing that takes memory, in bytes. */
export interface Need {
  what: string;
  bytes: number;
}

/** Parameters of a target. */
export function countTarget(config: TargetConfig): number {
  return Object.values(targetShapes(config)).reduce((n, shape) => n + sizeOf(shape), 0);
}

/** How a target's matrices are held in fewer bits. @throws when no block divides all rows. */
function packedTarget(config: TargetConfig, bits: 8 | 4): Stored {
  const matrices = targetMatrices(config), block = wantedBlock(matrices, { bits, what: "target" });
  return packedShapes(matrices, { bits, block });
}

/** Bytes of a target's weights in memory. @throws when fewer bits are asked for and no block divides all rows. */
export function weightBytes(config: TargetConfig, { bits }: { bits: Bits }): number {
  if (bits === 32) return 4 * countTarget(config);
  const matrices = targetMatrices(config);
  const packed = Object.values(packedTarget(config, bits))
    .reduce((n, { shape, dtype }) => n + sizeOf(shape) * (dtype === "u8" ? 1 : 4), 0);
  const shapes = targetShapes(config, { apart: true });
  const rest = Object.entries(shapes).filter(([name]) => !(name in matrices));
  return packed + rest.reduce((n, [, shape]) => n + 4 * sizeOf(shape), 0);
}

/** Bytes of a target's keys and values for one sequence. */
export function cacheBytes(
  { layers, kvHeads, headSize }: Pick<TargetConfig, "layers" | "kvHeads" | "headSize">,
  positions: number,
): number {
  return 4 * 2 * layers * kvHeads * headSize * positions;
}

/** Bytes of stored features of so many tokens: 16 bits a value, or 8 and a scale a row. */
export function featureBytes(
  tokens: number,
  { width, storage = "f16" }: { width: number; storage?: "f16" | "i8" },
): number {
  return tokens * (storage === "f16" ? 2 * width : width + 4);
}

/** A stand-in for how many bytes a program's temporaries take, by whoever knows a backend. */
export type TemporaryBytes = (program: Program) => number;

/** Decoding: what must be in memory, and operations of a plain token and of a verification. */
export interface DecodingPlan {
  needs: Need[];
  tokenFlops: number;
  verifyFlops: number;
  /** Bytes that one forward reads at least. */
  readBytes: number;
}

/** Plans decoding over `context` positions, trees of `nodes`. */
export function planDecoding(
  config: TargetConfig,
  { draft, bits, context, nodes, temporaries }: {
    draft: DraftConfig;
    bits: Bits;
    context: number;
    nodes: number;
    temporaries: TemporaryBytes;
  },
): DecodingPlan {
  const weights = weightBytes(config, { bits });
  const stored = bits === 32 ? {} : packedTarget(config, bits);
  const program = (rows: number) =>
    targetProgram(config, { rows, capacity: context + nodes, stored });
  const verify = program(nodes);
  // Of the embedding a row a token is gathered; where it is the head too, all of it is read.
  const gathered = config.tied && bits === 32 ? 0 : 4 * config.vocabulary * config.width;
  return {
    needs: [
      { what: `target weights, ${bits} bits`, bytes: weights },
      { what: `target cache, ${context} positions`, bytes: cacheBytes(config, context + nodes) },
      { what: "draft weights", bytes: 4 * countParameters(draft) },
      { what: "draft cache", bytes: cacheBytes({ ...draft, layers: 1 }, context + nodes) },
      { what: `activations, ${nodes} nodes`, bytes: temporaries(verify) },
    ],
    tokenFlops: countFlops(program(1)),
    verifyFlops: countFlops(verify),
    readBytes: weights - gathered + cacheBytes(config, context),
  };
}

/** Training: what must be in memory, and operations of an update. */
export interface TrainingPlan {
  needs: Need[];
  flops: number;
  parameters: number;
}

/** Plans one update of a draft over [batch, length] tokens. */
export function planTraining(
  { vocabulary, width, tied }: TargetConfig,
  { draft, recipe, batch, length, frozen = "f32", temporaries }: {
    draft: DraftConfig;
    recipe: Recipe;
    batch: number;
    length: number;
    frozen?: "f32" | "f16";
    temporaries: TemporaryBytes;
  },
): TrainingPlan {
  const program = trainingProgram(draft, { recipe, shape: { batch, length }, frozen });
  const state = Object.values(optimizerShapes(draft, recipe))
    .reduce((n, shape) => n + bytesOfValue({ shape, dtype: "f32" }), 0);
  const matrices = (tied ? 1 : 2) * vocabulary * width;
  return {
    needs: [
      { what: "draft parameters", bytes: 4 * countParameters(draft) },
      { what: "optimiser state", bytes: state },
      {
        what: `embedding and LM head of the target, ${frozen}`,
        bytes: matrices * (frozen === "f32" ? 4 : 2),
      },
      { what: `activations and gradients, ${batch} x ${length}`, bytes: temporaries(program) },
    ],
    flops: countFlops(program),
    parameters: countParameters(draft),
  };
}

/** The largest whole number from 1 to `most` for which `fits`, or 0; fitting must be a matter of size. */
export function largest(most: number, fits: (n: number) => boolean): number {
  let low = 0, high = most;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Bytes in all. */
export const totalBytes = (needs: readonly Need[]): number =>
  needs.reduce((sum, { bytes }) => sum + bytes, 0);
