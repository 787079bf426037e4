/**
 * Weights from files to a backend: a target folder in Hugging Face form, a draft's safetensors under the
 * published names. Shapes are checked against the configuration before anything is copied.
 */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Backend, Params, Tensor } from "../backend/backend.ts";
import { type HostArray, sameShape, type Shape, sizeOf } from "../graph/node.ts";
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
import { DRAFT_TOKENS } from "./eagle3.ts";
import { alternateRows } from "./experts.ts";
import { dequantize, quantBlock, quantize } from "./quantize.ts";
import { targetMatrices, targetShapes } from "./llama.ts";

/**
 * A target ready to be compiled: configuration, weights on the backend, identity.
 *
 * In 8 bits it is another target, with texts of its own; and that its speculative text is its plain text is not
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
  /** Are the matrices in 8 bits? For decoding; features to train on come from f32. */
  eightBit?: boolean;
}

/** A draft ready to be compiled. */
export interface Draft {
  config: DraftConfig;
  /** Trained parameters as f32, under the published names. */
  parameters: Record<string, Float32Array>;
  /** Target ids of the draft vocabulary, rising, if it has its own. */
  tokens?: Int32Array;
}

/** Published names of matrices that the target Program reads side by side. */
const MERGED: Record<string, string[]> = {
  "self_attn.qkv_proj": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  "mlp.gate_up_proj": ["mlp.gate_proj", "mlp.up_proj"],
  ".w13.": [".w1.", ".w3."],
};

/** The published matrices behind one of the Program's, top first, and the shape of each. */
function sourcesOf(
  name: string,
  { shape, config }: { shape: Shape; config: TargetConfig },
): [name: string, shape: Shape][] {
  if (shape.length === 3) { // experts, one behind the other
    const [count, ...own] = shape, apart = { shape: own, config };
    return Array.from(
      { length: count },
      (_, e) => sourcesOf(name.replace(".experts.", `.experts.${e}.`), apart),
    ).flat();
  }
  const merged = Object.keys(MERGED).find((m) => name.includes(m));
  if (merged === undefined) return [[name, shape]];
  const { heads, kvHeads, headSize: k, inner } = config;
  const rows = merged.startsWith("self_attn")
    ? [heads * k, kvHeads * k, kvHeads * k]
    : [inner, inner];
  return MERGED[merged].map((part, i) => [
    name.replace(merged, part),
    [rows[i], ...shape.slice(1)],
  ]);
}

function checkShape(file: TensorSource, name: string, wanted: Shape): void {
  const { shape } = file.info(name);
  if (!sameShape(shape, wanted)) {
    throw new Error(
      `Cannot use ${file.path}: ${name} is [${shape}], config.json wants [${wanted}]`,
    );
  }
}

