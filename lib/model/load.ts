/**
 * Weights from files to a backend: a target folder in Hugging Face form, a draft's safetensors under the
 * published names. Shapes are checked against the configuration before anything is copied.
 */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Backend, Params, Tensor } from "../backend/backend.ts";
import { type HostArray, sameShape, type Shape, sizeOf } from "../graph/node.ts";
import { modelFolder } from "../hub/model.ts";
import { openCheckpoint } from "../io/checkpoint.ts";
import { readJson } from "../io/json.ts";
import { type TensorSource, type TensorToWrite, writeSafetensors } from "../io/safetensors.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import {
  type DraftConfig,
  draftConfigJson,
  readDraftConfig,
  readTargetConfig,
  type TargetConfig,
} from "./config.ts";
import { draftMatrices, draftShapes } from "./draft.ts";
import { readDraftTokens, vocabularyTables } from "./draft_vocabulary.ts";
import { DRAFT_TOKENS } from "./eagle3.ts";
import { type Bits, packedShapes, quantize, wantedBlock } from "./quantize.ts";
import { type LayerRange, targetMatrices, targetShapes } from "./llama.ts";
import { checkShape, type ReadWeight, type WeightReader, weightReader } from "./read_weights.ts";
import { isPartOf, type LayerShare, splitLayers, type Stage } from "./stages.ts";

/**
 * A target ready to be compiled: configuration, weights on the backend, identity.
 *
 * In 8 or 4 bits it is another target, with texts of its own; and that its speculative text is its plain text is not
 * promised, only near: a row alone, a chain and a tree are summed in different orders, and activations are rounded
 * to 8 bits too, which makes more of a last bit (0.13 in a logit of the shipped target; chains of two rows or more,
 * however cut, gave the same bits). `tests/decode/eight_bit_test.ts`: where texts part, it is a near tie.
 */
export interface Target {
  folder: string;
  config: TargetConfig;
  weights: Params;
  /** Hash of the weight files: features and drafts are tied to it. */
  identity: string;
  /** Where the layers are split over several backends: all stages in order; `weights` are the last one's. */
  stages?: readonly Stage[];
  /** Of the matrices, 32 if absent. Fewer are for decoding; features to train on come from f32. */
  bits?: Bits;
}

/** A draft ready to be compiled. */
export interface Draft {
  config: DraftConfig;
  /** Trained parameters as f32, under the published names. */
  parameters: Record<string, Float32Array>;
  /** Target ids of the draft vocabulary, rising, if it has its own. */
  tokens?: Int32Array;
}

/** What a draft must fit: which target it is, without its weights. */
export type TargetIdentity = Pick<Target, "folder" | "config" | "identity">;

/** Hash of a weight file, or of all shards that an index names. */
export async function hashWeights(path: string): Promise<string> {
  const placed = path.endsWith(".index.json")
    ? Object.values((await readJson(path)).weight_map as Record<string, string>)
    : undefined;
  const files = placed === undefined
    ? [path]
    : [...new Set(placed)].sort().map((name) => join(dirname(path), name));
  const hash = createHash("sha256");
  for (const file of files) {
    for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array);
  }
  return hash.digest("hex").slice(0, 16);
}

const EMBEDDING = "model.embed_tokens.weight", HEAD = "lm_head.weight";

/** Parameters from which on a target is not to be in memory twice, in however few bits. */
const LARGE = 250e6;

const isLarge = (config: TargetConfig): boolean =>
  Object.values(targetShapes(config)).reduce((n, shape) => n + sizeOf(shape), 0) >= LARGE;

/** Puts values on a backend for good. */
type Place = (data: HostArray, shape: Shape) => Tensor;

/** Puts a matrix [O, I] on a backend in 8 or 4 bits, as `NAME.packed` and `NAME.scales`. */
function placeQuantized(
  name: string,
  values: Float32Array,
  { shape, block, bits, place }: { shape: Shape; block: number; bits: 8 | 4; place: Place },
): Params {
  const rounded = quantize(values, block, bits),
    stored = packedShapes({ [name]: shape }, { bits, block });
  return Object.fromEntries(
    Object.entries(stored).map(([part, { shape }]) => [
      part,
      place(part.endsWith(".packed") ? rounded.packed : rounded.scales, shape),
    ]),
  );
}

