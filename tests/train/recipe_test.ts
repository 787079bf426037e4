/** The recipe's checks and the learning rate over a run. */
import assert from "node:assert/strict";
import {
  checkRecipe,
  DEFAULT_RECIPE,
  learningRateAt,
  LOSS_WEIGHTS,
  type Recipe,
} from "../../lib/train/recipe.ts";
import { tinyDraftConfig } from "../model/tiny.ts";

Deno.test("presets hold the published weights", () => {
  assert.deepEqual(LOSS_WEIGHTS.code, { feature: 1, token: 0.1, topK: 0.5 });
  assert.deepEqual([LOSS_WEIGHTS.paper.feature, LOSS_WEIGHTS.paper.token], [0.1, 1]);
  checkRecipe(DEFAULT_RECIPE);
});

const REFUSED: [changes: Partial<Recipe>, message: RegExp][] = [
  [{ passes: 0 }, /passes 0: wanted a whole number from 1/],
  [{ passes: 1.5 }, /passes 1.5/],
  [{ alignK: -1 }, /alignK -1/],
  [{ epochs: 0 }, /epochs 0/],
  [{ rows: NaN }, /rows NaN/],
  [{ maxLength: 0 }, /maxLength 0/],
  [{ learningRate: 0 }, /learningRate 0: wanted more than 0/],
  [{ learningRate: NaN }, /learningRate NaN/],
  [{ weights: { feature: 1, token: 0, topK: 0 } }, /token weight 0: wanted more than 0/],
  [{ weights: { feature: -1, token: 1, topK: 0 } }, /feature weight -1: wanted 0 or more/],
  [{ weights: { feature: 0, token: 1, topK: NaN } }, /top-K weight NaN: wanted 0 or more/],
  [{ weights: { feature: 0, token: Infinity, topK: 0 } }, /token weight Infinity: .* finite/],
  [{ topTokens: 0 }, /topTokens 0: wanted a whole number from 1/],
  [{ accumulate: 0 }, /accumulate 0: wanted a whole number from 1/],
  [{ passDecay: 0 }, /passDecay 0: wanted more than 0/],
  [{ epsilon: -1 }, /epsilon -1: wanted more than 0/],
  [{ epochs: Infinity }, /epochs Infinity: wanted more than 0 and finite/],
  [{ warmup: -1 }, /warmup -1: wanted 0 or more/],
  [{ weightDecay: NaN }, /weightDecay NaN: wanted 0 or more/],
  [{ clip: -0.1 }, /clip -0.1: wanted 0 or more/],
  [{ clipNorm: Infinity }, /clipNorm Infinity: wanted 0 or more and finite/],
  [{ beta1: 1 }, /beta1 1: wanted at least 0 and less than 1/],
  [{ beta2: -0.1 }, /beta2 -0.1: wanted at least 0 and less than 1/],
  [{ average: 1 }, /average 1: wanted at least 0 and less than 1/],
  [{ noise: -0.1 }, /noise -0.1: wanted 0 or more and finite, or "length-scaled"/],
  [{ noise: Infinity }, /noise Infinity/],
  [{ passes: 4, maxLength: 5 }, /4 passes on 5 tokens: wanted a longer maxLength/],
];

/** A recipe that EAGLE-3's draft can be trained with, and two settings that contradict each other. */
const TAPS = { mask: "none", weights: LOSS_WEIGHTS.tokens } as const;
const CONTRADICTIONS: [changes: Partial<Recipe>, taps: boolean, reason: RegExp][] = [
  [
    { packing: true, attention: "upstream" },
    false,
    /packing with attention "upstream": it gives weight to all rows that share a batch row/,
  ],
  [
    { packing: true, mask: "upstream" },
    false,
    /packing with mask "upstream": it rolls from the end of a batch row to its start/,
  ],
  [
    { ...TAPS, feedback: "predict" },
    true,
    /feedback "predict" with fusion "taps": its predict has been normalised for the LM head/,
  ],
  [
    { ...TAPS, attention: "upstream" },
    true,
    /attention "upstream" with fusion "taps": EAGLE-3 never was trained so/,
  ],
  [{ ...TAPS, mask: "paper" }, true, /mask "paper" with fusion "taps": its passes start at every/],
  [{ ...TAPS, mask: "upstream" }, true, /mask "upstream" with fusion "taps"/],
  [
    { ...TAPS, weights: LOSS_WEIGHTS.code },
    true,
    /feature or top-K weights with fusion "taps": it has a token loss only/,
  ],
  [
    { ...TAPS, weights: { feature: 0, token: 1, topK: 0.5 } },
    true,
    /feature or top-K weights with fusion "taps"/,
  ],
];

