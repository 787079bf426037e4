/**
 * What a checkpoint is and whether it is whole, from names, shapes and `config.json` alone: no values are read. These
 * are read by `checkup_values.ts`, a target is compared by `target_fit.ts`, and what is whole can be converted by
 * `convert_draft.ts`.
 */
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { sameShape, type Shape, sizeOf } from "../graph/node.ts";
import { openCheckpoint, openWeights } from "../io/checkpoint.ts";
import { READABLE_BLOCKS } from "../io/gguf_blocks.ts";
import { type Json, readJson } from "../io/json.ts";
import type { TensorInfo, TensorSource } from "../io/safetensors.ts";
import { checkDraftConfig, type DraftConfig, type TargetConfig, targetConfigOf } from "./config.ts";
import { draftShapes } from "./draft.ts";
import {
  DRAFT_FORMATS,
  type DraftFormat,
  type ForeignConfig,
  foreignConfig,
  foreignName,
  type FormatName,
  type Looks,
  mayLack,
  recognise,
} from "./draft_formats.ts";
import { targetsOfSize } from "./known_targets.ts";
import { openGgufTarget } from "./gguf_target.ts";
import { publishedShapes } from "./read_weights.ts";

/** Something to tell: a fault makes the checkpoint useless as it is, a doubt may, a note does not. */
export interface Finding {
  level: "fault" | "doubt" | "note";
  tensor?: string;
  what: string;
}

/** What a tensor is to its model. */
export type Role = "trained" | "frozen" | "table" | "unused" | "unknown";

/** A tensor as the file has it. */
export interface TensorRow {
  name: string;
  dtype: TensorInfo["dtype"];
  shape: number[];
  role: Role;
  /** Its name in our folders, of trained ones. */
  ours?: string;
}

/** What is known of a checkpoint. */
export interface Checkup {
  path: string;
  kind: "draft" | "target" | "neither";
  format?: FormatName;
  name: string;
  why: string[];
  /** Configuration, where it could be read; of a draft, its taps may be placeholders. */
  draft?: DraftConfig;
  tapsUnknown?: string;
  target?: TargetConfig;
  /** Well-known targets of such sizes. */
  like: string[];
  /** Values of trained tensors, of a target all; and of all tensors, with their bytes. */
  parameters: number;
  values: number;
  bytes: number;
  dtypes: Record<string, { tensors: number; bytes: number }>;
  tensors: TensorRow[];
  findings: Finding[];
  initializerRange?: number;
}

/** Types in which parameters are: of floats, and of GGUF's blocks those that can be read. */
const FLOATS: readonly string[] = [...new Set(["F64", "F32", "F16", "BF16", ...READABLE_BLOCKS])];

/** Can its values be read as f32? */
export const isReadable = ({ dtype }: Pick<TensorRow, "dtype">): boolean => FLOATS.includes(dtype);

/** Tensors beside those of a draft that may be there, and what they are. */
const BESIDE: readonly (readonly [pattern: RegExp, role: Role, what?: string])[] = [
  [/^embed_tokens\.weight$/, "frozen"],
  [/^lm_head\.weight$/, "frozen", "a copy of the target's LM head, which is used instead"],
  [/^(d2t|t2d)$/, "table"],
  [/rotary_emb\.inv_freq$/, "unused", "angles, which are computed"],
  [/^verifier_(norm|lm_head)\.weight$/, "unused", "the target's, for training alone"],
];

/** Tensors that change what a draft computes, in ways that our graph does not know. */
const CHANGES: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/self_attn\.o_proj\.bias$/, "a bias of attention's output"],
  [/self_attn\.[qkv]_proj\.bias$/, "a bias of attention, of which EAGLE-3 has none here"],
  [/mlp\..*\.bias$/, "a bias of the MLP"],
  [/\.[qk]_norm\.weight$/, "a norm of queries or keys"],
  [/^(embedding_layernorm|embed_layernorm)\./, "a norm of the embedding"],
  [/^(pre_lm_head_layernorm|lm_head_layernorm)\./, "a norm before the LM head"],
  [/^(hidden_layernorm\.|(transformer|layers\.0)\.input_layernorm)/, "a norm of the layer's input"],
  [/^(input_norm|fc_norms?)\b/, "a norm of the tapped features"],
  [/^(layers|transformer|midlayer)\.(?!0\.)\d+\./, "a layer after the first"],
  [
    /(qweight|qzeros|weight_packed|weight_scale|absmax|quant_state|weight_zero_point)/,
    "a part of a quantised matrix: wanted floats",
  ],
];

