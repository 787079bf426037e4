/**
 * A draft as others load it: a folder with the published names, the target's embedding among them, its
 * configuration and a README. Reads of the target only what a draft shares with it. Not ONNX models, which
 * `lib/backend/onnx/export.ts` writes and a caller hands over; the README's text is `export_readme.ts`.
 */
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { sameShape } from "../graph/node.ts";
import { writeFileAtomic, writeFolderAtomic } from "../io/atomic.ts";
import { modelFolder } from "../hub/model.ts";
import { openCheckpoint } from "../io/checkpoint.ts";
import { readTargetConfig } from "./config.ts";
import { exportReadme, type OnnxNote } from "./export_readme.ts";
import {
  checkFits,
  type Draft,
  hashWeights,
  type StoredType,
  type TargetIdentity,
  writeDraft,
} from "./load.ts";

/** The two matrices of a target that its draft uses, [V,D] each, and whose they are. */
export interface SharedMatrices extends TargetIdentity {
  embedding: Float32Array;
  /** The LM head; the embedding itself where the target ties them. */
  head: Float32Array;
}

/**
 * Reads a target's (folder or name) embedding and LM head, and nothing else of its weights.
 * @throws when a file is missing or damaged, or a matrix contradicts config.json.
 */
export async function readShared(given: string): Promise<SharedMatrices> {
  const folder = await modelFolder(given, { check: readTargetConfig }),
    config = await readTargetConfig(folder);
  const wanted = [config.vocabulary, config.width];
  using file = openCheckpoint(folder);
  const read = (name: string) => {
    const { shape } = file.info(name);
    if (sameShape(shape, wanted)) return file.readFloat32(name);
    throw new Error(
      `Cannot use ${file.path}: ${name} is [${shape}], config.json wants [${wanted}]`,
    );
  };
  const embedding = read("model.embed_tokens.weight");
  const head = config.tied ? embedding : read("lm_head.weight");
  return { folder, config, identity: await hashWeights(file.path), embedding, head };
}

/** Types by the names they have on the command line. */
export const EXPORT_TYPES = { f32: "F32", f16: "F16", bf16: "BF16" } as const satisfies Record<
  string,
  StoredType
>;

/** Largest value of f16. */
const LARGEST_HALF = 65504;

/** What every export holds. An earlier one may be replaced, no other folder. */
const FILES = ["README.md", "config.json", "model.safetensors"];

/** ONNX models of a draft by file name, and what the README says of them. */
export interface OnnxFiles {
  models: Record<string, Uint8Array>;
  note: OnnxNote;
}

/**
 * @throws when `out` is the folder of the draft or of the target, or holds anything that is not an earlier
 * export: an export replaces its folder as a whole.
 */
export function checkExportFolder(
  out: string,
  { sources }: { sources: readonly string[] },
): void {
  if (!existsSync(out)) return;
  const real = realpathSync(out),
    refuse = (what: string) => new Error(`Cannot export to ${out}: ${what}`);
  const source = sources.find((s) => existsSync(s) && realpathSync(s) === real);
  if (source !== undefined) throw refuse("it is what is exported, wanted another folder");
  const found = readdirSync(out);
  if (found.length === 0) return;
  const isOurs = (name: string) => FILES.includes(name) || /^draft[\w-]*\.onnx$/.test(name);
  const foreign = found.find((name) => !isOurs(name));
  const missing = FILES.find((name) => !found.includes(name));
  if (foreign === undefined && missing === undefined) return;
  throw refuse(
    `it holds ${foreign ?? found.join(", ")}${
      foreign === undefined ? ` and no ${missing}` : ""
    }, wanted a new or empty folder, or an earlier export`,
  );
}

/** @throws naming the first value that is no number, or too large for the type. */
function checkValues(name: string, values: Float32Array, dtype: StoredType): void {
  const largest = dtype === "F16" ? LARGEST_HALF : Infinity;
  const at = values.findIndex((x) => !Number.isFinite(x) || Math.abs(x) > largest);
  if (at < 0) return;
  const limit = dtype === "F16" ? `at most ${LARGEST_HALF}, or another type` : "a finite number";
  throw new Error(
    `Cannot export ${name} as ${dtype}: element ${at} is ${values[at]}, wanted ${limit}`,
  );
}

/**
 * Writes a draft into `out`, as a whole or not at all: `model.safetensors` (parameters under the published
 * names, `embed_tokens.weight`, and `d2t`, `t2d` of a draft vocabulary), `config.json`, `README.md`, and the
 * given ONNX models.
 * @throws when `out` is in use for something else, the draft does not fit the target, or a value does not fit the type.
 */
export async function exportDraft(
  out: string,
  { draft, shared, dtype = "F32", onnx, sources = [] }: {
    draft: Draft;
    shared: SharedMatrices;
    dtype?: StoredType;
    onnx?: OnnxFiles;
    /** Folders that must not be written over. */
    sources?: readonly string[];
  },
): Promise<void> {
  checkExportFolder(out, { sources: [shared.folder, ...sources] });
  checkFits(`for ${out}`, draft.config, shared);
  const { vocabulary, width } = shared.config, { embedding } = shared;
  const config = { ...draft.config, target: shared.identity };
  checkValues("embed_tokens.weight", embedding, dtype);
  for (const [name, values] of Object.entries(draft.parameters)) checkValues(name, values, dtype);
  const frozen = { "embed_tokens.weight": { shape: [vocabulary, width], data: embedding, dtype } };
  await writeFolderAtomic(out, async (folder) => {
    await writeDraft(folder, { ...draft, config, dtype, frozen });
    for (const [name, bytes] of Object.entries(onnx?.models ?? {})) {
      await writeFileAtomic(join(folder, name), bytes);
    }
    const readme = exportReadme(config, { shared, dtype, onnx: onnx?.note });
    await writeFileAtomic(join(folder, "README.md"), readme);
  });
}
