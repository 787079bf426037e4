/**
 * Options of training: each preset gives its recipe, every choice wins over it, and what is wrong is named by
 * its option. Options as such: `command_test.ts`.
 */
import assert from "node:assert/strict";
import { parseOptions } from "../../lib/cli/command.ts";
import { draftConfigOf, recipesOf, TRAINING_OPTIONS } from "../../lib/cli/training_options.ts";
import { checkDraftConfig, type TargetConfig } from "../../lib/model/config.ts";
import type { Target } from "../../lib/model/load.ts";
import { type Preset, type PresetName, PRESETS } from "../../lib/train/presets.ts";
import { checkRecipe, DEFAULT_RECIPE, LOSS_WEIGHTS, type Recipe } from "../../lib/train/recipe.ts";
import { TINY } from "../model/tiny.ts";

const parse = (...args: string[]) => parseOptions(TRAINING_OPTIONS, args);
const recipes = (...args: string[]) => recipesOf(parse(...args));

/** Only sizes and identity of a target are looked at. */
function config(args: string[], changes: Partial<TargetConfig> = {}) {
  const target: Target = {
    folder: "tiny",
    config: { ...TINY, layers: 6, ...changes },
    weights: {},
    identity: "tiny-1",
  };
  return draftConfigOf(parse(...args), target);
}

for (const name of Object.keys(PRESETS) as PresetName[]) {
  Deno.test(`--preset ${name} is its recipe in each of its steps, and its draft`, () => {
    const { fusion, head, steps, recipe }: Preset = PRESETS[name],
      found = recipes("--preset", name);
    const epochs = [5, 2, 2], learningRate = [1e-3, 6e-4, 4e-4];
    assert.deepEqual(
      found,
      steps.map((passes, i) => ({
        ...DEFAULT_RECIPE,
        ...recipe,
        passes,
        epochs: epochs[i],
        learningRate: learningRate[i],
      })),
    );
    const draft = config(["--preset", name]);
    assert.deepEqual([draft.fusion, draft.head, draft.target], [fusion, head, "tiny-1"]);
    checkDraftConfig(draft);
    for (const one of found) checkRecipe(one, draft);
  });
}

/** An option, its value, and what it sets. */
const CHOICES: [option: string, value: string, wanted: Partial<Recipe>][] = [
  ["attention", "upstream", { attention: "upstream" }],
  ["mask", "none", { mask: "none" }],
  ["k", "7", { alignK: 7 }],
  ["label", "target", { label: "target" }],
  ["feedback", "predict", { feedback: "predict" }],
  ["bptt", "on", { bptt: true }],
  ["weights", "paper", { weights: LOSS_WEIGHTS.paper }],
  ["weights", "0.5, 2,0", { weights: { feature: 0.5, token: 2, topK: 0 } }],
  ["top-tokens", "5", { topTokens: 5 }],
  ["backward", "mean", { backward: "mean" }],
  ["pass-decay", "0.8", { passDecay: 0.8 }],
  ["noise", "0.25", { noise: 0.25 }],
  ["noise", "0", { noise: 0 }],
  ["noise", "length-scaled", { noise: "length-scaled" }],
  ["rows", "4096", { rows: 4096 }],
  ["max-length", "256", { maxLength: 256 }],
  ["packing", "on", { packing: true }],
  ["accumulate", "4", { accumulate: 4 }],
  ["schedule", "cosine", { schedule: "cosine" }],
  ["warmup", "0", { warmup: 0 }],
  ["weight-decay", "0", { weightDecay: 0 }],
  ["clip", "0", { clip: 0 }],
  ["clip-norm", "1", { clipNorm: 1 }],
  ["average", "0.99", { average: 0.99 }],
  ["seed", "9", { seed: 9 }],
];

Deno.test("each choice wins over the preset, in every step, and changes nothing else", () => {
  const plain = recipes();
  for (const [option, value, wanted] of CHOICES) {
    const found = recipes(`--${option}`, value);
    assert.deepEqual(found, plain.map((recipe) => ({ ...recipe, ...wanted })), `--${option}`);
  }
  // Every choice of a recipe can be made, but for the optimiser's three constants.
  const set = new Set(CHOICES.flatMap(([, , wanted]) => Object.keys(wanted)));
  const others = ["passes", "epochs", "learningRate", "beta1", "beta2", "epsilon"];
  assert.deepEqual(
    Object.keys(DEFAULT_RECIPE).filter((key) => !set.has(key)).sort(),
    others.sort(),
  );
});

Deno.test("off switches off what the preset has on", () => {
  assert.deepEqual(recipes("--preset", "eagle3").map((r) => r.bptt), [true]);
  assert.deepEqual(recipes("--preset", "eagle3", "--bptt", "off").map((r) => r.bptt), [false]);
  assert.deepEqual(recipes("--packing", "off").map((r) => r.packing), [false, false, false]);
});

