/**
 * How others store a draft: a row a format, saying how it is recognised, what it calls the tensors of ours, and where
 * its configuration has the sizes. A new format is a row here and a golden (`tests/golden/make/foreign_drafts.py`).
 * What is checked by these rows: `checkup.ts`; what is written: `convert_draft.ts`.
 */
import type { Json } from "../io/json.ts";
import { type DecoderConfig, decoderConfig, type DraftConfig } from "./config.ts";
import type { Shape } from "../graph/node.ts";

/** What a file shows of itself before its values are read. */
export interface Looks {
  names: readonly string[];
  has: (name: string) => boolean;
  /** @throws when there is no such tensor. */
  shape: (name: string) => Shape;
  /** `config.json`, where there is one. */
  json?: Json;
}

/** A row of the table. */
export interface DraftFormat {
  name: string;
  fusion: DraftConfig["fusion"];
  /** What speaks for this format, first reason first; none if it is another. */
  why: (looks: Looks) => string[];
  /** Beginnings of our tensor names and what stands for them; the first that fits counts. */
  renamed: readonly (readonly [ours: string, theirs: string])[];
  /** Their object that has the sizes. */
  sizes: (json: Json) => Json;
  /** Which layers' inputs the draft reads, where its configuration says so. */
  taps?: (json: Json) => number[] | undefined;
  /** Settings that our graph does not know, each with what it changes. */
  unlike?: (json: Json) => string[];
}

const whole = (json: Json): Json => json;
const says = (json: Json | undefined, key: string, value: unknown): string[] =>
  json?.[key] === value ? [`config.json says ${key} ${value}`] : [];
const tensor = ({ names }: Looks, pattern: RegExp): string[] => {
  const found = names.find((n) => pattern.test(n));
  return found === undefined ? [] : [`it has ${found}`];
};
const architecture = ({ json }: Looks): string => String([json?.architectures].flat()[0] ?? "");

/** Numbers of layers, or none where the configuration does not list them. */
function layerNumbers(ids: unknown): number[] | undefined {
  return Array.isArray(ids) && ids.length > 0 && ids.every((i) => Number.isInteger(i))
    ? ids
    : undefined;
}

const moreLayers = ({ num_hidden_layers: n }: Json): string[] =>
  typeof n === "number" && n > 1 ? [`num_hidden_layers is ${n}: a draft here has one layer`] : [];
const isTrue = (json: Json, key: string, meaning: string): string[] =>
  json[key] === true ? [`${key} is true: ${meaning}`] : [];

const otherWidth = ({ target_hidden_size: target }: Json, { hidden_size: width }: Json): string[] =>
  typeof target === "number" && target !== width
    ? [
      `target_hidden_size is ${target}, hidden_size ${width}: a draft here is as wide as its target`,
    ]
    : [];

/** EAGLE-3's settings that came after its paper. */
const laterEagle3 = (json: Json, sizes: Json = json): string[] => [
  ...otherWidth(json, sizes),
  ...moreLayers(json),
  ...isTrue(json, "norm_output", "what is fed back is normalised"),
  ...isTrue(json, "fc_norm", "each tapped feature is normalised"),
];

const EAGLE3: Omit<DraftFormat, "name" | "why"> = {
  fusion: "taps",
  renamed: [],
  sizes: whole,
  // Numbers of layers whose outputs are read, which are the inputs of the layers after them.
  taps: ({ eagle_config: config }) =>
    layerNumbers((config as Json | undefined)?.eagle_aux_hidden_state_layer_ids)
      ?.map((id) => id + 1),
  unlike: (json) => laterEagle3(json),
};

const speculatorsSizes = (json: Json) => (json.transformer_layer_config ?? {}) as Json;