Deno.test("settings that cannot be trained with are refused by name", () => {
  for (const [changes, message] of REFUSED) {
    assert.throws(() => checkRecipe({ ...DEFAULT_RECIPE, ...changes }), message);
  }
  checkRecipe({ ...DEFAULT_RECIPE, passes: 4, maxLength: 6 });
});

Deno.test("the learning rate rises in line, then falls in line to 0 at the end", () => {
  const recipe = { ...DEFAULT_RECIPE, learningRate: 2, warmup: 10 };
  const at = (step: number) => learningRateAt(step, { recipe, total: 30 });
  assert.deepEqual([1, 5, 10, 20, 25, 30].map(at), [0.2, 1, 2, 1, 0.5, 0]);
  for (let step = 1; step < 10; step++) assert.ok(at(step) < at(step + 1));
  for (let step = 10; step < 30; step++) assert.ok(at(step) > at(step + 1));
});

Deno.test("runs shorter than the warm-up only rise, and without one start at the top", () => {
  const recipe = { ...DEFAULT_RECIPE, learningRate: 1, warmup: 50 };
  assert.equal(learningRateAt(20, { recipe, total: 20 }), 0.4);
  const sudden = { ...recipe, warmup: 0 };
  assert.equal(learningRateAt(1, { recipe: sudden, total: 4 }), 0.75);
});

Deno.test("settings that contradict each other are refused with the reason", () => {
  const taps = tinyDraftConfig(undefined, {
    fusion: "taps",
    head: "single",
    taps: [0, 1],
    draftVocabulary: 12,
  });
  for (const [changes, wanted, reason] of CONTRADICTIONS) {
    const recipe = { ...DEFAULT_RECIPE, ...changes };
    assert.throws(() => checkRecipe(recipe, wanted ? taps : undefined), reason);
    // Each of the two is fine without the other: for another draft, or without packing.
    checkRecipe({ ...recipe, packing: false }, tinyDraftConfig());
  }
  checkRecipe({ ...DEFAULT_RECIPE, ...TAPS, packing: true }, taps);
  checkRecipe({ ...DEFAULT_RECIPE, packing: true }, tinyDraftConfig());
});

Deno.test("cosine falls slowly at both ends and meets the line half way; constant does not fall", () => {
  const recipe = { ...DEFAULT_RECIPE, learningRate: 2, warmup: 10 };
  const at = (schedule: Recipe["schedule"], step: number) =>
    learningRateAt(step, { recipe: { ...recipe, schedule }, total: 30 });
  for (const schedule of ["linear", "cosine", "constant"] as const) {
    assert.deepEqual([1, 5, 10].map((step) => at(schedule, step)), [0.2, 1, 2]);
  }
  const close = (found: number, wanted: number) =>
    assert.ok(Math.abs(found - wanted) < 1e-12, `${found}, wanted ${wanted}`);
  close(at("cosine", 20), 1);
  close(at("cosine", 15), 1 + Math.SQRT1_2);
  close(at("cosine", 25), 1 - Math.SQRT1_2);
  close(at("cosine", 30), 0);
  for (let step = 10; step < 30; step++) assert.ok(at("cosine", step) > at("cosine", step + 1));
  for (const step of [11, 20, 30]) assert.equal(at("constant", step), 2);
  // Without warm-up, and with one as long as the run.
  const quick = { ...recipe, warmup: 0, schedule: "constant" } as const;
  assert.equal(learningRateAt(1, { recipe: quick, total: 30 }), 2);
  const long = { ...recipe, warmup: 30, schedule: "cosine" } as const;
  assert.equal(learningRateAt(30, { recipe: long, total: 30 }), 2);
});
