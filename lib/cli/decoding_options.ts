/** Options that tasks which decode have in common, and what they open from them. */
import { knownCosts, readCosts } from "../bench/costs.ts";
import type { Backend } from "../backend/backend.ts";
import { type Device, DEVICES, openBackend } from "../backend/choose.ts";
import { type Drafter, NO_DRAFTER } from "../decode/drafter.ts";
import { chainGrowth, dynamicGrowth, fromAuthorsFlags, staticGrowth } from "../decode/growth.ts";
import { promptLookup } from "../decode/prompt_lookup.ts";
import { ResidentDecoder } from "../decode/resident_decoder.ts";
import { sampledAutoGrowth } from "../decode/sampled_tree_size.ts";
import { autoGrowth } from "../decode/tree_size.ts";
import type { Costs } from "../decode/pricing.ts";
import { STATIC_TREES } from "../decode/static_trees.ts";
import { checkSampling, type Sampling } from "../decode/sample.ts";
import type { EvaluateOptions } from "../eval/run.ts";
import { openTrace } from "../report/trace_writer.ts";
import { TargetDecoder } from "../decode/target.ts";
import type { Growth } from "../decode/tree.ts";
import { TreeDrafter } from "../decode/tree_drafter.ts";
import { nameOfFolder } from "../hub/model.ts";
import { loadTarget, readDraft } from "../model/load.ts";
import type { Bits } from "../model/quantize.ts";
import type { LayerShare } from "../model/stages.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { Values } from "./command.ts";
import { DRAFT_OPTION, TARGET_OPTION } from "./models.ts";

/** Where programs run. */
export const DEVICE_OPTION = {
  type: "string",
  choices: DEVICES,
  default: "cpu",
  describe: "cpu: ONNX Runtime; webgpu: our kernels on a GPU; auto: a GPU where there is one",
} as const;

/** Declared options. */
export const DECODING_OPTIONS = {
  target: TARGET_OPTION,
  context: {
    type: "integer",
    minimum: 64,
    default: 4096,
    describe: "positions at most, prompt and reply together: caches are made for all of them",
  },
  draft: DRAFT_OPTION,
  tokens: { type: "integer", minimum: 2, default: 128, describe: "new tokens at most" },
  temperature: { type: "number", minimum: 0, default: 0, describe: "0 is greedy" },
  "top-k": {
    type: "integer",
    minimum: 0,
    default: 0,
    describe: "keep the k most likely tokens; 0 keeps all",
  },
  "top-p": { type: "number", default: 1, describe: "keep the most likely tokens up to this sum" },
  "repetition-penalty": {
    type: "number",
    default: 1,
    describe: "of tokens that occurred before; 1 is none",
  },
  method: {
    type: "string",
    choices: ["tree", "chain", "lookup", "plain"],
    default: "tree",
    describe: "who proposes: a draft model (a tree, or one path), the text itself, nobody",
  },
  tree: {
    type: "string",
    default: "auto",
    describe: "auto: sized by measured costs; NODES/DEPTH/WIDTH, as in the paper's 60/6/10; " +
      "authors:60/5/10, their flags for the same; static:eagle1, static:medusa or static:FILE, a " +
      "JSON list of paths",
  },
  children: {
    type: "string",
    choices: ["auto", "top", "sampled"],
    default: "auto",
    describe: "the draft's best tokens, or tokens sampled from its distribution (only at " +
      "temperatures above 0); auto: sampled there, unless --tree keeps nodes by their scores",
  },
  costs: {
    type: "string",
    describe: "file to size --tree auto by: a report.json or a file of costs [measured]",
  },
  "measure-costs": { type: "boolean", describe: "measure again what --tree auto sizes by" },
  "minimum-score": {
    type: "number",
    default: -6,
    describe: "stop growing where no path has this log-probability",
  },
  device: DEVICE_OPTION,
  "cpu-layers": {
    type: "integer",
    minimum: 0,
    default: 0,
    describe:
      "first layers of the target that stay on the CPU beside --device webgpu: for a model " +
      "larger than the GPU's memory",
  },
  rounds: {
    type: "string",
    choices: ["auto", "host", "device"],
    default: "auto",
    describe:
      "who goes from step to step of a round: the host, or one program on the device that " +
      "is read later; auto: the device on a GPU where the tree is of fixed size",
  },
  "draft-bits": {
    type: "string",
    choices: ["auto", "4", "8", "32"],
    default: "auto",
    describe: "draft's matrices; auto: 8 on the CPU, 32 on a GPU",
  },
  "target-bits": {
    type: "string",
    choices: ["32", "8", "4"],
    default: "32",
    describe: "target's matrices; 8 and 4 take less memory and time, and give other texts",
  },
  seed: { type: "integer", default: 0, describe: "of sampling" },
  trace: { type: "string", describe: "file for every round's tree, for deno task inspect" },
} as const;