/** Formats of drafts, the surest signs first. */
export const DRAFT_FORMATS = {
  own: {
    name: "a draft of this project",
    fusion: "tgf", // config.json says which
    why: ({ json }) => json?.griffin === undefined ? [] : ["config.json has griffin"],
    renamed: [],
    sizes: whole,
    taps: ({ griffin }) => layerNumbers((griffin as Json).taps),
  },
  speculatorsEagle3: {
    name: "EAGLE-3 as vLLM speculators stores it",
    fusion: "taps",
    why: (looks) => [
      ...says(looks.json, "speculators_model_type", "eagle3"),
      ...tensor(looks, /^layers\.0\.hidden_norm\.weight$/),
    ],
    renamed: [["midlayer.", "layers.0."]],
    sizes: speculatorsSizes,
    // Here 0 is the embedding, and number j the output of layer j - 1: the input of layer j.
    taps: (json) => layerNumbers(json.eagle_aux_hidden_state_layer_ids),
    unlike: (json) => [
      ...moreLayers(speculatorsSizes(json)),
      ...isTrue(json, "norm_before_fc", "the tapped features are normalised"),
      ...laterEagle3(json, speculatorsSizes(json)),
    ],
  },
  speculatorsEagle: {
    name: "EAGLE-1, EAGLE-2 or HASS as vLLM speculators stores it",
    fusion: "linear",
    why: (looks) => [
      ...says(looks.json, "speculators_model_type", "eagle"),
      ...tensor(looks, /^fusion_fc\.weight$/),
    ],
    renamed: [["fc.fc.", "fusion_fc."], ["layers.0.", "transformer."]],
    sizes: speculatorsSizes,
    unlike: (json) => [
      ...moreLayers(speculatorsSizes(json)),
      ...isTrue(json, "layernorms", "embedding, layer input and output are normalised"),
    ],
  },
  specForge: {
    ...EAGLE3,
    name: "EAGLE-3 as SpecForge stores it",
    why: (looks) =>
      architecture(looks) === "LlamaForCausalLMEagle3"
        ? [
          "config.json names LlamaForCausalLMEagle3; the authors' own files have the same tensors",
          ...tensor(looks, /^midlayer\./),
        ]
        : [],
  },
  eagle3: { ...EAGLE3, name: "EAGLE-3", why: (looks) => tensor(looks, /^midlayer\./) },
  fspad: {
    name: "FSPAD",
    fusion: "fspad",
    why: (looks) => tensor(looks, /^fc\.mlp\.gate_proj\.weight$/),
    renamed: [],
    sizes: whole,
    unlike: moreLayers,
  },
  griffin: {
    name: "GRIFFIN",
    fusion: "tgf",
    why: (looks) => tensor(looks, /^fc\.(mlp|post_attention_layernorm)\./),
    renamed: [],
    sizes: whole,
    unlike: moreLayers,
  },
  eagle: {
    name: "EAGLE-1, EAGLE-2 or HASS",
    fusion: "linear",
    why: (looks) =>
      looks.has("fc.weight") && looks.names.some((n) => n.startsWith("layers.0."))
        ? ["it has fc.weight and layers.0.: the three differ in training and trees, not in tensors"]
        : [],
    renamed: [["fc.fc.", "fc."]],
    sizes: whole,
    unlike: moreLayers,
  },
} as const satisfies Record<string, DraftFormat>;

export type FormatName = keyof typeof DRAFT_FORMATS;

/** What is no draft that can be read, and what it is instead. */
const OTHERS: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/(^|\.)lora_[AB]\./, "an adapter (LoRA): it changes a model and is none"],
  [/^(medusa_heads?\.)?\d+\.\d+\.linear\.(weight|bias)$/, "Medusa heads: they read no draft layer"],
  [/^(speculator\.)?(emb|proj|ln)\.\d+\./, "an MLP speculator: it has no attention"],
  [/^model\.(vision|visual)|^(vision_tower|visual|language_model)\./, "a model that also sees"],
];

/** What a file is. */
export type Recognised =
  | { kind: "draft"; format: FormatName; name: string; why: string[] }
  | { kind: "target"; name: string; why: string[] }
  | { kind: "neither"; name: string; why: string[] };

/** Recognises a draft, a target or neither by tensor names and `config.json`. */
export function recognise(looks: Looks): Recognised {
  const { names, json } = looks, type = json?.speculators_model_type;
  if (type !== undefined && type !== "eagle" && type !== "eagle3") {
    const name = `a speculator of type ${type}, which is not read here`;
    return { kind: "neither", name, why: [`config.json says speculators_model_type ${type}`] };
  }
  for (const [format, row] of Object.entries(DRAFT_FORMATS) as [FormatName, DraftFormat][]) {
    const why = row.why(looks);
    if (why.length > 0) return { kind: "draft", format, name: row.name, why };
  }
  for (const [pattern, name] of OTHERS) {
    const why = tensor(looks, pattern);
    if (why.length > 0) return { kind: "neither", name, why };
  }
  const layers = tensor(looks, /^(model\.layers|blk)\.\d+\./);
  if (layers.length > 0) {
    const named = architecture(looks);
    const why = [...layers, ...named ? [`its configuration names ${named}`] : []];
    return { kind: "target", name: "a target, not a draft", why };
  }
  const some = names.slice(0, 3).join(", ");
  const why = [`its ${names.length} tensors (${some}${names.length > 3 ? ", ..." : ""}) fit none`];
  return { kind: "neither", name: "neither a known draft nor a target", why };
}

