/**
 * The switches of the passes, each by what it must change and what it must leave alone, and several examples in
 * one row. In float64. The passes themselves: `step_test.ts` and the golden sets.
 */
import assert from "node:assert/strict";
import { gradients } from "../../lib/graph/gradients.ts";
import type { Node } from "../../lib/graph/node.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import { draftShapes, featureWidth } from "../../lib/model/draft.ts";
import { DRAFT_TOKENS } from "../../lib/model/eagle3.ts";
import { batchInputs, type BatchShape, readMetrics } from "../../lib/train/passes.ts";
import { PRESETS } from "../../lib/train/presets.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { inputParts, passesOf, targetHead, totalLoss } from "../../lib/train/step.ts";
import { evaluator, integers, values } from "../graph/evaluate.ts";
import { tinyDraft, tinyDraftConfig } from "../model/tiny.ts";
import { assertClose } from "../tolerance.ts";

const SIZES = { width: 8, inner: 12, heads: 2, kvHeads: 1, headSize: 4, vocabulary: 20 };
const GRIFFIN = tinyDraftConfig(undefined, SIZES);
const EAGLE3 = tinyDraftConfig(undefined, {
  ...SIZES,
  fusion: "taps",
  head: "single",
  taps: [0, 1],
  draftVocabulary: 12,
});
const RECIPE: Recipe = { ...DEFAULT_RECIPE, passes: 3, alignK: 12 };
const EAGLE3_RECIPE: Recipe = { ...DEFAULT_RECIPE, ...PRESETS.eagle3.recipe, passes: 3 };

type Given = Record<string, Float64Array | Int32Array>;

function parameters(config: DraftConfig): Given {
  const draft = tinyDraft(config), { vocabulary, width } = config;
  return {
    ...Object.fromEntries(
      Object.entries(draft.parameters).map(([n, x]) => [n, Float64Array.from(x)]),
    ),
    "embed_tokens.weight": values([vocabulary, width], "embedding"),
    [targetHead(config)]: values([vocabulary, width], "head"),
    ...(draft.tokens !== undefined && { [DRAFT_TOKENS]: draft.tokens }),
  };
}

/** Random rows of one example; the first and the last are not trained. */
function example(name: string, length: number, config: DraftConfig): Given {
  const features = values([length, config.width], `${name} features`);
  const read = values([length, featureWidth(config)], `${name} read`);
  return {
    ids: integers([length], `${name} ids`, { below: config.vocabulary }),
    mask: Float64Array.from({ length }, (_, t) => t < 1 || t === length - 1 ? 0 : 1),
    features,
    noisy: config.taps === undefined ? features.map((x, i) => x + 0.01 * read[i]) : read,
    place: Float64Array.from({ length }, (_, t) => t),
  };
}

function joined(examples: Given[]): Given {
  return Object.fromEntries(
    Object.keys(examples[0]).map((key) => {
      const all = examples.flatMap((e) => Array.from(e[key]));
      return [key, key === "ids" ? Int32Array.from(all) : Float64Array.from(all)];
    }),
  );
}

/** Values of the passes and gradients of their total. */
async function run(
  config: DraftConfig,
  { recipe, shape, given }: { recipe: Recipe; shape: BatchShape; given: Given },
): Promise<Record<string, Float64Array>> {
  const parts = inputParts(config), names = Object.keys(draftShapes(config));
  const inputs = batchInputs(shape, { config, packing: recipe.packing });
  const passes = passesOf(parts, inputs, recipe), total = totalLoss(passes, recipe);
  const outputs: Record<string, Node> = { total };
  passes.forEach((pass, i) => {
    const { predict, regress, mask, loss, metrics } = pass;
    Object.entries({ predict, regress, mask, loss, metrics })
      .forEach(([name, node]) => outputs[`${i}.${name}`] = node);
  });
  gradients(total, names.map(parts.weight)).forEach((g, i) => outputs[`grad.${names[i]}`] = g);
  return await (await evaluator(outputs))({ ...parameters(config), ...given });
}

const SHAPE = { batch: 1, length: 9 };
const alone = (changes: Partial<Recipe>, config = GRIFFIN) =>
  run(config, {
    recipe: { ...(config === GRIFFIN ? RECIPE : EAGLE3_RECIPE), ...changes },
    shape: SHAPE,
    given: example("a", SHAPE.length, config),
  });

const same = (a: Float64Array, b: Float64Array) => a.every((x, i) => Math.abs(x - b[i]) < 1e-12);

Deno.test("feedback: the second pass reads what was asked for, the first does not change", async () => {
  const regress = await alone({ feedback: "regress" }),
    predict = await alone({ feedback: "predict" });
  assert.ok(same(regress["0.predict"], predict["0.predict"]));
  assert.ok(!same(regress["1.predict"], predict["1.predict"]));
});