Deno.test("lists have a value for each step, the last one serves the rest", () => {
  const found = recipes("--passes", "1,2,3,4", "--epochs", "0.5,2", "--learning-rate", "1e-4");
  assert.deepEqual(found.map((r) => r.passes), [1, 2, 3, 4]);
  assert.deepEqual(found.map((r) => r.epochs), [0.5, 2, 2, 2]);
  assert.deepEqual(found.map((r) => r.learningRate), [1e-4, 1e-4, 1e-4, 1e-4]);
  // Longer lists than steps are fine: the defaults are such.
  assert.deepEqual(recipes("--passes", "3").map((r) => [r.passes, r.epochs]), [[3, 5]]);
});

Deno.test("the draft has the target's sizes, and EAGLE-3's its layers and half the vocabulary", () => {
  const { layers: _, family: __, tied: ___, eos: ____, bos: _____, ...sizes } = TINY;
  const griffin = { ...sizes, inner: 704, fusion: "tgf", head: "dual", target: "tiny-1" };
  assert.deepEqual(config([]), griffin);
  assert.deepEqual(config(["--inner", "64", "--fusion", "linear", "--head", "single"]), {
    ...griffin,
    inner: 64,
    fusion: "linear",
    head: "single",
  });
  const eagle3 = config(["--preset", "eagle3"], { vocabulary: 25 });
  assert.deepEqual([eagle3.taps, eagle3.draftVocabulary], [[2, 3, 3], 13]);
  const chosen = config(["--preset", "eagle3", "--taps", "0, 5", "--draft-vocabulary", "7"]);
  assert.deepEqual([chosen.taps, chosen.draftVocabulary], [[0, 5], 7]);
  // The switch alone brings the layers with it.
  assert.deepEqual(config(["--fusion", "taps", "--head", "single"]).taps, [2, 3, 3]);
});

const REFUSED: [args: string[], message: RegExp][] = [
  [["--preset", "griffon"], /--preset is griffon, wanted one of griffin, griffin-upstream, hass/],
  [["--passes", "1,0"], /--passes is 1,0, wanted whole numbers from 1 with commas/],
  [["--passes", "1,2.5"], /--passes is 1,2.5, wanted whole numbers/],
  [["--passes", "1,"], /--passes is 1,, wanted whole numbers/],
  [["--epochs", "x"], /--epochs is x, wanted positive numbers with commas/],
  [["--epochs", "1,,2"], /--epochs is 1,,2, wanted positive numbers/],
  [["--epochs", "Infinity"], /--epochs is Infinity, wanted positive numbers/],
  [["--learning-rate", "0"], /--learning-rate is 0, wanted positive numbers/],
  [["--weights", "papr"], /--weights is papr, wanted code, paper, hass, tokens, or three numbers/],
  [["--weights", "1,2"], /--weights is 1,2, wanted/],
  [["--weights", "1,2,3,4"], /--weights is 1,2,3,4, wanted/],
  [["--weights", "1,,3"], /--weights is 1,,3, wanted/],
  [["--weights", "1,-2,3"], /--weights is 1,-2,3, wanted/],
  [["--weights", "1,Infinity,3"], /--weights is 1,Infinity,3, wanted/],
  [["--weights", "toString"], /--weights is toString, wanted/],
  [["--noise", "loud"], /--noise is loud, wanted a number from 0 or length-scaled/],
  [["--noise", " "], /--noise is +, wanted a number/],
  [["--noise", "-1"], /--noise is -1, wanted a number/],
  [["--noise", "Infinity"], /--noise is Infinity, wanted a number/],
  [["--bptt", "yes"], /--bptt is yes, wanted one of on, off/],
  [["--packing", "true"], /--packing is true, wanted one of on, off/],
  [["--k", "0"], /--k is 0, wanted a whole number from 1/],
  [["--accumulate", "0.5"], /--accumulate is 0.5, wanted a whole number from 1/],
  [["--clip", "-1"], /--clip is -1, wanted a number from 0/],
  [["--rows", "63"], /--rows is 63, wanted a whole number from 64/],
];

Deno.test("bad values are refused by the name of their option", () => {
  for (const [args, message] of REFUSED) assert.throws(() => recipes(...args), message);
});

Deno.test("taps that are no layers, or that no draft of this kind has, are refused", () => {
  const eagle3 = (taps: string) => () => config(["--preset", "eagle3", "--taps", taps]);
  for (const taps of ["x", "1,", "", "1.5", "2,6"]) {
    assert.throws(eagle3(taps), /--taps is .*, wanted layers from 0 to 5 with commas/, taps);
  }
  assert.throws(() => config(["--preset", "eagle3"], { layers: 3 }), /Cannot tap layers 2, L\/2/);
  for (const args of [["--taps", "1,2"], ["--draft-vocabulary", "9"]]) {
    const found = config(args);
    assert.throws(() => checkDraftConfig(found), /fusion tgf reads the last layer and has the/);
  }
  const large = config(["--preset", "eagle3", "--draft-vocabulary", "99"]);
  assert.throws(() => checkDraftConfig(large), /draft_vocab_size is 99, wanted 1 to 24/);
});