export const looksOf = (source: TensorSource, json?: Json): Looks => ({
  names: source.names,
  has: (name) => source.has(name),
  shape: (name) => source.info(name).shape,
  ...(json && { json }),
});

/** A checkpoint and what describes it: `settings` is the file that does. */
export interface OpenCheckpoint {
  source: TensorSource;
  json?: Json;
  settings: string;
  /** Why there is no description. */
  trouble?: string;
}

/** Opens a checkpoint, a folder or one file, with the `config.json` beside it if there is one. */
export async function openChecked(
  path: string,
): Promise<OpenCheckpoint> {
  if (!existsSync(path)) throw new Error(`Cannot read ${path}: no such file or folder`);
  const isFolder = statSync(path).isDirectory(), folder = isFolder ? path : dirname(path);
  const settings = join(folder, "config.json");
  const json = existsSync(settings) ? await readJson(settings) : undefined;
  const whole = isFolder || path.endsWith(".index.json");
  if (path.endsWith(".gguf")) return { ...openGgufTarget(path), settings: path };
  const source = whole ? openCheckpoint(folder) : openWeights(path);
  return { source, settings, ...(json && { json }) };
}

const wanted = (shape: Shape) => `[${shape}]`;

/** Shape and type of a tensor that must be there. */
function checkTensor(row: TensorRow, shape: Shape): Finding[] {
  const found: Finding[] = [], { name: tensor } = row;
  if (!sameShape(row.shape, shape)) {
    const what = `is ${wanted(row.shape)}, config.json wants ${wanted(shape)}`;
    found.push({ level: "fault", tensor, what });
  }
  if (!isReadable(row)) {
    const what = `holds ${row.dtype}, wanted one of ${FLOATS.join(", ")}`;
    found.push({ level: "fault", tensor, what });
  }
  return found;
}

/** Tells of biases that a configuration is silent about, or denies: the tensors count. */
function untold({ untoldBiases: said }: Pick<ForeignConfig, "untoldBiases">): Finding[] {
  if (said === undefined) return [];
  const what = `config.json says ${said} of the biases of queries, keys and values that are ` +
    "there: converted, it says qkv_bias true, and they are added";
  return [{ level: said === "nothing" ? "note" : "doubt", what }];
}

/** Gives tensors of a draft their roles, and tells what is missing, superfluous or of wrong shape. */
function checkDraft(
  checkup: Checkup,
  { config, format }: { config: DraftConfig; format: FormatName },
): void {
  const { findings, tensors } = checkup, rows = new Map(tensors.map((t) => [t.name, t]));
  for (const [ours, shape] of Object.entries(draftShapes(config))) {
    const tensor = foreignName(format, ours), row = rows.get(tensor);
    if (row !== undefined) {
      Object.assign(row, { role: "trained", ours });
      findings.push(...checkTensor(row, shape));
    } else if (mayLack(format, ours)) {
      findings.push({ level: "note", tensor, what: "is not there: a bias of zeros" });
    } else findings.push({ level: "fault", tensor, what: `is missing, wanted ${wanted(shape)}` });
  }
  const { vocabulary, width, draftVocabulary } = config;
  for (const row of tensors) {
    if (row.role !== "unknown") continue;
    const tensor = row.name, beside = BESIDE.find(([p]) => p.test(tensor));
    if (beside !== undefined) {
      row.role = beside[1];
      if (beside[2]) findings.push({ level: "note", tensor, what: `is superfluous: ${beside[2]}` });
      if (row.role === "frozen") findings.push(...checkTensor(row, [vocabulary, width]));
    } else {
      const changes = CHANGES.find(([p]) => p.test(tensor));
      const what = changes?.[1] ?? "nothing here reads it";
      findings.push({ level: "fault", tensor, what: `is superfluous: ${what}` });
    }
  }
  if (config.fusion !== "taps" || draftVocabulary === undefined) return;
  for (const [tensor, length] of [["d2t", draftVocabulary], ["t2d", vocabulary]] as const) {
    const row = rows.get(tensor);
    if (row === undefined) {
      const all = draftVocabulary === vocabulary;
      if (tensor === "d2t" && !all) findings.push({ level: "fault", tensor, what: "is missing" });
    } else if (!sameShape(row.shape, [length])) {
      const what = `is ${wanted(row.shape)}, config.json wants ${wanted([length])}`;
      findings.push({ level: "fault", tensor, what });
    }
  }
}

