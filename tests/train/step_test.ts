/**
 * The training step: one Program over all passes against passes built one at a time from values, gradients
 * against differences, what masked rows may change, and the update. In float64.
 */
import assert from "node:assert/strict";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { crossEntropy, smoothL1, softmax } from "../../lib/graph/composites.ts";
import { gradients } from "../../lib/graph/gradients.ts";
import { type Node, type Shape, sizeOf } from "../../lib/graph/node.ts";
import { add, detach, div, gather, input, mul, reduce, reshape, sum } from "../../lib/graph/ops.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import {
  closeAttention,
  draftShapes,
  fuse,
  projectAttention,
  splitHead,
} from "../../lib/model/draft.ts";
import { linear } from "../../lib/model/llama.ts";
import { alignedAttention, makeStream, shiftUp } from "../../lib/train/align.ts";
import { freshOptimizer } from "../../lib/train/checkpoint.ts";
import { batchInputs, buildPasses, readMetrics } from "../../lib/train/passes.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { inputParts, MOMENTS, trainingProgram, validationProgram } from "../../lib/train/step.ts";
import { evaluator, integers, values } from "../graph/evaluate.ts";
import { times } from "../model/naive.ts";
import { tinyDraft, tinyDraftConfig } from "../model/tiny.ts";
import { assertClose } from "../tolerance.ts";

const CONFIG = tinyDraftConfig(undefined, {
  width: 8,
  inner: 12,
  heads: 2,
  kvHeads: 1,
  headSize: 4,
});
const SHAPE = { batch: 2, length: 7 }, { batch: B, length: T } = SHAPE, N = B * T;
const namesOf = (config: DraftConfig) => Object.keys(draftShapes(config));
const RECIPE: Recipe = {
  ...DEFAULT_RECIPE,
  passes: 3,
  alignK: 15,
  weights: { feature: 1, token: 0.3, topK: 0.5 },
};

type Given = Record<string, Float64Array | Int32Array>;

/** Values of all inputs of the passes; the loss mask has holes and leaves the last row out. */
function someInputs(config = CONFIG): Given {
  const wide = [B, T, CONFIG.width], features = values(wide, "features");
  const noise = values(wide, "noise");
  const parameters = Object.entries(tinyDraft(config).parameters)
    .map(([name, data]) => [name, Float64Array.from(data)]);
  return {
    ...Object.fromEntries(parameters),
    "embed_tokens.weight": values([CONFIG.vocabulary, CONFIG.width], "embedding"),
    "lm_head.weight": values([CONFIG.vocabulary, CONFIG.width], "head"),
    ids: integers([B, T], "ids", { below: CONFIG.vocabulary }),
    mask: Float64Array.from(
      { length: N },
      (_, i) => i % T < 1 || i % T === T - 1 || i === 4 ? 0 : 1,
    ),
    features,
    noisy: features.map((x, i) => x + 0.05 * noise[i]),
  };
}

function passesOf(recipe: Recipe, config = CONFIG) {
  const parts = inputParts(config);
  return {
    parts,
    passes: buildPasses(parts, batchInputs(SHAPE, { config }), { recipe, ...parts }),
  };
}

/** The last of several passes from values alone: features of every stream, and the mask of its rows. */
function lonePass(count: number, config: DraftConfig) {
  const parts = inputParts(config),
    names = namesOf(config),
    { ids, features } = batchInputs(SHAPE, { config });
  const d = CONFIG.width, batch = B;
  const e = reshape(gather(parts.embedding, ids), [N, d]);
  const fused = Array.from(
    { length: count },
    (_, s) => fuse(parts, e, input(`stream${s}`, [N, d])),
  );
  const projected = fused.map((o) => projectAttention(parts, o));
  const streams = projected.map(({ k, v }) => makeStream({ k, v }, { config, batch }));
  const context = alignedAttention(projected[count - 1].q, streams, { config, batch });
  const { predict, regress } = splitHead(parts, closeAttention(parts, fused[count - 1], context));
  const goal = reshape(shiftUp(features, 1), [N, d]), rows = input("rows", [N]);
  const p = softmax(linear(goal, parts.head)), logits = linear(predict, parts.head);
  const average = (x: Node) => div(sum(mul(x, rows)), add(sum(rows), 1e-5));
  const losses = {
    featureLoss: average(reduce("mean", smoothL1(regress, goal), { axes: [1] })),
    tokenLoss: average(crossEntropy(logits, detach(p))),
    // p among the target's top 10 tokens, as given, and 0 elsewhere: not renormalised.
    topKLoss: average(crossEntropy(logits, mul(detach(p), input("top", [N, config.vocabulary])))),
  };
  const { feature, token, topK: top } = RECIPE.weights;
  const loss = add(
    add(mul(losses.featureLoss, feature), mul(losses.tokenLoss, token)),
    mul(losses.topKLoss, top),
  );
  const slopes = gradients(loss, names.map((name) => parts.weight(name)));
  const named = Object.fromEntries(slopes.map((g, i) => [`grad.${names[i]}`, g]));
  return { predict, regress, logits, loss, ...losses, ...named };
}