/** Opens backend, target, tokenizer and whoever proposes, and reads the decoding settings. */
export async function openDecoding(
  options: Values<typeof DECODING_OPTIONS>,
  { say = () => {} }: { say?: (text: string) => void } = {},
) {
  const sampling: Sampling = {
    temperature: options.temperature,
    topK: options["top-k"],
    topP: options["top-p"],
    repetitionPenalty: options["repetition-penalty"],
  };
  checkSampling(sampling);
  if (options.tree !== "auto") readGrowth(options); // refused before anything is opened
  const { method, tokens: maxTokens, seed } = options;
  using resources = new DisposableStack();
  const { backend, kind, reason } = await openBackend(options.device as Device);
  resources.use(backend);
  if (options.device !== "cpu") say(`device: ${reason}`);
  const cpuLayers = options["cpu-layers"], before: LayerShare[] = [];
  if (cpuLayers > 0) {
    if (kind === "cpu") throw new Error(`Cannot keep layers on the CPU: all are there (${reason})`);
    const { backend: cpu } = await openBackend("cpu");
    before.push({ backend: resources.use(cpu), layers: cpuLayers });
  }
  const loaded = await loadTarget(options.target, {
    backend,
    context: options.context,
    bits: Number(options["target-bits"]) as Bits,
    before,
  });
  const tokenizer = await loadTokenizer(options.target);
  const draft = method === "tree" || method === "chain"
    ? await readDraft(options.draft, { target: loaded })
    : undefined;
  const target = resources.use(new TargetDecoder(loaded, { backend, taps: draft?.config.taps }));
  const asked = options["draft-bits"];
  const bits = asked === "auto" ? (kind === "cpu" ? 8 : 32) : Number(asked) as Bits;
  const automatic = method === "tree" && options.tree === "auto";
  let drafter: Drafter = method === "lookup" ? promptLookup() : NO_DRAFTER,
    costs: Costs | undefined,
    trees: TreeDrafter | undefined;
  if (draft !== undefined) {
    let growth = automatic ? undefined : readGrowth(options);
    const children = chooseChildren(options, { blind: growth?.blind ?? true });
    if (growth === undefined) {
      const question = { backend, target, draft, children, bits };
      const known = options.costs === undefined
        ? await knownCosts(question, { again: options["measure-costs"] })
        : { costs: await readCosts(options.costs), path: options.costs, measured: false };
      say(`costs ${known.measured ? "measured, kept in" : "from"} ${known.path}`);
      costs = known.costs;
      growth = children === "sampled" ? sampledAutoGrowth(costs) : autoGrowth(costs);
    }
    const settings = { backend, target: loaded, growth, children, bits };
    drafter = trees = resources.use(new TreeDrafter(draft, settings));
  }
  const resident = openResident(options, {
    ...{ backend, target, sampling },
    drafter: trees,
  });
  for (const decoder of Object.values(resident ?? {})) resources.use(decoder);
  if (!backend.hostVisible) say(`rounds: ${resident ? "on the device" : "by the host"}`);
  const file = options.trace, { target: targetFolder, draft: draftFolder, tree } = options;
  const shown = {
    ...{ target: nameOfFolder(targetFolder), draft: nameOfFolder(draftFolder) },
    method,
    tree,
    ...sampling,
  };
  const writer = file === undefined ? undefined : resources.use(openTrace(file));
  const watched: Pick<EvaluateOptions, "trace" | "watch"> = writer === undefined ? {} : {
    trace: true,
    watch: (events, { id, category, prompt }) =>
      writer.record(events, { id, category, prompt: [...prompt], settings: shown }),
  };
  const opened = resources.move();
  return {
    backend,
    target,
    draft,
    tokenizer,
    costs,
    settings: { sampling, maxTokens, seed, drafter, tokenizer, resident, ...watched },
    [Symbol.dispose]: () => opened.dispose(),
  };
}

