/** The value: recipes of an arm, equal tokens, what one pass does not use, and what is refused. */
import assert from "node:assert/strict";
import {
  type Arm,
  checkExperiment,
  draftConfigOf,
  type Experiment,
  recipesOf,
} from "../../lib/experiment/experiment.ts";
import { LOSS_WEIGHTS } from "../../lib/train/recipe.ts";
import { TINY } from "../model/tiny.ts";
import { EXPERIMENT } from "./tiny_experiment.ts";

const { settings } = EXPERIMENT;
const recipes = (arm: Partial<Arm>) => recipesOf({ name: "arm", ...arm }, { settings, seed: 7 });

Deno.test("an arm's steps divide the epochs; rates, passes, seed and changes arrive", () => {
  const found = recipes({ passes: [1, 2, 3, 4], recipe: { alignK: 5 } });
  assert.deepEqual(found.map((r) => r.epochs), [0.5, 0.5, 0.5, 0.5]);
  assert.deepEqual(found.map((r) => r.passes), [1, 2, 3, 4]);
  assert.deepEqual(found.map((r) => r.learningRate), [1e-3, 6e-4, 6e-4, 6e-4]);
  assert.deepEqual(found.map((r) => r.alignK), [3, 5, 5, 5]);
  assert.ok(found.every((r) => r.seed === 7 && r.rows === 128));
});

Deno.test("griffin is the preset where none is named; others bring their own steps and weights", () => {
  assert.deepEqual(recipes({}).map((r) => r.passes), [1, 2, 3]);
  const [hass, ...more] = recipes({ preset: "hass" });
  assert.equal(more.length, 0);
  assert.deepEqual(hass.weights, LOSS_WEIGHTS.hass);
  assert.equal(hass.mask, "none");
});

Deno.test("arms that differ in later passes alone have the same first step; attention differs at once", () => {
  const [base] = recipes({});
  const later: Arm["recipe"][] = [
    { mask: "upstream" },
    { mask: "none" },
    { alignK: 9 },
    { weights: { ...LOSS_WEIGHTS.code, topK: 2 } },
    { feedback: "predict" },
    { bptt: true },
  ];
  for (const recipe of later) {
    const [first, second] = recipes({ recipe });
    assert.deepEqual(first, base);
    assert.notDeepEqual(second, recipes({})[1]);
  }
  const atOnce: Arm["recipe"][] = [{ attention: "upstream" }, { weights: LOSS_WEIGHTS.paper }];
  for (const recipe of atOnce) assert.notDeepEqual(recipes({ recipe })[0], base);
});

Deno.test("the draft has the target's sizes and the preset's parts, unless the arm changes them", () => {
  const target = { config: { ...TINY, layers: 6 }, identity: "tiny-1" };
  const of = (arm: Partial<Arm>) => draftConfigOf({ name: "arm", ...arm }, target, { inner: 16 });
  const { fusion, head, inner, width, target: owner } = of({});
  assert.deepEqual({ fusion, head, inner, width, owner }, {
    fusion: "tgf",
    head: "dual",
    inner: 16,
    width: TINY.width,
    owner: "tiny-1",
  });
  const bare = of({ draft: { fusion: "linear", head: "single", inner: 8 } });
  assert.deepEqual([bare.fusion, bare.head, bare.inner], ["linear", "single", 8]);
  const { taps, draftVocabulary } = of({ preset: "eagle3" });
  assert.deepEqual([taps, draftVocabulary], [[2, 3, 3], TINY.vocabulary / 2]);
});

Deno.test("an experiment that contradicts itself is refused, naming what is wrong", () => {
  checkExperiment(EXPERIMENT);
  const [base, ...others] = EXPERIMENT.arms;
  const wrong: [Partial<Experiment>, RegExp][] = [
    [{ base: "other" }, /tiny: its base is other, wanted one of base, no mask, one step, narrow/],
    [{ arms: [base, base] }, /two arms named base/],
    [{ seeds: [] }, /its seeds are none/],
    [{ seeds: [1, 1] }, /its seeds are 1, 1, wanted different whole numbers/],
    [{ seeds: [0.5] }, /its seeds are 0.5/],
    [{ arms: [{ ...base, paper: "N=9" }, ...others] }, /arm base names "N=9"/],
    [{ arms: [{ ...base, recipe: { clip: -1 } }] }, /Cannot train with clip -1/],
  ];
  for (const [changes, message] of wrong) {
    assert.throws(() => checkExperiment({ ...EXPERIMENT, ...changes }), message);
  }
});

Deno.test("a draft takes over its target's scaled angles", () => {
  const ropeScaling = { type: "linear", factor: 4 } as const;
  const target = { config: { ...TINY, ropeScaling }, identity: "t" };
  assert.deepEqual(draftConfigOf({ name: "arm" }, target, settings).ropeScaling, ropeScaling);
});
