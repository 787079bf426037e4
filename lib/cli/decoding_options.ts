/** Options that tasks which decode have in common, and what they open from them. */
import { openOnnxBackend } from "../backend/onnx/backend.ts";
import { type Drafter, NO_DRAFTER } from "../decode/drafter.ts";
import { chainGrowth, dynamicGrowth, fromAuthorsFlags, staticGrowth } from "../decode/growth.ts";
import { promptLookup } from "../decode/prompt_lookup.ts";
import { checkSampling, type Sampling } from "../decode/sample.ts";
import { TargetDecoder } from "../decode/target.ts";
import type { Growth } from "../decode/tree.ts";
import { TreeDrafter } from "../decode/tree_drafter.ts";
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
  method: {
    type: "string",
    choices: ["tree", "chain", "lookup", "plain"],
    default: "tree",
    describe: "who proposes: a draft model (a tree, or one path), the text itself, nobody",
  },
  tree: {
    type: "string",
    default: "8/6/2",
    describe: "NODES/DEPTH/WIDTH, as in the paper's 60/6/10; authors:60/5/10, their flags for " +
      "the same; static:FILE, a JSON list of paths",
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
  "target-bits": {
    type: "string",
    choices: ["32", "8"],
    default: "32",
    describe: "target's matrices; 8 is quicker, other text",
  },
  seed: { type: "integer", default: 0, describe: "of sampling" },
} as const;

/** Opens backend, target, tokenizer and whoever proposes, and reads the decoding settings. */
export async function openDecoding(options: Values<typeof DECODING_OPTIONS>) {
  const sampling: Sampling = {
    temperature: options.temperature,
    topK: options["top-k"],
    topP: options["top-p"],
  };
  checkSampling(sampling);
  const { method, tokens: maxTokens, seed } = options;
  using resources = new DisposableStack();
  const backend = resources.use(await openOnnxBackend());
  const loaded = await loadTarget(options.target, {
    backend,
    eightBit: options["target-bits"] === "8",
  });
  const tokenizer = await loadTokenizer(options.target);
  const draft = method === "tree" || method === "chain"
    ? await readDraft(options.draft, { target: loaded })
    : undefined;
  const target = resources.use(new TargetDecoder(loaded, { backend, taps: draft?.config.taps }));
  const growth = readGrowth(options);
  const drafter: Drafter = draft === undefined
    ? method === "lookup" ? promptLookup() : NO_DRAFTER
    : resources.use(
      new TreeDrafter(draft, {
        backend,
        target: loaded,
        growth,
        eightBit: options["draft-bits"] === "8",
      }),
    );
  const opened = resources.move();
  return {
    backend,
    target,
    tokenizer,
    settings: { sampling, maxTokens, seed, drafter, tokenizer },
    [Symbol.dispose]: () => opened.dispose(),
  };
}

/** The rule of growth that `--tree` names. @throws naming what was found and what was wanted. */
export function readGrowth(
  { method, tree, "minimum-score": minimumScore }: {
    method: string;
    tree: string;
    "minimum-score": number;
  },
): Growth {
  const [, authors, ...numbers] = /^(authors:)?(\d+)\/(\d+)\/(\d+)$/.exec(tree) ?? [];
  if (tree.startsWith("static:")) {
    const path = tree.slice("static:".length);
    return staticGrowth(JSON.parse(Deno.readTextFileSync(path)));
  }
  if (numbers.length !== 3) {
    throw new Error(
      `Cannot draft the tree ${tree}: wanted NODES/DEPTH/WIDTH, authors:TOTAL/DEPTH/TOP_K, or static:FILE`,
    );
  }
  const [totalTokens, depth, topK] = numbers.map(Number);
  const shape = authors === undefined
    ? { budget: totalTokens, depth, width: topK }
    : fromAuthorsFlags({ totalTokens, depth, topK });
  return method === "chain"
    ? chainGrowth(shape.depth, { minimumScore })
    : dynamicGrowth(shape, { minimumScore });
}
