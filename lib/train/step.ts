/**
 * One training step as one Program: P passes of the draft, their losses under the alignment mask, the
 * reverse sweep over the summed loss, AdamW. griffin.md section 4. The loop around it is `train.ts`.
 */
import {
  add,
  cast,
  compare,
  concat,
  detach,
  div,
  fill,
  gather,
  input,
  mul,
  reduce,
  reshape,
  sliceAxis,
  sqrt,
  sub,
  sum,
  takeAlong,
  topK,
  where,
} from "../graph/ops.ts";
import { adamw, crossEntropy, logSoftmax, smoothL1, softmax } from "../graph/composites.ts";
import { gradients } from "../graph/gradients.ts";
import type { Node } from "../graph/node.ts";
import { type Program, program } from "../graph/program.ts";
import type { DraftConfig } from "../model/config.ts";
import {
  closeAttention,
  type DraftParts,
  draftShapes,
  fuse,
  projectAttention,
  splitHead,
} from "../model/draft.ts";
import { linear } from "../model/llama.ts";
import type { PassMetrics } from "../report/events.ts";
import {
  alignedAttention,
  alignmentMask,
  makeStream,
  nextStream,
  shiftUp,
  type Stream,
  withinTop,
} from "./align.ts";
import type { Recipe } from "./recipe.ts";

/** Tokens of the target's distribution that the top-K loss looks at. */
const TOP_TOKENS = 10;
/** Added to the number of rows that a loss is averaged over. */
const TINY = 1e-5;
const METRICS = [
  "featureLoss",
  "tokenLoss",
  "topKLoss",
  "top1",
  "top3",
  "top10",
  "misaligned",
  "kept",
] as const satisfies readonly (keyof PassMetrics)[];

/** Static sizes of a batch. */
export interface BatchShape {
  batch: number;
  length: number;
}

/** One pass's results; predict and regress are [B T, D], losses are scalars. */
export interface Pass {
  predict: Node;
  regress: Node;
  /** Rows trained, [B T] of 0 and 1: loss mask times alignment mask. */
  mask: Node;
  featureLoss: Node;
  tokenLoss: Node;
  topKLoss: Node;
  loss: Node;
  metrics: Node;
}

/** Inputs of the passes: all [B,T] or [B,T,D]. */
export interface PassInputs {
  /** Tokens x_{t+1}. */
  ids: Node;
  /** Loss mask, f32. */
  mask: Node;
  /** Features f_t as the draft reads them (with noise), and clean. */
  noisy: Node;
  features: Node;
}

/** Builds the passes of a batch; `embedding` and `head` are the target's, frozen, [V,D]. */
export function buildPasses(
  parts: DraftParts,
  inputs: PassInputs,
  { recipe, embedding, head }: {
    recipe: Pick<Recipe, "passes" | "mask" | "alignK" | "weights">;
    embedding: Node;
    head: Node;
  },
): Pass[] {
  const { config } = parts, { ids, noisy, features } = inputs, { weights } = recipe;
  const [batch, t] = ids.shape, n = batch * t, d = config.width;
  const e = reshape(gather(embedding, ids), [n, d]);
  const goal = reshape(shiftUp(features, 1), [n, d]); // f_{t+1}
  const label = reshape(shiftUp(ids, 1), [n, 1]); // x_{t+2}
  const p = detach(softmax(linear(goal, head))); // [N,V]
  const topIds = topK(p, Math.min(TOP_TOKENS, config.vocabulary));
  const pTop = takeAlong(p, topIds);
  const withTopK = recipe.passes > 1 && weights.topK > 0;
  const least = sliceAxis(pTop, 1, { start: topIds.shape[1] - 1 });
  const wanted = withTopK
    ? mul(p, where(compare("ge", p, least), weights.token + weights.topK, weights.token))
    : mul(p, weights.token);
  const lossMask = reshape(inputs.mask, [n]);
  const average = (rows: Node, mask: Node) => div(sum(mul(rows, mask)), add(sum(mask), TINY));

  const streams: Stream[] = [], hits: Node[] = [], passes: Pass[] = [];
  let stream = noisy;
  for (let pass = 0; pass < recipe.passes; pass++) {
    const o = fuse(parts, e, reshape(stream, [n, d]));
    const { q, k, v } = projectAttention(parts, o);
    streams.push(makeStream({ k, v }, { config, batch }));
    const context = alignedAttention(q, streams, { config, batch });
    const { predict, regress } = splitHead(parts, closeAttention(parts, o, context));

    const aligned = alignmentMask(hits, recipe.mask);
    const mask = aligned === undefined ? lossMask : mul(lossMask, reshape(aligned, [n]));
    const logits = linear(predict, head), logQ = logSoftmax(logits); // [N,V]
    const featureRows = reduce("mean", smoothL1(regress, goal), { axes: [1] });
    const bothRows = crossEntropy(logits, wanted); // token and top-K losses, weighted
    const topRows = mul(sum(mul(pTop, takeAlong(logQ, topIds)), [1]), -1);
    const tokenRows = div(
      withTopK ? sub(bothRows, mul(topRows, weights.topK)) : bothRows,
      weights.token,
    );
    const featureLoss = average(featureRows, mask);
    const loss = add(mul(featureLoss, weights.feature), average(bothRows, mask));
    const tokenLoss = average(tokenRows, mask), topKLoss = average(topRows, mask);
    // Rank of the true token: how many logits are larger.
    const rank = sum(cast(compare("gt", logits, takeAlong(logits, label)), "f32"), [1]); // [N]
    const hit = withinTop(rank, recipe.alignK);
    const metrics = concat(
      [
        featureLoss,
        tokenLoss,
        topKLoss,
        ...[1, 3, 10].map((top) => average(withinTop(rank, top), lossMask)),
        average(sub(1, hit), lossMask),
        div(sum(mask), add(sum(lossMask), TINY)),
      ].map((x) => reshape(x, [1])),
      0,
    );
    passes.push({ predict, regress, mask, featureLoss, tokenLoss, topKLoss, loss, metrics });
    hits.push(reshape(detach(hit), [batch, t]));
    stream = nextStream(noisy, reshape(detach(regress), [batch, t, d]));
  }
  return passes;
}