/** The same for a target. */
function checkTarget(checkup: Checkup, config: TargetConfig): void {
  const shapes = publishedShapes(config), rows = new Map(checkup.tensors.map((t) => [t.name, t]));
  for (const [tensor, shape] of Object.entries(shapes)) {
    const row = rows.get(tensor);
    if (row === undefined) {
      const what = `is missing, wanted ${wanted(shape)}`;
      checkup.findings.push({ level: "fault", tensor, what });
    } else {
      row.role = "trained";
      checkup.findings.push(...checkTensor(row, shape));
    }
  }
  for (const row of checkup.tensors) {
    if (row.role !== "unknown") continue;
    row.role = "unused";
    const known = /inv_freq$/.test(row.name) || (config.tied && row.name === "lm_head.weight");
    const what = "is superfluous: nothing here reads it";
    checkup.findings.push({ level: known ? "note" : "doubt", tensor: row.name, what });
  }
}

/** What a file is and whether it is whole. `layers` of its target, if known, tell which layers EAGLE-3 reads. */
export function examine(
  { source, json, settings, trouble }: OpenCheckpoint,
  { layers }: { layers?: number } = {},
): Checkup {
  const looks = looksOf(source, json), recognised = recognise(looks), { path } = source;
  const tensors: TensorRow[] = source.names.map((name) => {
    const { dtype, shape } = source.info(name);
    return { name, dtype, shape, role: "unknown" };
  });
  const checkup: Checkup = {
    path,
    ...recognised,
    ...{ like: [], parameters: 0, values: 0, bytes: 0, dtypes: {}, tensors, findings: [] },
  };
  for (const { name, dtype, shape } of tensors) {
    const { range: [start, end] } = source.info(name),
      kept = checkup.dtypes[dtype] ??= {
        tensors: 0,
        bytes: 0,
      };
    kept.tensors++;
    kept.bytes += end - start;
    checkup.bytes += end - start;
    checkup.values += sizeOf(shape);
  }
  const range = json === undefined || recognised.kind !== "draft"
    ? json?.initializer_range
    : (DRAFT_FORMATS[recognised.format] as DraftFormat).sizes(json).initializer_range;
  if (typeof range === "number") checkup.initializerRange = range;
  if (recognised.kind !== "neither") {
    try {
      if (json === undefined) {
        const none = "it has no config.json beside it: heads and angles are not in tensors";
        throw new Error(trouble ?? none);
      }
      if (recognised.kind === "target") {
        checkup.target = targetConfigOf(json, settings);
        checkTarget(checkup, checkup.target);
      } else {
        const { format } = recognised, row: DraftFormat = DRAFT_FORMATS[format];
        const read = foreignConfig(format, { ...looks, json }, { file: settings, layers });
        checkDraftConfig(read.config, settings);
        Object.assign(checkup, { draft: read.config, tapsUnknown: read.tapsUnknown });
        for (const what of row.unlike?.(json) ?? []) {
          checkup.findings.push({ level: "fault", what });
        }
        checkup.findings.push(...untold(read));
        checkDraft(checkup, { config: read.config, format });
      }
      checkup.like = targetsOfSize((checkup.draft ?? checkup.target)!);
    } catch (cause) {
      checkup.findings.push({ level: "fault", what: (cause as Error).message });
    }
  }
  const counted = checkup.kind === "draft" && checkup.draft !== undefined;
  checkup.parameters = tensors.reduce(
    (n, t) => n + (!counted || t.role === "trained" ? sizeOf(t.shape) : 0),
    0,
  );
  return checkup;
}
