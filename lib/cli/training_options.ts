/** Options of tasks that train: every choice of a recipe, the preset's where none is given. */
import { type DraftConfig, draftSizes } from "../model/config.ts";
import type { TargetIdentity } from "../model/load.ts";
import { eagle3Taps, type Preset, type PresetName, PRESETS } from "../train/presets.ts";
import { DEFAULT_RECIPE, LOSS_WEIGHTS, type LossWeights, type Recipe } from "../train/recipe.ts";
import type { Option, Values } from "./command.ts";

const choice = (choices: readonly string[], describe: string) =>
  ({ type: "string", choices, describe }) as const;
const number = (describe: string, minimum = 0) => ({ type: "number", minimum, describe }) as const;
const whole = (describe: string, minimum = 1) => ({ type: "integer", minimum, describe }) as const;
const text = (describe: string) => ({ type: "string", describe }) as const;
const SWITCH = ["on", "off"] as const;

/** Declared options; those without a default are the preset's, then the default recipe's. */
export const TRAINING_OPTIONS = {
  preset: {
    type: "string",
    choices: Object.keys(PRESETS),
    default: "griffin",
    describe: "published method that all other choices start from",
  },
  passes: text("passes of each training step, with commas: 1,2,3 is GRIFFIN's way, 3 is HASS's"),
  epochs: { type: "string", default: "5,2,2", describe: "epochs of each step; fractions are fine" },
  "learning-rate": { type: "string", default: "1e-3,6e-4,4e-4", describe: "of each step" },
  inner: { type: "integer", minimum: 16, default: 704, describe: "inner width of the draft" },
  fusion: choice(["tgf", "fspad", "linear", "taps"], "how features and tokens are joined"),
  head: choice(["dual", "single"], "outputs of the draft: two, or one for both purposes"),
  taps: text("target layers that fusion taps reads, with commas [2, L/2, L-3]"),
  "draft-vocabulary": whole("tokens of the LM head that fusion taps has [half of the target's]"),
  attention: choice(
    ["masked", "upstream"],
    "rows to come: hidden, or as the published code has it",
  ),
  mask: choice(["paper", "upstream", "none"], "alignment mask"),
  k: whole("top k of the alignment mask"),
  label: choice(["dataset", "target"], "whose token the alignment mask looks for"),
  feedback: choice(["regress", "predict"], "what the next pass reads"),
  bptt: choice(SWITCH, "gradients flow from pass to pass"),
  weights: text(`loss weights: ${Object.keys(LOSS_WEIGHTS).join(", ")}, or feature,token,top-K`),
  "top-tokens": whole("tokens of the top-K loss"),
  backward: choice(["sum", "mean"], "losses of the passes are added or averaged"),
  "pass-decay": number("pass i counts this to the power of i"),
  noise: text("half-width of noise on features, or length-scaled"),
  rows: whole("tokens of a batch, about", 64),
  "max-length": whole("longer examples are cut", 8),
  packing: choice(SWITCH, "several examples share a row of a batch"),
  accumulate: whole("batches of an update"),
  schedule: choice(["linear", "cosine", "constant"], "of the learning rate after warm-up"),
  warmup: whole("updates of rising learning rate", 0),
  "weight-decay": number("of AdamW"),
  clip: number("largest absolute value of a gradient; 0 for no limit"),
  "clip-norm": number("largest norm of the gradient; 0 for no limit"),
  average: number("decay of a running mean of parameters, which is then kept; 0 for none"),
  seed: { type: "integer", default: 0, describe: "of initial weights, order and noise" },
} as const satisfies Record<string, Option>;

type Options = Values<typeof TRAINING_OPTIONS>;

const WEIGHTS: Record<string, LossWeights> = LOSS_WEIGHTS;

/** Numbers with commas; NaN where there is none. */
const numbers = (given: string) =>
  given.split(",").map((part) => part.trim() === "" ? NaN : Number(part));

function parseWeights(given: string): LossWeights {
  if (Object.hasOwn(WEIGHTS, given)) return WEIGHTS[given];
  const [feature, token, topK, ...more] = numbers(given);
  if (more.length > 0 || ![feature, token, topK].every((x) => x >= 0 && x < Infinity)) {
    throw new Error(
      `--weights is ${given}, wanted ${
        Object.keys(WEIGHTS).join(", ")
      }, or three numbers as 1,0.1,0.5`,
    );
  }
  return { feature, token, topK };
}