/** Their name of one of our tensors. */
export function foreignName(format: FormatName, ours: string): string {
  const { renamed }: DraftFormat = DRAFT_FORMATS[format];
  for (const [own, theirs] of renamed) {
    if (ours.startsWith(own)) return theirs + ours.slice(own.length);
  }
  return ours;
}

/** Biases that may be missing: files of some versions have none, which is a bias of zeros. */
export const mayLack = (format: FormatName, ours: string): boolean =>
  ours === "fc.fc.bias" && DRAFT_FORMATS[format].fusion === "linear" && format !== "own";

/** Biases that a layer of ours may have, by their names here. */
const QKV_BIASES = ["q", "k", "v"].map((name) => `layers.0.self_attn.${name}_proj.bias`);

/** A draft's configuration as far as a foreign file tells it. */
export interface ForeignConfig {
  config: DraftConfig;
  /** The file has biases of queries, keys or values that its configuration does not tell; and what that says. */
  untoldBiases?: "nothing" | "qkv_bias false";
  /** Why `taps` are not the real ones: placeholders of the right number, for shapes alone. */
  tapsUnknown?: string;
}

/** Layers whose inputs EAGLE-3 reads where nothing else is said (published decoding code). */
export const eagle3Taps = (layers: number): number[] => [2, Math.floor(layers / 2), layers - 3];

/**
 * Reads the sizes of a draft from `config.json`, and from tensors what stands nowhere else: shapes, and biases of
 * queries, keys and values (not EAGLE-3's, which has none here).
 * @param layers of the target, if it is at hand: taps that are not written down follow from it.
 * @throws when a size is missing or wrong, naming `file`.
 */
export function foreignConfig(
  format: FormatName,
  looks: Looks & { json: Json },
  { file, layers }: { file: string; layers?: number },
): ForeignConfig {
  const row: DraftFormat = DRAFT_FORMATS[format], { json, has, shape } = looks;
  const sizes: DecoderConfig = decoderConfig(row.sizes(json), file);
  const own = (json.griffin ?? {}) as Partial<DraftConfig>;
  const fusion = own.fusion ?? row.fusion;
  const down = foreignName(format, "layers.0.mlp.down_proj.weight"), dual = 2 * sizes.width;
  const rowsOfDown = has(down) ? shape(down)[0] : undefined;
  const usual = fusion === "tgf" || fusion === "fspad" ? "dual" : "single";
  const seen = rowsOfDown === sizes.width ? "single" : rowsOfDown === dual ? "dual" : usual;
  const head = own.head ?? seen, target = own.target === undefined ? {} : { target: own.target };
  if (fusion !== "taps") {
    const said = row.sizes(json).qkv_bias;
    const untold = said !== true && QKV_BIASES.some((name) => has(foreignName(format, name)));
    return {
      config: {
        ...{ ...sizes, fusion, head, ...target },
        ...((said === true || untold) && { qkvBias: true }),
      },
      ...(untold && { untoldBiases: said === false ? "qkv_bias false" : "nothing" }),
    };
  }
  const rows = (name: string) => has(name) ? shape(name)[0] : undefined;
  const draftVocabulary = Number(
    json.draft_vocab_size ?? rows("d2t") ?? rows("lm_head.weight") ?? sizes.vocabulary,
  );
  const given = row.taps?.(json);
  const taps = given ?? (layers === undefined ? undefined : eagle3Taps(layers));
  const count = has("fc.weight") ? Math.floor(shape("fc.weight")[1] / sizes.width) || 3 : 3;
  return {
    config: {
      ...{ ...sizes, fusion, head: "single", draftVocabulary, ...target },
      ...(json.norm_before_residual === true && { normedResidual: true }),
      taps: taps ?? Array.from({ length: count }, (_, i) => i),
    },
    ...(taps === undefined && {
      tapsUnknown: "config.json does not say which layers it reads, and they follow from the " +
        "number of the target's layers",
    }),
  };
}