Deno.test("label: whose token counts changes hits, not predictions", async () => {
  const dataset = await alone({ alignK: 6 }), target = await alone({ alignK: 6, label: "target" });
  assert.ok(same(dataset["0.loss"], target["0.loss"]));
  assert.ok(same(dataset["2.predict"], target["2.predict"]), "predictions do not depend on masks");
  const [own, other] = [dataset, target].map((r) => readMetrics(r["0.metrics"])[0]);
  assert.notEqual(own.misaligned, other.misaligned);
  assert.equal(own.top3, other.top3, "accuracy is always that of the text's token");
});

Deno.test("backward and decay weigh the passes' losses", async () => {
  const sum = await alone({}), losses = [0, 1, 2].map((i) => sum[`${i}.loss`][0]);
  const close = (found: Float64Array, wanted: number) =>
    assert.ok(Math.abs(found[0] - wanted) < 1e-12);
  close(sum.total, losses[0] + losses[1] + losses[2]);
  close((await alone({ backward: "mean" })).total, (losses[0] + losses[1] + losses[2]) / 3);
  close((await alone({ passDecay: 0.5 })).total, losses[0] + losses[1] / 2 + losses[2] / 4);
});

Deno.test("weights: each loss counts what it was given", async () => {
  const of = async (feature: number, token: number, topK: number) =>
    (await alone({ passes: 2, weights: { feature, token, topK } }))["0.loss"][0];
  const [f, t, both, top] = [
    await of(1, 1, 0),
    await of(0, 1, 0),
    await of(2, 3, 0),
    await of(0, 1, 1),
  ];
  assert.ok(Math.abs(both - (2 * (f - t) + 3 * t)) < 1e-12);
  const more = await alone({
    passes: 2,
    weights: { feature: 0, token: 1, topK: 1 },
    topTokens: 15,
  });
  assert.ok(top > t && more["0.loss"][0] > top, "more tokens, more loss");
});

Deno.test("bptt: the gradient is the slope of the whole loss; without it passes are cut", async () => {
  const config = GRIFFIN, name = "layers.0.mlp.down_proj.weight", h = 1e-5;
  const recipe = { ...RECIPE, bptt: true, mask: "none" as const };
  const given = { ...parameters(config), ...example("a", SHAPE.length, config) };
  const at = (given: Given) => run(config, { recipe, shape: SHAPE, given });
  const exact = await at(given), cut = await alone({ mask: "none" });
  assert.ok(same(exact.total, cut.total), "losses do not depend on it");
  assert.ok(!same(exact[`grad.${name}`], cut[`grad.${name}`]));
  for (const index of [3, 100, 190]) {
    const moved = async (by: number) => {
      const weight = (given[name] as Float64Array).slice();
      weight[index] += by;
      return (await at({ ...given, [name]: weight })).total[0];
    };
    const slope = (await moved(h) - await moved(-h)) / (2 * h);
    assert.ok(Math.abs(slope - exact[`grad.${name}`][index]) < 1e-7, `${index}: ${slope}`);
  }
});

const LENGTHS = [5, 7, 4];
for (
  const [name, config, recipe] of [
    ["GRIFFIN, three passes under the paper's mask", GRIFFIN, RECIPE],
    ["GRIFFIN without a mask", GRIFFIN, { ...RECIPE, mask: "none" as const }],
    ["EAGLE-3", EAGLE3, EAGLE3_RECIPE],
  ] as const
) {
  Deno.test(`examples that share a row see themselves alone: ${name}`, async () => {
    const examples = LENGTHS.map((length, i) => example(`e${i}`, length, config));
    const total = LENGTHS.reduce((a, b) => a + b);
    const packed = await run(config, {
      recipe: { ...recipe, packing: true },
      shape: { batch: 1, length: total },
      given: joined(examples),
    });
    const sums: Record<string, number> = {}, rows: Record<string, number> = {};
    let start = 0;
    for (const [i, length] of LENGTHS.entries()) {
      const shape = { batch: 1, length };
      const own = await run(config, { recipe, shape, given: examples[i] });
      for (let pass = 0; pass < 3; pass++) {
        const mask = own[`${pass}.mask`], count = mask.reduce((a, b) => a + b);
        const found = packed[`${pass}.mask`].slice(start, start + length);
        assert.deepEqual([...found], [...mask], `mask of pass ${pass + 1}`);
        const d = config.width, predict = packed[`${pass}.predict`];
        for (let t = 0; t < length; t++) {
          if (mask[t] === 0) continue;
          assertClose(
            predict.slice((start + t) * d, (start + t + 1) * d),
            own[`${pass}.predict`].slice(t * d, (t + 1) * d),
            { what: `pass ${pass + 1}, row ${t}`, shape: [d], a: 1e-7 }, // rotary tables hold f32, and positions differ
          );
        }
        sums[pass] = (sums[pass] ?? 0) + own[`${pass}.loss`][0] * (count + 1e-5);
        rows[pass] = (rows[pass] ?? 0) + count;
      }
      start += length;
    }
    for (let pass = 0; pass < 3; pass++) {
      const mean = sums[pass] / (rows[pass] + 1e-5), found = packed[`${pass}.loss`][0];
      assert.ok(rows[pass] > 0, "nothing is trained");
      assert.ok(Math.abs(found - mean) < 1e-7, `pass ${pass + 1}: ${found}, wanted ${mean}`);
    }
  });
}