function parseNoise(given: string): Recipe["noise"] {
  if (given === "length-scaled") return given;
  const value = Number(given);
  if (given.trim() === "" || !(value >= 0 && value < Infinity)) {
    throw new Error(`--noise is ${given}, wanted a number from 0 or length-scaled`);
  }
  return value;
}

/** Numbers with commas, one for each step; the last one serves the rest. */
function perStep(given: string, { name, steps }: { name: string; steps: number }): number[] {
  const values = numbers(given);
  if (!values.every((x) => x > 0 && x < Infinity)) {
    throw new Error(`--${name} is ${given}, wanted positive numbers with commas`);
  }
  return Array.from({ length: steps }, (_, i) => values[Math.min(i, values.length - 1)]);
}

/** The choices that were made, over those of the preset and the default recipe. */
function chosen(options: Options, preset: Preset): Recipe {
  const { bptt, packing, weights, noise } = options, on = (x?: string) => x && x === "on";
  const given: Partial<Record<keyof Recipe, unknown>> = {
    attention: options.attention,
    mask: options.mask,
    alignK: options.k,
    label: options.label,
    feedback: options.feedback,
    bptt: on(bptt),
    weights: weights === undefined ? undefined : parseWeights(weights),
    topTokens: options["top-tokens"],
    backward: options.backward,
    passDecay: options["pass-decay"],
    noise: noise === undefined ? undefined : parseNoise(noise),
    rows: options.rows,
    maxLength: options["max-length"],
    packing: on(packing),
    accumulate: options.accumulate,
    schedule: options.schedule,
    warmup: options.warmup,
    weightDecay: options["weight-decay"],
    clip: options.clip,
    clipNorm: options["clip-norm"],
    average: options.average,
    seed: options.seed,
  };
  const made = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...DEFAULT_RECIPE, ...preset.recipe, ...Object.fromEntries(made) };
}

/** The recipe of each training step, in order. @throws naming the option, found and wanted. */
export function recipesOf(options: Options): Recipe[] {
  const preset: Preset = PRESETS[options.preset as PresetName], recipe = chosen(options, preset);
  const passes = options.passes?.split(",").map(Number) ?? [...preset.steps];
  if (!passes.every((p) => Number.isInteger(p) && p >= 1)) {
    throw new Error(`--passes is ${options.passes}, wanted whole numbers from 1 with commas`);
  }
  const steps = passes.length, epochs = perStep(options.epochs, { name: "epochs", steps });
  const rates = perStep(options["learning-rate"], { name: "learning-rate", steps });
  return passes.map((p, i) => ({
    ...recipe,
    passes: p,
    epochs: epochs[i],
    learningRate: rates[i],
  }));
}

/**
 * The draft that the options ask for, for this target.
 * @throws when taps are no layers; what does not go together is refused by `checkDraftConfig`.
 */
export function draftConfigOf(options: Options, { config, identity }: TargetIdentity): DraftConfig {
  const preset: Preset = PRESETS[options.preset as PresetName];
  const fusion = (options.fusion ?? preset.fusion) as DraftConfig["fusion"];
  const taps = options.taps === undefined ? undefined : numbers(options.taps);
  if (taps?.every((l) => Number.isInteger(l) && l >= 0 && l < config.layers) === false) {
    throw new Error(
      `--taps is ${options.taps}, wanted layers from 0 to ${config.layers - 1} with commas`,
    );
  }
  const ownTaps = fusion === "taps" ? taps ?? eagle3Taps(config) : taps;
  const half = fusion === "taps" ? Math.ceil(config.vocabulary / 2) : undefined;
  const draftVocabulary = options["draft-vocabulary"] ?? half;
  return {
    ...draftSizes(config, { fusion }),
    inner: options.inner,
    fusion,
    head: (options.head ?? preset.head) as DraftConfig["head"],
    target: identity,
    // Also where the fusion has no use for them: checkDraftConfig then refuses them.
    ...(ownTaps !== undefined && { taps: ownTaps }),
    ...(draftVocabulary !== undefined && { draftVocabulary }),
  };
}
