/**
 * The switches of GRIFFIN's passes, each by what it promises: what is fed back, gradients through the passes,
 * labels, top tokens, weights; and examples that share a row against the same ones alone. In float64. Three
 * passes against separate ones: `step_test.ts`; EAGLE-3's: `eagle3_passes_test.ts`.
 */
import assert from "node:assert/strict";
import { gradients } from "../../lib/graph/gradients.ts";
import type { Node } from "../../lib/graph/node.ts";
import { add, mul, sum } from "../../lib/graph/ops.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import { draftShapes } from "../../lib/model/draft.ts";
import { linear } from "../../lib/model/llama.ts";
import { batchInputs, type BatchShape, readMetrics } from "../../lib/train/passes.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { inputParts, passesOf, totalLoss } from "../../lib/train/step.ts";
import { evaluator } from "../graph/evaluate.ts";
import { logSoftmax, times } from "../model/naive.ts";
import { assertClose } from "../tolerance.ts";
import {
  EAGLE3,
  type Given,
  GRIFFIN,
  pack,
  slopesOf,
  someExample,
  someWeights,
} from "./pass_inputs.ts";

const T = 9, SHAPE: BatchShape = { batch: 2, length: T }, N = 2 * T;
const RECIPE: Recipe = {
  ...DEFAULT_RECIPE,
  passes: 3,
  alignK: 12,
  weights: { feature: 1, token: 0.3, topK: 0.5 },
};
const DOWN = "layers.0.mlp.down_proj.weight", KEYS = "layers.0.self_attn.k_proj.weight";

const GIVEN: Given = {
  ...someWeights(GRIFFIN),
  ...pack([[someExample(GRIFFIN, T, "a")], [someExample(GRIFFIN, T, "b")]], {
    config: GRIFFIN,
    length: T,
  }),
};

function build(changes: Partial<Recipe> = {}, { shape = SHAPE, config = GRIFFIN } = {}) {
  const recipe = { ...RECIPE, ...changes }, parts = inputParts(config);
  const inputs = batchInputs(shape, { config, packing: recipe.packing });
  return { recipe, parts, passes: passesOf(parts, inputs, recipe) };
}

const isZero = (g: Node) => g.op === "fill" && (g as Node<"fill">).attrs.value === 0;
const evaluate = async (nodes: Record<string, Node>, given = GIVEN) =>
  await (await evaluator(nodes))(given);

function close(what: string, found: ArrayLike<number>, wanted: ArrayLike<number>, a = 1e-11): void {
  assertClose(found, wanted, { what, shape: [wanted.length], a, eps: a });
}

Deno.test("the next pass reads predict or regress, as chosen", async () => {
  for (const feedback of ["predict", "regress"] as const) {
    const { passes: [first, second] } = build({ feedback, bptt: true });
    const [predict, regress] = gradients(second.loss, [first.predict, first.regress]);
    assert.deepEqual([isZero(predict), isZero(regress)], [
      feedback === "regress",
      feedback === "predict",
    ]);
  }
  // Predict fed back is regress fed back of a draft whose two outputs are exchanged.
  const down = GIVEN[DOWN] as Float64Array, half = down.length / 2;
  const exchanged = Float64Array.of(...down.slice(half), ...down.slice(0, half));
  const outputs = (feedback: Recipe["feedback"]) => {
    const { predict, regress } = build({ feedback, mask: "none" }).passes[2];
    return { predict, regress };
  };
  const one = await evaluate(outputs("predict"));
  const other = await evaluate(outputs("regress"), { ...GIVEN, [DOWN]: exchanged });
  const plain = await evaluate(outputs("regress"));
  assert.deepEqual([one.predict, one.regress], [other.regress, other.predict]);
  assert.notDeepEqual(one.predict, plain.predict);
});

Deno.test("with bptt gradients flow from pass to pass, and losses stay", async () => {
  const nodes = (bptt: boolean) => {
    const { passes, parts } = build({ bptt }), [first, second, third] = passes;
    const back = [second, third].map((p) => gradients(p.loss, [first.regress])[0]);
    assert.deepEqual(back.map(isZero), [!bptt, !bptt]);
    const loss = passes.map((p) => p.loss).reduce((a, b) => add(a, b));
    return { loss, back: back[0], keys: gradients(loss, [parts.weight(KEYS)])[0] };
  };
  const through = await evaluate(nodes(true)), stopped = await evaluate(nodes(false));
  assert.deepEqual(through.loss, stopped.loss);
  assert.ok(through.back.some((x) => Math.abs(x) > 1e-4), "the gradient is nowhere");
  assert.ok(through.keys.some((x, i) => Math.abs(x - stopped.keys[i]) > 1e-5));
});

