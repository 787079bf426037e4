/**
 * Which ONNX models a draft needs elsewhere: one drafting step, weights inside, names for people. The Programs
 * are `draft.ts`'s; how a Program becomes a file is handed in (`lib/backend/onnx/export.ts`).
 */
import type { HostArray } from "../graph/node.ts";
import type { Program } from "../graph/program.ts";
import type { DraftConfig } from "./config.ts";
import { draftProgram } from "./draft.ts";
import { DRAFT_TOKENS } from "./eagle3.ts";
import type { OnnxFiles, SharedMatrices } from "./export.ts";
import type { OnnxValue } from "./export_readme.ts";
import type { Draft } from "./load.ts";

/** Writes a Program with its weights as an ONNX file. */
export type EmbedModel = (
  program: Program,
  options: {
    weights: Readonly<Record<string, HostArray>>;
    names: Readonly<Record<string, string>>;
    fused: boolean;
    half: boolean;
  },
) => { bytes: Uint8Array; inputs: readonly OnnxValue[]; outputs: readonly OnnxValue[] };

/** Sizes and kind of the models. */
export interface OnnxOptions {
  /** Rows of a call. */
  rows?: number;
  /** Rows of the caches; the draft's positions, at most 2048, if not said. */
  capacity?: number;
  /** Most likely tokens given for each row. */
  width?: number;
  /** Keep ONNX Runtime's own operators. */
  fused?: boolean;
  /** Store matrices in f16. */
  half?: boolean;
}

/** What is called otherwise outside: the one layer needs no number. */
const NAMES = {
  "keys.0": "keys",
  "values.0": "values",
  "new:keys.0": "new_keys",
  "new:values.0": "new_values",
  "out:logProbabilities": "log_probabilities",
};

const DEFAULT_CAPACITY = 2048;

/**
 * Checks the sizes against the draft and fills in what was not said.
 * @throws when the caches do not hold a call, or the vocabulary is smaller than the width.
 */
export function onnxSizes(
  { positions, vocabulary, draftVocabulary = vocabulary }: DraftConfig,
  { rows = 16, capacity = Math.min(positions, DEFAULT_CAPACITY), width = 10 }: OnnxOptions = {},
): { rows: number; capacity: number; width: number } {
  const refuse = (what: string) => new Error(`Cannot export an ONNX model ${what}`);
  if (!(rows >= 1 && rows < capacity)) {
    throw refuse(`of ${rows} rows: wanted 1 to ${capacity - 1}, the cache has ${capacity}`);
  }
  if (!(width >= 1 && width <= draftVocabulary)) {
    throw refuse(`giving ${width} tokens a row: wanted 1 to ${draftVocabulary}, the vocabulary`);
  }
  return { rows, capacity, width };
}

/**
 * The models of a draft: `draft.onnx`, and `draft-fed.onnx` where features of the target and those fed back
 * are read differently.
 * @throws when sizes do not fit the draft, or a model is too large for a file.
 */
export function draftModels(
  { draft, shared }: { draft: Draft; shared: Pick<SharedMatrices, "embedding" | "head"> },
  { embed, fused = false, half = false, ...options }: OnnxOptions & { embed: EmbedModel },
): OnnxFiles {
  const { config, parameters, tokens } = draft, sizes = onnxSizes(config, options);
  const weights: Record<string, HostArray> = {
    "embed_tokens.weight": shared.embedding,
    "lm_head.weight": shared.head,
    ...parameters, // has an LM head of its own where it reads taps
    ...(tokens !== undefined && { [DRAFT_TOKENS]: tokens }),
  };
  const files: [string, "target" | "draft"][] = [["draft.onnx", "target"]];
  if (config.fusion === "taps") files.push(["draft-fed.onnx", "draft"]);
  const made = files.map(([file, reads]) => ({
    file,
    ...embed(draftProgram(config, { ...sizes, reads }), { weights, names: NAMES, fused, half }),
  }));
  return {
    models: Object.fromEntries(made.map(({ file, bytes }) => [file, bytes])),
    note: {
      ...sizes,
      fused,
      half,
      models: made.map(({ file, inputs, outputs }) => ({ file, inputs, outputs })),
    },
  };
}