/** 1 at the target's ten most likely tokens after each row, [N,V]. */
function topTen(given: Given): Float64Array {
  const { width: d, vocabulary } = CONFIG, out = new Float64Array(N * vocabulary);
  for (let i = 0; i < N; i++) {
    const goal = i % T + 1 < T
      ? given.features.slice((i + 1) * d, (i + 2) * d)
      : new Float64Array(d);
    const logits = times(given["lm_head.weight"], goal);
    const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a]);
    for (const token of order.slice(0, 10)) out[i * vocabulary + token] = 1;
  }
  return out;
}

/** Row 0 of the input kept, then regress one row later. */
function nextFeatures(noisy: ArrayLike<number>, regress: Float64Array): Float64Array {
  const d = CONFIG.width, out = new Float64Array(N * d);
  for (let i = 0; i < N * d; i++) {
    const first = Math.floor(i / d) % T === 0;
    out[i] = first ? noisy[i] : regress[i - d];
  }
  return out;
}

/** 1 where fewer than k logits are larger than the true token's, as the paper counts hits. */
function hitsOf(logits: Float64Array, ids: ArrayLike<number>, k: number): number[] {
  const v = CONFIG.vocabulary;
  return Array.from({ length: N }, (_, i) => {
    const label = i % T + 1 < T ? ids[i + 1] : 0, row = logits.subarray(i * v, (i + 1) * v);
    return row.filter((x) => x > row[label]).length < k ? 1 : 0;
  });
}

/** Eq. 3 of the paper for pass `hits.length + 1`. */
function reachable(hits: number[][]): number[] {
  return Array.from({ length: N }, (_, i) => {
    let product = 1;
    hits.toReversed().forEach((row, j) => product *= i % T > j ? row[i - j - 1] : 1);
    return product;
  });
}

for (const changes of [{}, { fusion: "linear", head: "single" }] as const) {
  const variant = "fusion" in changes ? "without fusion and split head" : "with both parts";
  Deno.test(`one program over three passes is the sum of separate ones, ${variant}`, async () => {
    const config = { ...CONFIG, ...changes }, names = namesOf(config);
    const given = someInputs(config), { parts, passes } = passesOf(RECIPE, config);
    const total = passes.map((p) => p.loss).reduce((a, b) => add(a, b));
    const together: Record<string, Node> = { total };
    gradients(total, names.map((n) => parts.weight(n)))
      .forEach((g, i) => together[`grad.${names[i]}`] = g);
    passes.forEach((pass, j) => {
      const { predict, regress, mask, featureLoss, tokenLoss, topKLoss } = pass;
      Object.entries({ predict, regress, mask, featureLoss, tokenLoss, topKLoss })
        .forEach(([name, node]) => together[`${j}.${name}`] = node);
    });
    const found = await (await evaluator(together))(given);

    const streams: Float64Array[] = [given.noisy as Float64Array], hits: number[][] = [];
    const sums: Record<string, Float64Array> = {};
    let loss = 0;
    for (let j = 0; j < 3; j++) {
      const aligned = reachable(hits), mask = given.mask.map((m, i) => m * aligned[i]);
      assert.deepEqual(Array.from(found[`${j}.mask`]), Array.from(mask), `mask of pass ${j + 1}`);
      const alone = await (await evaluator(lonePass(j + 1, config)))({
        ...given,
        rows: Float64Array.from(mask),
        top: topTen(given),
        ...Object.fromEntries(streams.map((s, i) => [`stream${i}`, s])),
      });
      for (const name of ["predict", "regress", "featureLoss", "tokenLoss", "topKLoss"]) {
        close(`pass ${j + 1}: ${name}`, found[`${j}.${name}`], alone[name]);
      }
      loss += alone.loss[0];
      for (const name of names) {
        sums[name] = alone[`grad.${name}`].map((g, i) => g + (sums[name]?.[i] ?? 0));
      }
      hits.push(hitsOf(alone.logits, given.ids, RECIPE.alignK));
      streams.push(nextFeatures(given.noisy, alone.regress));
    }
    close("summed loss", found.total, [loss]);
    for (const name of names) close(`gradient of ${name}`, found[`grad.${name}`], sums[name]);
    // A mask that is all or nothing would not show that each pass has its own.
    const kept = [0, 1, 2].map((j) => found[`${j}.mask`].reduce((a, b) => a + b));
    assert.ok(kept[0] > kept[1] && kept[1] > kept[2] && kept[2] > 0, `rows kept: ${kept}`);
  });
}