/**
 * Puts a target's weights on a backend. `read` gives those of the Program by name, one after the other, so that in
 * fewer bits one f32 matrix is in memory at a time, the same memory for all of them in a large target.
 * @throws when fewer bits are asked for and no block divides all rows.
 */
export function placeTarget(
  config: TargetConfig,
  read: ReadWeight,
  { backend, bits = 32, readHalf, layers, large = isLarge(config) }: {
    backend: Backend;
    bits?: Bits;
    /** Bits of a matrix or table as f16, where it is to be stored so. */
    readHalf?: WeightReader["readHalf"];
    /** Only what this stage needs. */
    layers?: LayerRange;
    /** Too large to be in memory twice: see `Backend.weight`. */
    large?: boolean;
  },
): Params {
  const weights: Params = {}, matrices = bits === 32 ? {} : targetMatrices(config);
  const fewer = bits === 32 ? 8 : bits,
    block = wantedBlock(matrices, { bits: fewer, what: "target" });
  const place: Place = large && backend.weight ? backend.weight : backend.tensor;
  const scratch = new Float32Array(large ? Math.max(0, ...Object.values(matrices).map(sizeOf)) : 0);
  const round = (name: string, values: Float32Array) => {
    const how = { shape: matrices[name], block, bits: fewer, place };
    Object.assign(weights, placeQuantized(name, values, how));
  };
  const last = layers === undefined || layers.to === config.layers;
  const apart = bits !== 32 || readHalf !== undefined;
  for (const [name, shape] of Object.entries(targetShapes(config, { apart }))) {
    if (layers !== undefined && !isPartOf(layers, name, config)) continue;
    const rounded = name in matrices,
      tiedHead = name === EMBEDDING && config.tied && last && bits !== 32;
    const half = shape.length === 2 && !rounded ? readHalf?.(name, shape) : undefined;
    if (half !== undefined) weights[name] = place(half, shape);
    if (half !== undefined && !tiedHead) continue;
    const values = read(name, shape, large && rounded ? scratch : undefined);
    if (rounded) round(name, values);
    if (tiedHead) round(HEAD, values);
    if (!rounded && half === undefined) weights[name] = place(values, shape); // last: it may move the values
  }
  return weights;
}

/** Positions a target is used with where nothing else is said: caches are as long, and some models know 131072. */
const CONTEXT = 4096;

/** A target's configuration with the positions that are used of it. */
async function readUsedConfig(folder: string, context: number = CONTEXT): Promise<TargetConfig> {
  const config = await readTargetConfig(folder);
  return { ...config, positions: Math.min(config.positions, context) };
}

/**
 * Loads a target, a folder or `ORG/NAME[@REVISION]` of the hub, onto a backend, its matrices in 8 or 4 bits if asked;
 * {@link Target} says what that costs. At most `context` positions are used: prompt and reply together, since caches
 * are made for all of them. Matrices that files hold in 16 bits stay so on a device (`half`; `bf16` becomes f16, which
 * keeps more digits, but for values below 6e-5, of which it keeps steps of 6e-8).
 * @throws when a file is missing or damaged, the architecture is unknown, or weights contradict config.json.
 */
export async function loadTarget(
  given: string,
  { backend, bits = 32, half, context, before = [] }: {
    backend: Backend;
    bits?: Bits;
    /** By default on backends whose memory the host does not see. */
    half?: boolean;
    context?: number;
    /** Other backends that take so many layers each before `backend` takes the rest, and the head. */
    before?: readonly LayerShare[];
  },
): Promise<Target> {
  const folder = await modelFolder(given, { check: readTargetConfig });
  const config = await readUsedConfig(folder, context);
  using file = openCheckpoint(folder);
  const { read, readHalf } = weightReader(file, config);
  const stages = splitLayers(config, { before, last: backend }).map((stage): Stage => {
    const { backend } = stage, short = half ?? !backend.hostVisible;
    const how = { backend, bits, layers: stage, ...(short && { readHalf }) };
    return { ...stage, weights: placeTarget(config, read, how) };
  });
  const { weights } = stages[stages.length - 1], identity = await hashWeights(file.path);
  return { folder, config, weights, bits, identity, ...(stages.length > 1 && { stages }) };
}