for (const bptt of [true, false]) {
  Deno.test(`the gradient ${bptt ? "with" : "without"} bptt and slopes of the total`, async () => {
    const { passes, parts } = build({ bptt, mask: "none" }), names = [KEYS, DOWN, "fc.fc.weight"];
    const loss = passes.map((p) => p.loss).reduce((a, b) => add(a, b));
    const slopes = gradients(loss, names.map((n) => parts.weight(n)));
    const exact = await evaluate(Object.fromEntries(names.map((n, i) => [n, slopes[i]])));
    const shapes = Object.fromEntries(names.map((n) => [n, parts.weight(n).shape]));
    const found = await slopesOf(await evaluator({ loss }), GIVEN, { places: [0, 17], shapes });
    const apart = found.map(({ name, index, slope }) => Math.abs(slope - exact[name][index]));
    // Stopped gradients are not those of the total: they take what is fed back as it is.
    if (bptt) assert.ok(Math.max(...apart) < 1e-8, `${apart}`);
    else assert.ok(Math.max(...apart) > 1e-4, `${apart}`);
  });
}

/** 1 where fewer than k logits are larger than that of the row's label. */
const hit = (logits: ArrayLike<number>, label: number, k: number) =>
  Array.from(logits).filter((x) => x > logits[label]).length < k ? 1 : 0;
const row = (x: Float64Array, i: number) => x.subarray(i * x.length / N, (i + 1) * x.length / N);

/** The target's logits for what comes after each row; zeros follow the last feature. */
const TARGET = Array.from({ length: N }, (_, i) => {
  const next = i % T + 1 < T ? row(GIVEN.features as Float64Array, i + 1) : new Float64Array(8);
  return times(GIVEN["lm_head.weight"], next);
});

Deno.test("the alignment mask looks for the text's token, or for the target's", async () => {
  const masks: Record<string, number[]> = {};
  for (const label of ["dataset", "target"] as const) {
    const { passes: [first, second], parts } = build({ label, alignK: 6 });
    const { mask, logits, metrics } = await evaluate({
      mask: second.mask,
      logits: linear(first.predict, parts.head),
      metrics: first.metrics,
    });
    const labels = TARGET.map((goal, i) =>
      label === "target" ? goal.indexOf(Math.max(...goal)) : i % T + 1 < T ? GIVEN.ids[i + 1] : 0
    );
    const hits = labels.map((l, i) => hit(row(logits, i), l, 6));
    const wanted = Array.from(GIVEN.mask, (m, i) => m * (i % T === 0 ? 1 : hits[i - 1]));
    assert.deepEqual([...mask], masks[label] = wanted);
    const missed = Array.from(GIVEN.mask, (m, i) => m * (1 - hits[i])).reduce((a, b) => a + b);
    const trained = Array.from(GIVEN.mask).reduce((a, b) => a + b);
    close("misaligned", [readMetrics(metrics)[0].misaligned], [missed / (trained + 1e-5)]);
  }
  assert.notDeepEqual(masks.dataset, masks.target);
  assert.ok(Object.values(masks).every((m) => m.includes(1)));
});

/** Losses of one pass from its logits and mask, tokens summed one by one. */
function naiveLosses(logits: Float64Array, mask: Float64Array, topTokens: number) {
  let token = 0, topK = 0;
  const count = mask.reduce((a, b) => a + b) + 1e-5;
  TARGET.forEach((goal, i) => {
    const p = logSoftmax(goal).map(Math.exp), q = logSoftmax([...row(logits, i)]);
    const best = [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, topTokens);
    token -= mask[i] * p.reduce((s, x, v) => s + x * q[v], 0);
    topK -= mask[i] * best.reduce((s, v) => s + p[v] * q[v], 0);
  });
  return { token: token / count, topK: topK / count };
}