/** Inputs of a batch for the given sizes. */
export function batchInputs({ batch, length }: BatchShape, width: number): PassInputs {
  return {
    ids: input("ids", [batch, length], "i32"),
    mask: input("mask", [batch, length]),
    noisy: input("noisy", [batch, length, width]),
    features: input("features", [batch, length, width]),
  };
}

/**
 * x W^T. Where x is put together of parts (the fusion's [e ; f]), a product for each part: that of the
 * embeddings, which all passes read, is then computed and differentiated once.
 */
function projectParts(x: Node, w: Node): Node {
  if (x.op !== "concat") return linear(x, w);
  let start = 0;
  const products = x.inputs.map((part) => {
    const end = start + part.shape[1], columns = sliceAxis(w, 1, { start, end });
    start = end;
    return linear(part, columns);
  });
  return products.reduce((a, b) => add(a, b));
}

/** Everything of a draft as inputs of a Program. */
export function inputParts(config: DraftConfig): DraftParts & { embedding: Node; head: Node } {
  const inputs = new Map(
    Object.entries(draftShapes(config)).map(([name, shape]) => [name, input(name, shape)]),
  );
  const weight = (name: string) => inputs.get(name)!;
  return {
    config,
    weight,
    project: (x, name) => projectParts(x, weight(name)),
    embedding: input("embed_tokens.weight", [config.vocabulary, config.width]),
    head: input("lm_head.weight", [config.vocabulary, config.width]),
  };
}

function lossOf(config: DraftConfig, { recipe, shape }: { recipe: Recipe; shape: BatchShape }) {
  const parts = inputParts(config);
  const passes = buildPasses(parts, batchInputs(shape, config.width), { recipe, ...parts });
  return {
    parts,
    loss: passes.map((p) => p.loss).reduce((a, b) => add(a, b)),
    metrics: concat(passes.map((p) => p.metrics), 0),
  };
}

/** Names of a parameter's moments in Programs and checkpoints: `first.NAME`, `second.NAME`. */
export const MOMENTS = ["first", "second"] as const;

/**
 * The Program of a training step. Inputs: those of a batch, parameters and their moments, `schedule` [3]
 * (learning rate, 1 - beta1^t, 1 - beta2^t), frozen embedding and head. Outputs: `loss`, `gradientNorm`,
 * `metrics` [P 8]; parameters and moments are updated.
 */
export function trainingProgram(
  config: DraftConfig,
  { recipe, shape }: { recipe: Recipe; shape: BatchShape },
): Program {
  const { parts, loss, metrics } = lossOf(config, { recipe, shape });
  const names = Object.keys(draftShapes(config)), schedule = input("schedule", [3]);
  const slopes = gradients(loss, names.map((name) => parts.weight(name)));
  const { beta1, beta2, epsilon, weightDecay, clip } = recipe;
  const updates: Record<string, Node> = {};
  let square = fill(0);
  names.forEach((name, i) => {
    const parameter = parts.weight(name), gradient = slopes[i];
    square = add(square, sum(mul(gradient, gradient)));
    const [first, second] = MOMENTS.map((m) => input(`${m}.${name}`, parameter.shape));
    const next = adamw(
      { parameter, gradient, first, second, schedule },
      { beta1, beta2, epsilon, weightDecay, clip },
    );
    updates[name] = next.parameter;
    updates[`first.${name}`] = next.first;
    updates[`second.${name}`] = next.second;
  });
  return program({ loss, metrics, gradientNorm: sqrt(square) }, { updates });
}

/** The same losses and metrics without an update, for validation. */
export function validationProgram(
  config: DraftConfig,
  options: { recipe: Recipe; shape: BatchShape },
): Program {
  const { loss, metrics } = lossOf(config, options);
  return program({ loss, metrics });
}

/** Reads the `metrics` output [P 8]. */
export function readMetrics(values: ArrayLike<number>): PassMetrics[] {
  return Array.from({ length: values.length / METRICS.length }, (_, p) => {
    const entries = METRICS.map((name, i) => [name, values[p * METRICS.length + i]]);
    return Object.fromEntries(entries) as PassMetrics;
  });
}
