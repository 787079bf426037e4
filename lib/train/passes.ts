/**
 * The passes of a batch in GRIFFIN's way and its relatives' (HASS, FSPAD, EAGLE-2): streams of features, losses
 * under the alignment mask, what the next pass reads. griffin.md section 4. EAGLE-3's passes, indexed by root,
 * are in `eagle3_passes.ts`; `step.ts` makes the Program.
 */
import {
  add,
  cast,
  compare,
  concat,
  detach,
  div,
  input,
  mul,
  reduce,
  reshape,
  slice,
  sliceAxis,
  sub,
  sum,
  takeAlong,
  topK,
  where,
} from "../graph/ops.ts";
import { crossEntropy, logSoftmax, smoothL1, softmax } from "../graph/composites.ts";
import type { Node } from "../graph/node.ts";
import type { DraftConfig } from "../model/config.ts";
import { type DraftParts, enterLayer, featureWidth, leaveLayer } from "../model/draft.ts";
import { linear, rowsByIds } from "../model/llama.ts";
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
  /** The draft's top k holds the label, [B T] of 0 and 1; where an alignment mask is made of it. */
  hit?: Node;
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
  /** Features as the draft reads them, with noise (EAGLE-3: all tapped layers, [B,T,F]). */
  noisy: Node;
  /** The target's last features f_t, clean. */
  features: Node;
  /** Row of each example from 0, f32; only when examples share the rows of a batch. */
  place?: Node;
}

/** What shapes the passes. */
export type PassRecipe = Pick<
  Recipe,
  | "passes"
  | "attention"
  | "feedback"
  | "bptt"
  | "mask"
  | "alignK"
  | "label"
  | "weights"
  | "topTokens"
>;

/** What a pass needs beside the draft: its choices, and the target's frozen embedding and head, [V,D], f32 or f16. */
export interface PassOptions {
  recipe: PassRecipe;
  embedding: Node;
  head: Node;
}

/** Where a pass's graph can be cut: gradients cross it at these nodes alone. */
export interface Boundary {
  /** The layer's input, [B T, D]. */
  residual: Node;
  /** Keys and values of this pass and those before. */
  streams: readonly Stream[];
}

/** Called when a pass is built; the next pass is computed after the nodes that it returns. */
export type BetweenPasses = (pass: Pass, boundary: Boundary) => readonly Node[];

/** x, but computed after others: a backend has no reason of its own to finish one pass before the next. */
function after(x: Node, others: readonly Node[]): Node {
  if (others.length === 0) return x;
  const one = (o: Node) => reshape(slice(o, o.shape.map(() => 0), o.shape.map(() => 1)), []);
  return add(x, detach(mul(others.map(one).reduce((a, b) => add(a, b)), 0)));
}

/** Inputs of a batch for the given sizes. */
export function batchInputs(
  { batch, length }: BatchShape,
  { config, packing = false }: { config: DraftConfig; packing?: boolean },
): PassInputs {
  const lead = [batch, length];
  return {
    ids: input("ids", lead, "i32"),
    mask: input("mask", lead),
    noisy: input("noisy", [...lead, featureWidth(config)]),
    features: input("features", [...lead, config.width]),
    ...(packing && { place: input("place", lead) }),
  };
}

/** Mean of `rows` over the rows of a mask, both [N]. */
export const average = (rows: Node, mask: Node): Node =>
  div(sum(mul(rows, mask)), add(sum(mask), TINY));

/** How many logits [N,V] are larger than that of the token `label` [N,1]: [N], f32. */
export const rankOf = (logits: Node, label: Node): Node =>
  sum(cast(compare("gt", logits, takeAlong(logits, label)), "f32"), [1]);

