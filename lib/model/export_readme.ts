/**
 * The README of an exported draft: what it is, which target it belongs to, its sizes, how to load it in
 * PyTorch and, if there are ONNX models, what goes in and comes out. Text only; `export.ts` writes it.
 */
import { type DraftConfig, FUSIONS } from "./config.ts";
import { countParameters, featureWidth } from "./draft.ts";
import type { StoredType, TargetIdentity } from "./load.ts";

/** A value of an ONNX model as the README lists it. */
export interface OnnxValue {
  name: string;
  type: string;
  shape: readonly number[];
}

/** What the README says of the ONNX models. */
export interface OnnxNote {
  /** File name and what it reads, the values that go in and come out. */
  models: { file: string; inputs: readonly OnnxValue[]; outputs: readonly OnnxValue[] }[];
  rows: number;
  capacity: number;
  width: number;
  /** Standard operators only, or com.microsoft's as well. */
  fused: boolean;
  /** Matrices are stored in f16. */
  half: boolean;
}

/** What each value of a decoding model is. */
const MEANING: Record<string, string> = {
  ids: "token after each feature",
  features: "feature of each row",
  positions: "position of each row",
  length: "cache rows in use before this call",
  bias: "added to the scores: 0 where a row may see a cache row, -3e38 where it may not",
  keys: "key cache",
  values: "value cache",
  tokens: "most likely next tokens, best first, in the target's numbering",
  log_probabilities: "their log-probabilities",
  regress: "predicted features, to be fed back",
  new_keys: "key cache with this call's rows written at `length`",
  new_values: "value cache likewise",
};

const TORCH_TYPE: Record<StoredType, string> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

function table(rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  return [line(rows[0]), line(rows[0].map(() => "---")), ...rows.slice(1).map(line)].join("\n");
}

/** How the published code of each design takes the files. */
function howToLoad(config: DraftConfig): string {
  const notes: string[] = [];
  if (config.fusion === "linear") {
    notes.push(
      "EAGLE's own code calls the fusion `fc.weight` and `fc.bias`, GRIFFIN's `fc.fc.weight` and",
      "`fc.fc.bias` as here; rename these two for the former.",
    );
  }
  if (config.headSize * config.heads !== config.width) {
    notes.push(
      `The head size ${config.headSize} is not the width over the heads, which published code assumes: it`,
      "must read `head_dim` of `config.json`.",
    );
  }
  return [
    "```python",
    "from safetensors.torch import load_file",
    'weights = load_file("model.safetensors")',
    "model.load_state_dict(weights)",
    "",
    "# The authors' loaders look for a file of torch.save:",
    "import torch",
    'torch.save(weights, "pytorch_model.bin")',
    "```",
    ...(notes.length > 0 ? ["", ...notes] : []),
  ].join("\n");
}

function onnxPart(
  { models, rows, capacity, width, fused, half }: OnnxNote,
  config: DraftConfig,
): string {
  const list = (title: string, values: readonly OnnxValue[]) =>
    table([
      [title, "type", "shape", "what it is"],
      ...values.map(({ name, type, shape }) =>
        [`\`${name}\``, type, `[${shape}]`, MEANING[name] ?? ""] as const
      ),
    ]);
  const operators = fused
    ? "Uses ONNX Runtime's own operators (`com.microsoft`), so that no other runtime runs it."
    : "Uses operators of the ONNX standard only (operator set 21), so that any runtime runs it.";
  const two = config.fusion === "taps"
    ? "`draft.onnx` reads the target's tapped features side by side, `draft-fed.onnx` what the draft fed back."
    : "Rows read the target's features, or what the draft fed back: one model serves both.";
  return [
    "## ONNX",
    "",
    `One step of drafting, computed in f32, weights inside${
      half ? " (matrices as f16)" : ""
    }, ${width} tokens for each row. ${operators} ${two}`,
    "",
    `Sizes are static: ${rows} rows a call, caches of ${capacity} rows. Fewer rows are padded at the end: their`,
    `results are ignored, and the next call writes over their cache rows. \`length\` + ${rows} must not exceed`,
    `${capacity}, and positions, padded ones too, must be below it. Row i sees cache rows up to \`length\` + i to which \`bias\` adds 0; a chain needs a bias`,
    "of zeros, a tree hides what is no ancestor. Feed `new_keys` and `new_values` back as `keys` and `values`.",
    ...models.flatMap(({ file, inputs, outputs }) => [
      "",
      `### ${file}`,
      "",
      list("input", inputs),
      "",
      list("output", outputs),
    ]),
    "",
  ].join("\n");
}

/** The text of the README. */
export function exportReadme(
  config: DraftConfig,
  { shared, dtype, onnx }: { shared: TargetIdentity; dtype: StoredType; onnx?: OnnxNote },
): string {
  const { fusion, head, width, inner, heads, kvHeads, headSize, vocabulary } = config;
  const sizes: [string, string | number][] = [
    ["design", FUSIONS[fusion]],
    ["outputs", head === "dual" ? "two: for the LM head, and fed back" : "one, for both purposes"],
    ["trained parameters", countParameters(config)],
    ["width", width],
    ["inner width", inner],
    ["heads", `${heads} of size ${headSize}, ${kvHeads} for keys and values`],
    ["vocabulary", vocabulary],
    ...(config.draftVocabulary === undefined
      ? []
      : [["draft vocabulary", config.draftVocabulary] as [string, number]]),
    ...(config.taps === undefined
      ? []
      : [["reads what enters layers", config.taps.join(", ")] as [string, string]]),
    ["feature width", featureWidth(config)],
    ["positions", config.positions],
    ["stored as", TORCH_TYPE[dtype]],
  ];
  const extra = fusion === "taps"
    ? "its own LM head, `d2t` (target id minus draft id) and `t2d` (which target ids it knows)"
    : "the LM head is the target's and not included";
  return [
    "# Draft model for speculative decoding",
    "",
    `Trained for one target: \`${shared.identity}\` (start of the SHA-256 of its weight files), a LLaMA decoder of`,
    `${shared.config.layers} layers and width ${shared.config.width}. With another target it is of no use.`,
    "",
    table([["", ""], ...sizes]),
    "",
    "## Files",
    "",
    "- `model.safetensors`: parameters under the published names, with `embed_tokens.weight` copied from the",
    `  target; ${extra}.`,
    "- `config.json`: sizes in Hugging Face form; `griffin` says which design it is and for which target.",
    ...(onnx?.models ?? []).map(({ file }) => `- \`${file}\`: the drafting step as an ONNX model.`),
    "",
    "## Loading in PyTorch",
    "",
    howToLoad(config),
    "",
    ...(onnx === undefined ? [] : [onnxPart(onnx, config)]),
  ].join("\n");
}