function close(what: string, found: ArrayLike<number>, wanted: ArrayLike<number>): void {
  assertClose(found, wanted, { what, shape: [wanted.length], a: 1e-10, eps: 1e-10 });
}

Deno.test("gradients stop between passes", () => {
  const { passes } = passesOf(RECIPE);
  const [first, second, third] = passes;
  for (const later of [second, third]) {
    for (const g of gradients(later.loss, [first.regress, first.predict])) {
      assert.deepEqual([g.op, (g as Node<"fill">).attrs.value], ["fill", 0]);
    }
  }
  assert.notEqual(gradients(first.loss, [first.regress])[0].op, "fill");
});

Deno.test("the gradient of one pass is the slope of its loss", async () => {
  const { parts, passes: [pass] } = passesOf({ ...RECIPE, passes: 1 });
  const names = [
    "fc.fc.weight",
    "layers.0.self_attn.k_proj.weight",
    "layers.0.mlp.down_proj.weight",
  ];
  const slopes = gradients(pass.loss, names.map((n) => parts.weight(n)));
  const run = await evaluator({
    loss: pass.loss,
    ...Object.fromEntries(names.map((n, i) => [n, slopes[i]])),
  });
  const given = someInputs(), exact = await run(given), h = 1e-5;
  for (const name of names) {
    for (const index of [0, 17, given[name].length - 1]) {
      const at = async (move: number) => {
        const moved = (given[name] as Float64Array).slice();
        moved[index] += move;
        return (await run({ ...given, [name]: moved })).loss[0];
      };
      const slope = (await at(h) - await at(-h)) / (2 * h);
      assert.ok(
        Math.abs(slope - exact[name][index]) < 1e-7,
        `${name}[${index}]: slope ${slope}, gradient ${exact[name][index]}`,
      );
    }
  }
});

Deno.test("rows that are not trained, and rows to come, change no loss", async () => {
  const { passes } = passesOf(RECIPE);
  const run = await evaluator(
    Object.fromEntries(passes.map((p, j) => [`${j}`, p.loss])),
  );
  const given = someInputs(), d = CONFIG.width;
  // From row 4 of the first sequence on, nothing is trained: row 3 needs feature 4 as its goal, no more.
  given.mask = given.mask.map((m, i) => i >= 4 && i < T ? 0 : m);
  const before = await run(given);
  const changed = { ...given };
  for (const name of ["features", "noisy"]) {
    changed[name] = (given[name] as Float64Array).map((x, i) => i >= 5 * d && i < T * d ? 9 : x);
  }
  changed.ids = (given.ids as Int32Array).map((x, i) => i >= 5 && i < T ? 1 : x);
  assert.deepEqual(await run(changed), before);
  changed.ids[2] = (changed.ids[2] + 1) % CONFIG.vocabulary;
  assert.notDeepEqual(await run(changed), before);
});

