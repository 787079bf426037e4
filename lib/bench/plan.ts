/**
 * What a target and the training of its draft need, from `config.json` alone: bytes of weights, caches, activations,
 * features and downloads, operations of a token and of an update. Programs are built, nothing is allocated. Whether it
 * fits, and how long it takes, is said by `lib/cli/plan.ts`, which knows the machine.
 */
import { bytesOfValue, countFlops } from "../graph/count.ts";
import { type DType, sizeOf } from "../graph/node.ts";
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

/** Deno, ONNX Runtime and the tokenizer before anything is loaded: 120 MB on the machines it was measured on. */
const PROCESS: Need = { what: "the process itself", bytes: 120e6 };

/** Parameters of a target. */
export function countTarget(config: TargetConfig): number {
  return Object.values(targetShapes(config)).reduce((n, shape) => n + sizeOf(shape), 0);
}

/** How a target is held. */
export interface Holding {
  bits: Bits;
  /** Matrices that are not rounded and the embedding in f16, as on a device from files of 16 bits. */
  half?: boolean;
}

/** How each weight of a target is held. @throws when fewer bits are asked for and no block divides all rows. */
export function storedTarget(config: TargetConfig, { bits, half = false }: Holding): Stored {
  const matrices = bits === 32 ? {} : targetMatrices(config), apart = bits !== 32 || half;
  const rest = Object.entries(targetShapes(config, { apart })).filter(([n]) => !(n in matrices))
    .map(([name, shape]) => {
      const dtype: DType = half && shape.length === 2 ? "f16" : "f32";
      return [name, { shape, dtype }] as const;
    });
  if (bits === 32) return Object.fromEntries(rest);
  const block = wantedBlock(matrices, { bits, what: "target" });
  return { ...Object.fromEntries(rest), ...packedShapes(matrices, { bits, block }) };
}

/** Bytes of a target's weights in memory. @throws as {@link storedTarget} does. */
export function weightBytes(config: TargetConfig, holding: Holding): number {
  return Object.values(storedTarget(config, holding)).reduce((n, w) => n + bytesOfValue(w), 0);
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

/** Bytes of the embedding that no forward reads: a row a token is gathered; where it is the head too, all is read. */
function gatheredBytes({ tied }: TargetConfig, stored: Stored): number {
  const shared = tied && !("lm_head.weight.packed" in stored);
  return shared ? 0 : bytesOfValue(stored["model.embed_tokens.weight"]);
}

/** The largest weight of a target in f32: one is there while it is read or packed. */
function largestWeight(config: TargetConfig): Need {
  const bytes = 4 * Math.max(...Object.values(targetShapes(config)).map(sizeOf));
  return { what: "a weight while it is read", bytes };
}

/** Plans decoding over `context` positions, trees of `nodes`. */
export function planDecoding(
  config: TargetConfig,
  { draft, draftBits = 8, context, nodes, temporaries, ...holding }: Holding & {
    draft: DraftConfig;
    draftBits?: 32 | 8;
    context: number;
    nodes: number;
    temporaries: TemporaryBytes;
  },
): DecodingPlan {
  const { bits, half } = holding, stored = storedTarget(config, holding);
  const weights = weightBytes(config, holding);
  const program = (rows: number) =>
    targetProgram(config, { rows, capacity: context + nodes, stored });
  const verify = program(nodes);
  return {
    needs: [
      { what: `target weights, ${bits === 32 && half ? 16 : bits} bits`, bytes: weights },
      { what: `target cache, ${context} positions`, bytes: cacheBytes(config, context + nodes) },
      // In f32 as read; and what runs: packed in 8 bits, the values it was packed from, or in f32 again.
      { what: "draft weights", bytes: (4 + (draftBits === 8 ? 2 : 4)) * countParameters(draft) },
      { what: "draft cache", bytes: cacheBytes({ ...draft, layers: 1 }, context + nodes) },
      { what: `activations, ${nodes} nodes`, bytes: temporaries(verify) },
      largestWeight(config),
      PROCESS,
    ],
    tokenFlops: countFlops(program(1)),
    verifyFlops: countFlops(verify),
    readBytes: weights - gatheredBytes(config, stored) + cacheBytes(config, context),
  };
}

/** Making data: what must be in memory, and operations of a step that gives each of `batch` conversations a token. */
export interface DataPlan {
  needs: Need[];
  stepFlops: number;
  /** Operations of a token of a prompt. */
  promptFlops: number;
  readBytes: number;
}

/** Rows of a chunk of a prompt. */
const CHUNK = 64;

/** Plans the target's answers to prompts, `batch` at a time. */
export function planData(
  config: TargetConfig,
  { context, batch, temporaries, ...holding }: Holding & {
    context: number;
    batch: number;
    temporaries: TemporaryBytes;
  },
): DataPlan {
  const capacity = context + CHUNK, stored = storedTarget(config, holding), { bits } = holding;
  const weights = weightBytes(config, holding);
  const step = targetProgram(config, { rows: 1, batch, capacity, stored });
  const chunk = targetProgram(config, { rows: CHUNK, capacity, stored });
  return {
    needs: [
      { what: `target weights, ${bits} bits`, bytes: weights },
      {
        what: `caches of ${batch} conversations, ${context} positions`,
        bytes: batch * cacheBytes(config, capacity),
      },
      { what: `activations, ${CHUNK} rows`, bytes: temporaries(step) + temporaries(chunk) },
      largestWeight(config),
      PROCESS,
    ],
    stepFlops: countFlops(step),
    promptFlops: countFlops(chunk) / CHUNK,
    readBytes: weights - gatheredBytes(config, stored) + batch * cacheBytes(config, context),
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
  const matrices = (tied ? 1 : 2) * vocabulary * width, parameters = 4 * countParameters(draft);
  return {
    needs: [
      // As it began, as it is, as an update writes it, and as a checkpoint has it.
      { what: "draft parameters, four times", bytes: 4 * parameters },
      { what: "optimiser state, and for checkpoints", bytes: 2 * state },
      {
        what: `embedding and LM head of the target, ${frozen}`,
        bytes: matrices * (frozen === "f32" ? 4 : 2),
      },
      { what: `activations and gradients, ${batch} x ${length}`, bytes: temporaries(program) },
      PROCESS,
    ],
    flops: countFlops(program),
    parameters: parameters / 4,
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