/**
 * Decoders for rounds on the device, where they are asked for or better than the host's; undefined: the host's.
 * @throws when they are asked for and what else is asked for needs the host.
 */
function openResident(
  { rounds, method, trace }: { rounds: string; method: string; trace: string | undefined },
  { backend, target, sampling, drafter }: {
    backend: Backend;
    target: TargetDecoder;
    sampling: Sampling;
    drafter: TreeDrafter | undefined;
  },
): EvaluateOptions["resident"] {
  const { topK, topP, repetitionPenalty } = sampling;
  const fixed = drafter === undefined ||
    (drafter.growth.shape !== undefined && drafter.decoder.children === "top");
  const obstacles = [
    method === "lookup" && "--method lookup",
    target.target.stages !== undefined && "--cpu-layers",
    !fixed && "a tree that is not dynamic and of fixed size, with the draft's best tokens",
    trace !== undefined && "--trace",
    topP !== 1 && topK === 0 && "--top-p without --top-k",
    repetitionPenalty !== 1 && "--repetition-penalty",
  ];
  const obstacle = obstacles.find((name) => name !== false);
  if (rounds === "device" && obstacle !== undefined) {
    throw new Error(`Cannot run rounds on the device with ${obstacle}: wanted --rounds host`);
  }
  if (rounds === "host" || obstacle !== undefined) return undefined;
  if (rounds === "auto" && backend.hostVisible) return undefined;
  const plain = new ResidentDecoder(target, { backend, sampling });
  const speculative = drafter === undefined
    ? plain
    : new ResidentDecoder(target, { backend, sampling, drafter });
  return { plain, speculative };
}

/**
 * At temperature 0 the draft's best tokens; above, sampled tokens where the rule of growth allows it: on the shipped
 * model they give the higher tau.
 */
function chooseChildren(
  { children, temperature }: { children: string; temperature: number },
  { blind }: { blind: boolean },
): "top" | "sampled" {
  if (children === "auto") return temperature > 0 && blind ? "sampled" : "top";
  return children === "sampled" ? "sampled" : "top";
}

/** The paths of a published tree or of a JSON file. @throws when the file is absent or holds something else. */
function readPaths(name: string): readonly (readonly number[])[] {
  if (name in STATIC_TREES) return STATIC_TREES[name];
  const known = Object.keys(STATIC_TREES).join(", ");
  let text: string;
  try {
    text = Deno.readTextFileSync(name);
  } catch (cause) {
    throw new Error(`Cannot read the static tree ${name}: wanted ${known} or a JSON file`, {
      cause,
    });
  }
  const paths = JSON.parse(text);
  if (!Array.isArray(paths) || !paths.every(Array.isArray)) {
    throw new Error(
      `Cannot use ${name} as a static tree: wanted a list of paths, as in [[0],[0,0]]`,
    );
  }
  return paths;
}

/** The rule of growth that `--tree` names. @throws naming what was found and what was wanted. */
export function readGrowth(
  { method, tree, "minimum-score": minimumScore }: {
    method: string;
    tree: string;
    "minimum-score": number;
  },
): Growth {
  if (method === "chain" && /^\d+$/.test(tree)) return chainGrowth(Number(tree), { minimumScore });
  if (method === "chain" && tree === "auto") return chainGrowth(5, { minimumScore });
  const [, authors, ...numbers] = /^(authors:)?(\d+)\/(\d+)\/(\d+)$/.exec(tree) ?? [];
  if (tree.startsWith("static:")) {
    return staticGrowth(readPaths(tree.slice("static:".length)));
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
