/** Options that tasks which decode have in common, and what they open from them. */
import { openOnnxBackend } from "../backend/onnx/backend.ts";
import { DraftDecoder } from "../decode/draft.ts";
import { checkSampling, type Sampling } from "../decode/sample.ts";
import { TargetDecoder } from "../decode/target.ts";
import { checkTreeShape, type TreeShape } from "../decode/tree.ts";
import { loadTarget, readDraft } from "../model/load.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { Values } from "./command.ts";

/** Declared options. */
export const DECODING_OPTIONS = {
  target: { type: "string", default: "data/target", describe: "target folder" },
  draft: { type: "string", default: "data/draft", describe: "draft folder" },
  tokens: { type: "integer", minimum: 2, default: 128, describe: "new tokens at most" },
  temperature: { type: "number", minimum: 0, default: 0, describe: "0 is greedy" },
  "top-k": {
    type: "integer",
    minimum: 0,
    default: 0,
    describe: "keep the k most likely tokens; 0 keeps all",
  },
  "top-p": { type: "number", default: 1, describe: "keep the most likely tokens up to this sum" },
  depth: { type: "integer", minimum: 1, default: 6, describe: "levels of the tree" },
  width: {
    type: "integer",
    minimum: 1,
    default: 2,
    describe: "children of a node, nodes expanded on a level",
  },
  budget: {
    type: "integer",
    minimum: 2,
    default: 8,
    describe: "nodes verified at a time, root included",
  },
  "minimum-score": {
    type: "number",
    default: -6,
    describe: "stop growing where no path has this log-probability",
  },
  "draft-bits": {
    type: "string",
    choices: ["8", "32"],
    default: "8",
    describe: "draft's matrices",
  },
  seed: { type: "integer", default: 0, describe: "of sampling" },
} as const;

/** Opens backend, target, tokenizer and draft, and reads the decoding settings. */
export async function openDecoding(options: Values<typeof DECODING_OPTIONS>) {
  const sampling: Sampling = {
    temperature: options.temperature,
    topK: options["top-k"],
    topP: options["top-p"],
  };
  const tree: TreeShape = { depth: options.depth, width: options.width, budget: options.budget };
  checkSampling(sampling);
  checkTreeShape(tree);
  const backend = await openOnnxBackend();
  const loaded = await loadTarget(options.target, { backend });
  const tokenizer = await loadTokenizer(options.target);
  const trained = await readDraft(options.draft, { target: loaded });
  const target = new TargetDecoder(loaded, { backend, taps: trained.config.taps });
  const draft = new DraftDecoder(trained, {
    backend,
    target: loaded,
    width: tree.width,
    eightBit: options["draft-bits"] === "8",
  });
  const { tokens: maxTokens, seed } = options;
  return {
    backend,
    target,
    draft,
    tokenizer,
    settings: {
      sampling,
      tree,
      maxTokens,
      seed,
      minimumScore: options["minimum-score"],
      draft,
      tokenizer,
    },
    [Symbol.dispose]() {
      draft[Symbol.dispose]();
      target[Symbol.dispose]();
      backend[Symbol.dispose]();
    },
  };
}