/** What training reads of a target: embedding and LM head are enough among its weights. */
export type FrozenTarget = TargetIdentity & Pick<Target, "weights">;

/** How embedding and head are stored while training. */
export type FrozenType = "f32" | "f16";

/** The type in which a target holds its embedding (and, of a {@link FrozenTarget}, its head). */
export const frozenType = ({ weights }: Pick<Target, "weights">): FrozenType =>
  weights["model.embed_tokens.weight"].dtype as FrozenType;

/**
 * Loads the embedding and LM head of a target alone, for training on stored features: in f32, or `half`: in f16,
 * which takes half of that, and is exact where the files hold f16.
 * @throws as {@link loadTarget} does, and when a value is too large for f16.
 */
export async function loadFrozen(
  given: string,
  { backend, half = false }: { backend: Backend; half?: boolean },
): Promise<FrozenTarget> {
  const folder = await modelFolder(given, { check: readTargetConfig }), weights: Params = {};
  const config = await readUsedConfig(folder);
  using file = openCheckpoint(folder);
  const names = ["model.embed_tokens.weight", ...config.tied ? [] : ["lm_head.weight"]];
  for (const name of names) {
    const shape = targetShapes(config)[name];
    checkShape(file, name, shape);
    weights[name] = backend.tensor(half ? file.readHalf(name) : file.readFloat32(name), shape);
  }
  return { folder, config, weights, identity: await hashWeights(file.path) };
}

/** The embedding and LM head of a target, which its draft shares; a head in fewer bits as it is there. */
export function sharedHead({ config, weights }: Pick<Target, "config" | "weights">): Params {
  const embedding = weights["model.embed_tokens.weight"], name = "lm_head.weight";
  const parts = [name, `${name}.packed`, `${name}.scales`].filter((part) => part in weights);
  const head = config.tied && parts.length === 0
    ? { [name]: embedding }
    : Object.fromEntries(parts.map((part) => [part, weights[part]]));
  return { "embed_tokens.weight": embedding, ...head };
}

/**
 * Reads a draft, a folder or `ORG/NAME[@REVISION]` of the hub: `config.json` and `model.safetensors`, or `pytorch_model.bin` as the authors publish it.
 * @throws when files are missing or damaged, sizes disagree, or it was trained for another target.
 */
export async function readDraft(
  given: string,
  { target }: { target?: TargetIdentity } = {},
): Promise<Draft> {
  const settingsOf = (folder: string) => join(folder, "config.json");
  const check = (folder: string) => readDraftConfig(settingsOf(folder));
  const folder = await modelFolder(given, { check }), settings = settingsOf(folder);
  if (!existsSync(settings)) {
    throw new Error(`Cannot read a draft from ${folder}: it has no config.json`);
  }
  const config = await readDraftConfig(settings);
  using file = openCheckpoint(folder);
  const { path } = file;
  const parameters: Record<string, Float32Array> = {};
  for (const [name, shape] of Object.entries(draftShapes(config))) {
    if (!file.has(name)) {
      const hint = `deno task doctor ${folder} tells what it is, and converts other formats`;
      throw new Error(`Cannot use ${path}: it has no tensor ${name}; ${hint}`);
    }
    const found = file.info(name).shape;
    if (!sameShape(found, shape)) {
      throw new Error(`Cannot use ${path}: ${name} is [${found}], config.json wants [${shape}]`);
    }
    parameters[name] = file.readFloat32(name);
  }
  checkAttention(file, { config, folder });
  if (target !== undefined) checkFits(folder, config, target);
  const { vocabulary, draftVocabulary } = config;
  if (draftVocabulary === undefined) return { config, parameters };
  return { config, parameters, tokens: readDraftTokens(file, { vocabulary, draftVocabulary }) };
}