/** Inputs of a training Program on the reference backend. */
function tensors(recipe: Recipe, given: Given) {
  const backend = referenceBackend(), program = trainingProgram(CONFIG, { recipe, shape: SHAPE });
  const shapes: Record<string, Shape> = draftShapes(CONFIG);
  const moments = Object.entries(freshOptimizer(tinyDraft(CONFIG), { recipe })).map((
    [name, zeros],
  ) => [name, backend.exact(Float64Array.from(zeros), shapes[name.slice(name.indexOf(".") + 1)])]);
  const { learningRate, beta1, beta2 } = recipe;
  const all = Object.fromEntries([
    ...Object.entries(program.inputs).filter(([name]) => name in given).map(([name, node]) => {
      const data = given[name];
      return [
        name,
        data instanceof Float64Array
          ? backend.exact(data.slice(), node.shape)
          : backend.tensor(data, node.shape),
      ];
    }),
    ...moments,
    ["schedule", backend.exact(Float64Array.of(learningRate, 1 - beta1, 1 - beta2), [3])],
  ]);
  return { backend, program, all };
}

Deno.test("the update is AdamW on clipped gradients, and the loss is that before it", async () => {
  const names = namesOf(CONFIG);
  const recipe = { ...RECIPE, clip: 0.01, learningRate: 0.01 }, given = someInputs();
  const { parts, passes } = passesOf(recipe);
  const total = passes.map((p) => p.loss).reduce((a, b) => add(a, b));
  const slopes = gradients(total, names.map((n) => parts.weight(n)));
  const exact = await (await evaluator({
    total,
    ...Object.fromEntries(slopes.map((g, i) => [names[i], g])),
  }))(given);

  const { backend, program, all } = tensors(recipe, given);
  using run = await backend.compile(program);
  const out = await run.run(all);
  close("loss", out.loss.exact, exact.total);
  let square = 0, clipped = 0;
  for (const name of names) {
    const wanted: Record<string, number[]> = { first: [], second: [], parameter: [] };
    exact[name].forEach((g, i) => {
      square += g * g;
      if (Math.abs(g) > recipe.clip) clipped++;
      const cut = Math.max(-recipe.clip, Math.min(recipe.clip, g)), x = given[name][i];
      // In the first step the moments divided by 1 - beta are the gradient and its square.
      const step = cut / (Math.abs(cut) + recipe.epsilon) + recipe.weightDecay * x;
      wanted.first.push((1 - recipe.beta1) * cut);
      wanted.second.push((1 - recipe.beta2) * cut * cut);
      wanted.parameter.push(x - recipe.learningRate * step);
    });
    for (const m of MOMENTS) close(`${m}.${name}`, all[`${m}.${name}`].exact, wanted[m]);
    assertClose(all[name].exact, wanted.parameter, {
      what: name,
      shape: [sizeOf(all[name].shape)],
      a: 1e-8,
    });
  }
  close("gradient norm, before clipping", out.gradientNorm.exact, [Math.sqrt(square)]);
  assert.ok(clipped > 10, "nothing was clipped");
});

Deno.test("metrics of each pass: hits, misaligned rows and rows kept", async () => {
  const given = someInputs(), { backend, all } = tensors(RECIPE, given);
  using run = await backend.compile(validationProgram(CONFIG, { recipe: RECIPE, shape: SHAPE }));
  const out = await run.run(all), metrics = readMetrics(out.metrics.exact);
  assert.equal(metrics.length, 3);
  const { parts, passes } = passesOf(RECIPE);
  const nodes = passes.flatMap((
    p,
    j,
  ) => [[`m${j}`, p.mask], [`l${j}`, linear(p.predict, parts.head)]]);
  const found = await (await evaluator(Object.fromEntries(nodes)))(given);
  const trained = Array.from(given.mask).reduce((a, b) => a + b);
  const share = (rows: ArrayLike<number>) =>
    Array.from(rows).reduce((sum, x, i) => sum + x * given.mask[i], 0) / (trained + 1e-5);
  metrics.forEach((m, j) => {
    const hits = (k: number) => hitsOf(found[`l${j}`], given.ids, k);
    const wanted = {
      top1: share(hits(1)),
      top3: share(hits(3)),
      top10: share(hits(10)),
      misaligned: share(hits(RECIPE.alignK).map((x) => 1 - x)),
      kept: share(found[`m${j}`]),
    };
    for (const [name, value] of Object.entries(wanted)) {
      const is = m[name as keyof typeof wanted];
      assert.ok(Math.abs(is - value) < 1e-12, `pass ${j + 1}: ${name} is ${is}, wanted ${value}`);
    }
  });
  assert.equal(out.loss.exact.length, 1);
});