/** The metrics of a pass as one vector [8], in the order of {@link readMetrics}. */
export function packMetrics(
  { losses, rank, misaligned, kept, rows }: {
    /** Feature, token and top-K loss. */
    losses: Node[];
    /** Rank of the true token in each row, [N]. */
    rank: Node;
    misaligned: Node;
    kept: Node;
    /** Rows that accuracies are averaged over, [N]. */
    rows: Node;
  },
): Node {
  const tops = [1, 3, 10].map((top) => average(withinTop(rank, top), rows));
  const all = [...losses, ...tops, misaligned, kept];
  return concat(all.map((x) => reshape(x, [1])), 0);
}

/** Reads the `metrics` output [P 8]. */
export function readMetrics(values: ArrayLike<number>): PassMetrics[] {
  return Array.from({ length: values.length / METRICS.length }, (_, p) => {
    const entries = METRICS.map((name, i) => [name, values[p * METRICS.length + i]]);
    return Object.fromEntries(entries) as PassMetrics;
  });
}

/** What the target says about each row: its distribution, and its most likely tokens. */
function targetRows(goal: Node, { recipe, head }: PassOptions) {
  const p = detach(softmax(linear(goal, head))), v = head.shape[0]; // [N,V]
  const topIds = topK(p, Math.min(recipe.topTokens, v)), pTop = takeAlong(p, topIds);
  const { token, topK: weight } = recipe.weights, withTopK = recipe.passes > 1 && weight > 0;
  const least = sliceAxis(pTop, 1, { start: topIds.shape[1] - 1 });
  // Token and top-K losses differ in the weight of a token only: one sum serves both.
  const wanted = withTopK
    ? mul(p, where(compare("ge", p, least), token + weight, token))
    : mul(p, token);
  return { topIds, pTop, wanted, withTopK, first: sliceAxis(topIds, 1, { end: 1 }) };
}

/** Builds the passes of a batch. */
export function buildPasses(
  parts: DraftParts,
  inputs: PassInputs,
  options: PassOptions & { between?: BetweenPasses },
): Pass[] {
  const { config } = parts, { ids, noisy, features, place } = inputs;
  const { recipe, embedding, head, between } = options, { weights } = recipe;
  const [batch, t] = ids.shape, n = batch * t, d = config.width;
  const e = rowsByIds(embedding, ids);
  const goal = reshape(shiftUp(features, 1), [n, d]); // f_{t+1}
  const target = targetRows(goal, options), { topIds, pTop, wanted, withTopK } = target;
  const truth = reshape(shiftUp(ids, 1), [n, 1]); // x_{t+2}
  const label = recipe.label === "target" ? target.first : truth;
  const lossMask = reshape(inputs.mask, [n]), rows = { config, batch, place };

  const streams: Stream[] = [], hits: Node[] = [], passes: Pass[] = [];
  let stream = noisy;
  for (let pass = 0; pass < recipe.passes; pass++) {
    const { residual, q, k, v } = enterLayer(parts, e, reshape(stream, [n, d]));
    streams.push(makeStream({ k, v }, { config, batch }));
    const context = alignedAttention(q, streams, { ...rows, attention: recipe.attention });
    const { predict, regress } = leaveLayer(parts, residual, context);

    const aligned = alignmentMask(hits, recipe.mask, place);
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
    const rank = rankOf(logits, truth);
    const hit = withinTop(label === truth ? rank : rankOf(logits, label), recipe.alignK);
    const metrics = packMetrics({
      losses: [featureLoss, tokenLoss, topKLoss],
      rank,
      misaligned: average(sub(1, hit), lossMask),
      kept: div(sum(mask), add(sum(lossMask), TINY)),
      rows: lossMask,
    });
    const made = { predict, regress, mask, hit, featureLoss, tokenLoss, topKLoss, loss, metrics };
    passes.push(made);
    hits.push(reshape(detach(hit), [batch, t]));
    const fed = recipe.feedback === "predict" ? predict : regress;
    const fedBack = reshape(recipe.bptt ? fed : detach(fed), [batch, t, d]);
    const before = between?.(made, { residual, streams: [...streams] }) ?? [];
    if (pass + 1 < recipe.passes) stream = after(nextStream(noisy, fedBack, place), before);
  }
  return passes;
}