Deno.test("token and top-K losses, their weights, and how passes are added", async () => {
  const choices: Partial<Recipe>[] = [
    {},
    { topTokens: 1 },
    { topTokens: 3, weights: { feature: 0, token: 2, topK: 0.25 } },
    { topTokens: 100, weights: { feature: 3, token: 0.7, topK: 1 } },
    { weights: { feature: 0.5, token: 1, topK: 0 } },
    { passes: 1 },
  ];
  for (const change of choices) {
    const { passes, parts, recipe } = build(change), what = JSON.stringify(change);
    const { feature, token, topK } = recipe.weights;
    const totals = {
      sum: totalLoss(passes, { backward: "sum", passDecay: 1 }),
      mean: totalLoss(passes, { backward: "mean", passDecay: 1 }),
      decayed: totalLoss(passes, { backward: "sum", passDecay: 0.8 }),
    };
    const nodes = passes.flatMap((p, i) =>
      Object.entries({ ...p, logits: linear(p.predict, parts.head) }).map(([n, x]) => [i + n, x])
    );
    const found = await evaluate({ ...totals, ...Object.fromEntries(nodes) });
    let decayed = 0, all = 0;
    passes.forEach((_, i) => {
      const wanted = naiveLosses(found[`${i}logits`], found[`${i}mask`], recipe.topTokens);
      close(`${what}: token`, found[`${i}tokenLoss`], [wanted.token]);
      close(`${what}: top K`, found[`${i}topKLoss`], [wanted.topK]);
      const loss = feature * found[`${i}featureLoss`][0] + token * wanted.token +
        (passes.length > 1 ? topK * wanted.topK : 0);
      close(`${what}: loss`, found[`${i}loss`], [loss]);
      all += loss;
      decayed += 0.8 ** i * loss;
    });
    close(`${what}: sum`, found.sum, [all]);
    close(`${what}: mean`, found.mean, [all / passes.length]);
    close(`${what}: decayed`, found.decayed, [decayed]);
  }
});

/** Lengths of the examples in each row of a packed batch; one is shorter than the passes. */
const PACKED = [[7, 9], [5, 6, 3]], LENGTH = 17;

const METHODS: [name: string, config: DraftConfig, changes: Partial<Recipe>][] = [
  ["GRIFFIN", GRIFFIN, { mask: "paper", alignK: 15 }],
  ["HASS", { ...GRIFFIN, fusion: "linear", head: "single" }, { mask: "none", feedback: "predict" }],
  ["EAGLE-3", EAGLE3, {
    mask: "none",
    bptt: true,
    weights: { feature: 0, token: 1, topK: 0 },
  }],
];

for (const [name, config, changes] of METHODS) {
  Deno.test(`examples that share a row train as they do alone: ${name}`, async () => {
    const weights = someWeights(config), names = Object.keys(draftShapes(config));
    const examples = PACKED.map((row, b) =>
      row.map((n, i) => someExample(config, n, `${name} ${b} ${i}`))
    );
    /** Losses summed over rows instead of averaged, and the gradient of their sum. */
    const summed = async (given: Given, shape: BatchShape, packing: boolean) => {
      const { passes, parts } = build({ ...changes, packing }, { shape, config });
      const sums = passes.map((p) => mul(p.loss, add(sum(p.mask), 1e-5)));
      const slopes = gradients(sums.reduce((a, b) => add(a, b)), names.map((n) => parts.weight(n)));
      const found = await evaluate({
        ...Object.fromEntries(sums.map((x, i) => [`loss ${i + 1}`, x])),
        ...Object.fromEntries(passes.map((p, i) => [`rows ${i + 1}`, sum(p.mask)])),
        ...Object.fromEntries(slopes.map((g, i) => [names[i], g])),
      }, { ...weights, ...given });
      return found;
    };
    const together = await summed(
      pack(examples, { config, length: LENGTH }),
      { batch: 2, length: LENGTH },
      true,
    );
    const wanted: Record<string, Float64Array> = {};
    for (const example of examples.flat()) {
      const alone = await summed(example, { batch: 1, length: example.ids.length }, false);
      for (const [key, x] of Object.entries(alone)) {
        wanted[key] = x.map((value, i) => value + (wanted[key]?.[i] ?? 0));
      }
    }
    // Rotary tables are rounded to f32, and the examples stand at other positions.
    for (const [key, x] of Object.entries(wanted)) close(`${name}: ${key}`, together[key], x, 2e-6);
    const kept = [1, 2, 3].map((i) => wanted[`rows ${i}`][0]);
    assert.ok(kept[2] > 3 && (name === "HASS" || kept[0] > kept[2]), `rows kept: ${kept}`);
    // It matters: without their places the examples see each other.
    const mixed = await summed(
      pack(examples, { config, length: LENGTH }),
      { batch: 2, length: LENGTH },
      false,
    );
    assert.ok(Math.abs(mixed["loss 1"][0] - together["loss 1"][0]) > 1e-3);
  });
}