/**
 * @throws when a file holds more of attention than its configuration speaks of (biases, norms of queries and keys): left
 * out, the draft would be another.
 */
function checkAttention(
  { path, names }: TensorSource,
  { config, folder }: { config: DraftConfig; folder: string },
) {
  const known = draftShapes(config);
  // Tables of angles, which some files hold, are made here.
  const found = names.find((n) => /\.self_attn\./.test(n) && !(n in known) && !/rotary/.test(n));
  if (found === undefined) return;
  const wanted = /\.[qkv]_proj\.bias$/.test(found)
    ? `config.json wants qkv_bias true; deno task doctor ${folder} --convert OUT writes a folder that says so`
    : "a draft has none";
  throw new Error(`Cannot use ${path}: it holds ${found}, ${wanted}`);
}

/** @throws when a draft does not fit a target, or was trained for another. */
export function checkFits(
  folder: string,
  draft: DraftConfig,
  { folder: name, config, identity }: TargetIdentity,
) {
  for (const key of ["width", "vocabulary"] as const) {
    if (draft[key] !== config[key]) {
      throw new Error(
        `Cannot use draft ${folder} with target ${name}: its ${key} is ${
          draft[key]
        }, the target's ${config[key]}`,
      );
    }
  }
  if (draft.target !== undefined && draft.target !== identity) {
    throw new Error(
      `Cannot use draft ${folder} with target ${name}: it was trained for target ${draft.target}, this is ${identity}`,
    );
  }
}

/**
 * Puts a draft's weights on a backend, matrices in 8 or 4 bits if asked, together with the shared head; that one is
 * rounded too where the host sees it.
 */
export function placeDraft(
  { config, parameters, tokens }: Draft,
  { backend, target, bits = 32 }: { backend: Backend; target: Target; bits?: Bits },
): Params {
  const weights = sharedHead(target), matrices = bits === 32 ? {} : draftMatrices(config);
  const fewer = bits === 32 ? 8 : bits,
    block = wantedBlock(matrices, { bits: fewer, what: "draft" });
  if (tokens !== undefined) weights[DRAFT_TOKENS] = backend.tensor(tokens, [tokens.length]);
  for (const [name, shape] of Object.entries(draftShapes(config))) {
    if (!(name in matrices)) weights[name] = backend.tensor(parameters[name], shape);
  }
  for (const [name, shape] of Object.entries(matrices)) {
    const values = parameters[name] ?? weights[name]?.host;
    if (!(values instanceof Float32Array)) continue; // the head: rounded already, or a device's
    delete weights[name]; // in f32: nothing reads it now
    Object.assign(
      weights,
      placeQuantized(name, values, { shape, block, bits: fewer, place: backend.tensor }),
    );
  }
  return weights;
}

/** Types that a draft's parameters may be stored in. */
export type StoredType = "F32" | "F16" | "BF16";

/**
 * Writes a draft's weights and configuration into an existing folder, under the published names; `frozen` are
 * tensors of the target that stand beside them.
 */
export async function writeDraft(
  folder: string,
  { config, parameters, tokens, dtype = "F32", frozen = {} }: Draft & {
    dtype?: StoredType;
    frozen?: Record<string, TensorToWrite>;
  },
): Promise<void> {
  const tensors: Record<string, TensorToWrite> = { ...frozen };
  for (const [name, shape] of Object.entries(draftShapes(config))) {
    tensors[name] = { shape, data: parameters[name], dtype };
  }
  if (tokens !== undefined) Object.assign(tensors, vocabularyTables(tokens, config.vocabulary));
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  const json = JSON.stringify(draftConfigJson(config), null, 2);
  await writeFileAtomic(join(folder, "config.json"), `${json}\n`);
}
