/** Options of training: the preset's choices, what overrides them, and what is refused. */
import assert from "node:assert/strict";
import { parseOptions } from "../../lib/cli/command.ts";
import { draftConfigOf, recipesOf, TRAINING_OPTIONS } from "../../lib/cli/training_options.ts";
import type { Target } from "../../lib/model/load.ts";
import { DEFAULT_RECIPE, LOSS_WEIGHTS } from "../../lib/train/recipe.ts";
import { TINY } from "../model/tiny.ts";

const parse = (line = "") =>
  parseOptions(TRAINING_OPTIONS, line.split(" ").filter((w) => w !== ""));
const recipes = (line?: string) => recipesOf(parse(line));
const TARGET = { config: { ...TINY, layers: 8 }, identity: "tiny-1" } as Target;

Deno.test("GRIFFIN in three steps is what is trained when nothing is said", () => {
  const found = recipes();
  assert.deepEqual(found.map((r) => [r.passes, r.epochs, r.learningRate]), [
    [1, 5, 1e-3],
    [2, 2, 6e-4],
    [3, 2, 4e-4],
  ]);
  const { passes: _, epochs: __, learningRate: ___, ...rest } = found[2];
  const { passes: ____, epochs: _____, learningRate: ______, ...wanted } = DEFAULT_RECIPE;
  assert.deepEqual(rest, wanted);
});

Deno.test("a preset's choices hold until others are made", () => {
  const [hass] = recipes("--preset hass");
  assert.deepEqual([hass.passes, hass.mask, hass.weights], [3, "none", LOSS_WEIGHTS.hass]);
  const upstream = recipes("--preset griffin-upstream");
  assert.deepEqual([upstream[2].attention, upstream[2].mask, upstream[2].noise], [
    "upstream",
    "upstream",
    "length-scaled",
  ]);
  const [changed] = recipes("--preset hass --mask paper --noise 0.3 --bptt on --weights 1,2,0.5");
  assert.deepEqual([changed.mask, changed.noise, changed.bptt], ["paper", 0.3, true]);
  assert.deepEqual(changed.weights, { feature: 1, token: 2, topK: 0.5 });
  assert.equal(recipes("--preset eagle3 --bptt off")[0].bptt, false);
});

Deno.test("lists give each step its value, the last one serves the rest", () => {
  const found = recipes("--passes 1,1,4 --epochs 0.5,2 --learning-rate 1e-4");
  assert.deepEqual(found.map((r) => [r.passes, r.epochs, r.learningRate]), [
    [1, 0.5, 1e-4],
    [1, 2, 1e-4],
    [4, 2, 1e-4],
  ]);
});

Deno.test("the draft has the target's sizes and the preset's parts", () => {
  const griffin = draftConfigOf(parse("--inner 32"), TARGET);
  assert.deepEqual([griffin.width, griffin.inner, griffin.fusion, griffin.head], [
    32,
    32,
    "tgf",
    "dual",
  ]);
  assert.equal(griffin.taps, undefined);
  const eagle3 = draftConfigOf(parse("--preset eagle3"), TARGET);
  assert.deepEqual([eagle3.fusion, eagle3.taps, eagle3.draftVocabulary], ["taps", [2, 4, 5], 12]);
  const own = draftConfigOf(parse("--preset eagle3 --taps 0,7 --draft-vocabulary 5"), TARGET);
  assert.deepEqual([own.taps, own.draftVocabulary], [[0, 7], 5]);
});

Deno.test("what makes no sense is named with what was wanted", () => {
  for (
    const [line, message] of [
      ["--passes 1,x", /--passes is 1,x, wanted whole numbers/],
      ["--epochs 1,,2", /--epochs is 1,,2, wanted positive numbers/],
      ["--learning-rate 0", /--learning-rate is 0/],
      ["--weights heavy", /--weights is heavy, wanted code, paper, hass, tokens/],
      ["--weights 1,2", /--weights is 1,2/],
      ["--noise loud", /--noise is loud, wanted a number from 0 or length-scaled/],
    ] as const
  ) assert.throws(() => recipes(line), message);
  assert.throws(() => parse("--preset eagle4"), /--preset is eagle4, wanted one of griffin/);
  assert.throws(() => parse("--bptt yes"), /--bptt is yes, wanted one of on, off/);
});