function readChecked(file: TensorSource, name: string, wanted: Shape): Float32Array {
  checkShape(file, name, wanted);
  return file.readFloat32(name);
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

/** Puts a matrix [O, I] on a backend in 8 bits, as `NAME.packed` and `NAME.scales`. */
function placeQuantized(
  name: string,
  values: Float32Array,
  { shape: [outer, inner], block, backend }: { shape: Shape; block: number; backend: Backend },
): Params {
  const { packed, scales } = quantize(values, block);
  return {
    [`${name}.packed`]: backend.tensor(packed, [outer, inner / block, block]),
    [`${name}.scales`]: backend.tensor(scales, [outer, inner / block]),
  };
}

/**
 * Puts a target's weights on a backend. `read` gives those of the Program by name, one after the other, so that in
 * 8 bits one f32 matrix is in memory at a time (the embedding stays).
 * @throws when 8 bits are asked for and no block divides all rows.
 */
export function placeTarget(
  config: TargetConfig,
  read: (name: string, shape: Shape) => Float32Array,
  { backend, eightBit = false }: { backend: Backend; eightBit?: boolean },
): Params {
  const weights: Params = {}, matrices = eightBit ? targetMatrices(config) : {};
  const block = quantBlock(matrices), head = "lm_head.weight";
  if (block === 0) throw new Error(`Cannot quantise a target whose rows are not multiples of 16`);
  let embedding: Float32Array | undefined;
  for (const [name, shape] of Object.entries(targetShapes(config, { eightBit }))) {
    const values = read(name, shape);
    embedding ??= values; // the first one, and the tied head's
    if (name in matrices) {
      Object.assign(weights, placeQuantized(name, values, { shape, block, backend }));
    } else weights[name] = backend.tensor(values, shape);
  }
  if (eightBit && config.tied) {
    const values = embedding!;
    Object.assign(weights, placeQuantized(head, values, { shape: matrices[head], block, backend }));
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
 * Loads a target folder onto a backend, its matrices in 8 bits if asked; {@link Target} says what that costs. At most
 * `context` positions are used: prompt and reply together, since caches are made for all of them.
 * @throws when a file is missing or damaged, the architecture is unknown, or weights contradict config.json.
 */
export async function loadTarget(
  folder: string,
  { backend, eightBit = false, context }: {
    backend: Backend;
    eightBit?: boolean;
    context?: number;
  },
): Promise<Target> {
  const config = await readUsedConfig(folder, context);
  using file = openCheckpoint(folder);
  const read = (name: string, shape: Shape) => {
    const parts = sourcesOf(name, { shape, config }).map(([n, wanted]) =>
      readChecked(file, n, wanted)
    );
    if (parts.length === 1) return parts[0];
    const data = new Float32Array(sizeOf(shape));
    let at = 0;
    for (const p of parts) {
      data.set(p, at);
      at += p.length;
    }
    if (shape.length === 3 && name.includes(".w13.")) alternateRows(data, shape);
    return data;
  };
  const weights = placeTarget(config, read, { backend, eightBit });
  return { folder, config, weights, eightBit, identity: await hashWeights(file.path) };
}

/** @throws where a device holds the values. */
function onHost(tensor: Tensor, name: string): HostArray {
  if (tensor.host !== undefined) return tensor.host;
  throw new Error(`Cannot convert ${name}: a device holds it; wanted 32 bits there, or the CPU`);
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
  folder: string,
  { backend, half = false }: { backend: Backend; half?: boolean },
): Promise<FrozenTarget> {
  const config = await readUsedConfig(folder), weights: Params = {};
  using file = openCheckpoint(folder);
  const names = ["model.embed_tokens.weight", ...config.tied ? [] : ["lm_head.weight"]];
  for (const name of names) {
    const shape = targetShapes(config)[name];
    checkShape(file, name, shape);
    weights[name] = backend.tensor(half ? file.readHalf(name) : file.readFloat32(name), shape);
  }
  return { folder, config, weights, identity: await hashWeights(file.path) };
}

/** The embedding and LM head of a target, which its draft shares; a head that is there in 8 bits only is unpacked. */
export function sharedHead(
  { config, weights }: Pick<Target, "config" | "weights">,
  { backend }: { backend: Backend },
): Params {
  const embedding = weights["model.embed_tokens.weight"], name = "lm_head.weight";
  const head = config.tied ? embedding : weights[name] ?? backend.tensor(
    dequantize({
      packed: onHost(weights[`${name}.packed`], name) as Uint8Array,
      scales: onHost(weights[`${name}.scales`], name) as Float32Array,
    }),
    [config.vocabulary, config.width],
  );
  return { "embed_tokens.weight": embedding, [name]: head };
}

/**
 * Reads a draft folder: `config.json` and `model.safetensors`, or `pytorch_model.bin` as the authors publish it.
 * @throws when files are missing or damaged, sizes disagree, or it was trained for another target.
 */
export async function readDraft(
  folder: string,
  { target }: { target?: TargetIdentity } = {},
): Promise<Draft> {
  const settings = join(folder, "config.json");
  if (!existsSync(settings)) {
    throw new Error(`Cannot read a draft from ${folder}: it has no config.json`);
  }
  const config = await readDraftConfig(settings);
  using file = openCheckpoint(folder);
  const { path } = file;
  const parameters: Record<string, Float32Array> = {};
  for (const [name, shape] of Object.entries(draftShapes(config))) {
    const found = file.info(name).shape;
    if (!sameShape(found, shape)) {
      throw new Error(`Cannot use ${path}: ${name} is [${found}], config.json wants [${shape}]`);
    }
    parameters[name] = file.readFloat32(name);
  }
  checkAttention(file, config);
  if (target !== undefined) checkFits(folder, config, target);
  if (config.draftVocabulary === undefined) return { config, parameters };
  // Published as offsets: target id = draft id + d2t[draft id].
  const tokens = file.readInt("d2t").map((offset, id) => id + offset);
  if (
    tokens.length !== config.draftVocabulary ||
    tokens.some((t, i) => t < 0 || t >= config.vocabulary || (i > 0 && t <= tokens[i - 1]))
  ) {
    throw new Error(
      `Cannot use ${path}: d2t names ${tokens.length} tokens up to ${tokens.at(-1)}, wanted ` +
        `${config.draftVocabulary} different ones of ${config.vocabulary}, rising`,
    );
  }
  return { config, parameters, tokens };
}

/**
 * @throws when a file holds more of attention than its configuration speaks of (biases, norms of queries and keys): left
 * out, the draft would be another.
 */
function checkAttention({ path, names }: TensorSource, config: DraftConfig): void {
  const known = draftShapes(config);
  // Tables of angles, which some files hold, are made here.
  const found = names.find((n) => /\.self_attn\./.test(n) && !(n in known) && !/rotary/.test(n));
  if (found === undefined) return;
  const wanted = found.endsWith("_proj.bias")
    ? "config.json wants qkv_bias true"
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

/** Puts a draft's weights on a backend, matrices in 8 bits if asked, together with the shared head. */
export function placeDraft(
  { config, parameters, tokens }: Draft,
  { backend, target, eightBit = false }: { backend: Backend; target: Target; eightBit?: boolean },
): Params {
  const weights = sharedHead(target, { backend });
  if (tokens !== undefined) weights[DRAFT_TOKENS] = backend.tensor(tokens, [tokens.length]);
  for (const [name, shape] of Object.entries(draftShapes(config))) {
    if (!eightBit || shape.length === 1) weights[name] = backend.tensor(parameters[name], shape);
  }
  if (!eightBit) return weights;
  const matrices = draftMatrices(config), block = quantBlock(matrices);
  if (block === 0) throw new Error(`Cannot quantise a draft whose rows are not multiples of 16`);
  for (const [name, shape] of Object.entries(matrices)) {
    const values = parameters[name] ?? onHost(weights[name], name) as Float32Array;
    delete weights[name]; // the head in f32: nothing reads it now
    Object.assign(weights, placeQuantized(name, values, { shape, block, backend }));
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
  if (tokens !== undefined) {
    const known = new Uint8Array(config.vocabulary);
    tokens.forEach((t) => known[t] = 1);
    tensors.d2t = {
      shape: [tokens.length],
      data: BigInt64Array.from(tokens, (t, i) => BigInt(t - i)),
      dtype: "I64",
    };
    tensors.t2d = { shape: [known.length], data: known, dtype: "BOOL" };
  }
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  const json = JSON.stringify(draftConfigJson(config), null, 2);
  await writeFileAtomic(join(folder, "config.json"), `${json}\n`);
}
