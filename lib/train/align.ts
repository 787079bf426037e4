/**
 * Token-alignable training: the streams of features that several passes read, and the mask of rows that a
 * pass still trains. griffin.md section 4; paper section 3.1. Used by `step.ts`.
 */
import {
  add,
  cast,
  compare,
  concat,
  constant,
  fill,
  matmul,
  mul,
  pad,
  reshape,
  sliceAxis,
  sub,
  sum,
  transpose,
  where,
} from "../graph/ops.ts";
import { HIDDEN, rope, softmax } from "../graph/composites.ts";
import type { Node } from "../graph/node.ts";
import type { DraftConfig } from "../model/config.ts";
import { rotaryTables } from "../model/rotary.ts";

/** Moves rows down along `axis` by n; the first n become zero. */
function shiftDown(x: Node, axis: number, n: number): Node {
  if (n === 0) return x;
  const before = x.shape.map((_, i) => i === axis ? n : 0), after = x.shape.map(() => 0);
  return pad(sliceAxis(x, axis, { end: x.shape[axis] - n }), before, after);
}

/** Moves rows up along `axis` by one; the last becomes zero. */
export function shiftUp(x: Node, axis: number): Node {
  const before = x.shape.map(() => 0), after = x.shape.map((_, i) => i === axis ? 1 : 0);
  return pad(sliceAxis(x, axis, { start: 1 }), before, after);
}

/**
 * The next pass's features: the first row of each example kept, then what the pass predicted, one row later.
 * All [B,T,D]. With several examples in a row, `place` [B,T] counts the rows of each from 0.
 */
export function nextStream(first: Node, regress: Node, place?: Node): Node {
  const [b, t] = first.shape;
  if (place !== undefined) {
    return where(compare("ge", reshape(place, [b, t, 1]), 1), shiftDown(regress, 1, 1), first);
  }
  return concat([sliceAxis(first, 1, { end: 1 }), sliceAxis(regress, 1, { end: t - 1 })], 1);
}

/** Keys and values of one stream, [B,Hk,T,K], keys already rotated. */
export interface Stream {
  keys: Node;
  values: Node;
}

/** Splits projected rows [B T, n K] into heads [B,n,T,K]. */
function heads(x: Node, { batch, headSize: k }: { batch: number; headSize: number }): Node {
  const n = x.shape[1] / k, t = x.shape[0] / batch;
  return transpose(reshape(x, [batch, t, n, k]), [0, 2, 1, 3]);
}

/** Heads [B,n,T,K] side by side again: [B T, n K]. */
function joinHeads(x: Node): Node {
  const [b, n, t, k] = x.shape;
  return reshape(transpose(x, [0, 2, 1, 3]), [b * t, n * k]);
}

/** Keys and values of projected rows, as later passes will read them. */
export function makeStream(
  { k, v }: { k: Node; v: Node },
  { config, batch, from = 0 }: { config: DraftConfig; batch: number; from?: number },
): Stream {
  const { headSize } = config;
  return { keys: turnedHeads(k, { config, batch, from }), values: heads(v, { batch, headSize }) };
}

/** Projected rows [B T, n K] as heads [B,n,T,K], turned to positions `from`, `from` + 1, ... */
export function turnedHeads(
  x: Node,
  { config, batch, from = 0 }: { config: DraftConfig; batch: number; from?: number },
): Node {
  const t = x.shape[0] / batch, { headSize } = config, tables = rotaryTables(from + t, config);
  const rows = (table: Node) => from === 0 ? table : sliceAxis(table, 0, { start: from });
  return rope(heads(x, { batch, headSize }), rows(tables.cos), rows(tables.sin));
}

/** Hidden where a row has fewer than n rows of its example before it; [T,1] or, with places, [B,1,1,T,1]. */
function hideFirst(length: number, n: number, place?: Node): Node {
  if (place !== undefined) {
    const early = compare("lt", reshape(place, [place.shape[0], 1, 1, length, 1]), n);
    return where(early, HIDDEN, 0);
  }
  return constant(Float32Array.from({ length }, (_, r) => r < n ? HIDDEN : 0), [length, 1]);
}

/** Hidden where a column lies before the row's own example: [B,1,1,T,T]. */
function hideOthers(place: Node): Node {
  const [b, t] = place.shape;
  const count = constant(Float32Array.from({ length: t }, (_, i) => i), [t]);
  const start = sub(count, place); // row at which the example begins, [B,T]
  const other = compare("lt", reshape(count, [1, 1, t]), reshape(start, [b, t, 1])); // [B,T,T]
  return reshape(where(other, HIDDEN, 0), [b, 1, 1, t, t]);
}

/** `masked`: rows to come are hidden. `upstream`: they keep score 0, and the weight they take is lost. */
export type AttentionRule = "masked" | "upstream";

/** Sizes of a batch, and where its rows stand when examples share a row. */
export interface Rows {
  config: DraftConfig;
  batch: number;
  /** Row of each example from 0, [B,T]; without it there is one example a row. */
  place?: Node;
}

/**
 * Attention of the newest stream's queries over all streams. With P streams, row r takes the key of row c
 * from stream P-1-(r-c) while that is at least 1, otherwise from stream 0; rows to come follow `attention`.
 * Cost O(T^2 + P T): one product with stream 0, one diagonal for each later stream.
 * q [B T, H K] -> context [B T, H K].
 */
export function alignedAttention(
  q: Node,
  streams: readonly Stream[],
  { config, batch, place, attention = "masked" }: Rows & { attention?: AttentionRule },
): Node {
  const { heads: h, kvHeads, headSize: k } = config, g = h / kvHeads, t = q.shape[0] / batch;
  const alpha = 1 / Math.sqrt(k), last = streams.length - 1;
  const queries = turnedHeads(q, { config, batch }); // [B,H,T,K]
  const grouped = [batch, kvHeads, g, t, k], joined = [batch, kvHeads, g * t, k];
  const base = reshape(
    matmul(reshape(queries, joined), streams[0].keys, { transB: true, alpha }),
    [batch, kvHeads, g, t, t],
  );
  // Stream 0 serves the columns that lie at least `last` rows back.
  const table = (value: (back: number) => number) =>
    constant(Float32Array.from({ length: t * t }, (_, i) => value(Math.floor(i / t) - i % t)), [
      t,
      t,
    ]);
  const seen = table((back) => back >= last ? 1 : 0);
  const hidden = table((back) =>
    back >= last || (attention === "upstream" && back < 0) ? 0 : HIDDEN
  );
  let first = add(attention === "upstream" ? mul(base, seen) : base, hidden);
  if (place !== undefined) first = add(first, hideOthers(place));
  const scores = [first];
  const row = (x: Node, back: number) => reshape(shiftDown(x, 2, back), [batch, kvHeads, 1, t, k]);
  for (let back = 0; back < last; back++) {
    const keys = row(streams[last - back].keys, back);
    const dot = sum(mul(reshape(queries, grouped), keys), [-1], { keep: true }); // [B,Hk,G,T,1]
    scores.push(add(mul(dot, alpha), hideFirst(t, back, place)));
  }
  const weights = softmax(concat(scores, -1)); // [B,Hk,G,T,T+P-1]
  const share0 = sliceAxis(weights, -1, { end: t });
  const onBase = reshape(attention === "upstream" ? mul(share0, seen) : share0, [
    batch,
    kvHeads,
    g * t,
    t,
  ]);
  let context = reshape(matmul(onBase, streams[0].values), grouped);
  for (let back = 0; back < last; back++) {
    const share = sliceAxis(weights, -1, { start: t + back, end: t + back + 1 });
    context = add(context, mul(share, row(streams[last - back].values, back)));
  }
  return joinHeads(reshape(context, [batch, h, t, k]));
}

/**
 * Attention indexed by root (EAGLE-3): row r of the newest pass stands i rows behind row r of pass 0. It sees
 * pass 0 up to row r, and of each later pass the key of its own row. Queries and keys are already rotated to
 * their positions. q [B,H,T,K] -> context [B T, H K]; cost O(T^2 + P T).
 */
export function rootedAttention(
  q: Node,
  passes: readonly Stream[],
  { config, batch, place }: Rows,
): Node {
  const { heads: h, kvHeads, headSize: k } = config, g = h / kvHeads, t = q.shape[2];
  const grouped = [batch, kvHeads, g, t, k], alpha = 1 / Math.sqrt(k);
  const base = matmul(reshape(q, [batch, kvHeads, g * t, k]), passes[0].keys, {
    transB: true,
    alpha,
  });
  const causal = Float32Array.from(
    { length: t * t },
    (_, i) => i % t > Math.floor(i / t) ? HIDDEN : 0,
  );
  let first = add(reshape(base, [batch, kvHeads, g, t, t]), constant(causal, [t, t]));
  if (place !== undefined) first = add(first, hideOthers(place));
  const row = (x: Node) => reshape(x, [batch, kvHeads, 1, t, k]), later = passes.slice(1);
  const own = later.map(({ keys }) =>
    mul(sum(mul(reshape(q, grouped), row(keys)), [-1], { keep: true }), alpha)
  );
  const weights = softmax(concat([first, ...own], -1)); // [B,Hk,G,T,T+P-1]
  const onBase = reshape(sliceAxis(weights, -1, { end: t }), [batch, kvHeads, g * t, t]);
  let context = reshape(matmul(onBase, passes[0].values), grouped);
  later.forEach(({ values }, i) => {
    const share = sliceAxis(weights, -1, { start: t + i, end: t + i + 1 });
    context = add(context, mul(share, row(values)));
  });
  return joinHeads(reshape(context, [batch, h, t, k]));
}

/** Which rows a pass still trains. */
export type MaskRule = "paper" | "upstream" | "none";

/**
 * Rows that pass n = hits.length + 1 trains, [B,T] of 0 and 1, before the loss mask. `hits[j]` [B,T] tells
 * where the true token was among the top k of pass j + 1.
 * `paper` (eq. 3): hit_{n-1}(t-1) hit_{n-2}(t-2) ... hit_1(t-n+1), rows before the sequence count as hit.
 * `upstream`: one row later, shifting by rolling, as the published code does.
 */
export function alignmentMask(
  hits: readonly Node[],
  rule: MaskRule,
  place?: Node,
): Node | undefined {
  if (hits.length === 0 || rule === "none") return undefined;
  const n = hits.length;
  const factors = hits.map((hit, j) => {
    const [b, t] = hit.shape, by = rule === "paper" ? n - j : n - 1 - j;
    if (by === 0) return hit;
    if (place !== undefined) return where(compare("ge", place, by), shiftDown(hit, 1, by), 1);
    const lead = rule === "paper" ? fill(1, [b, by]) : sliceAxis(hit, 1, { start: t - by });
    return concat([lead, sliceAxis(hit, 1, { end: t - by })], 1);
  });
  return factors.reduce((a, b) => mul(a, b));
}

/** 1 where the rank is below k, else 0; same shape. */
export function withinTop(rank: Node, k: number): Node {
  return cast(compare("lt", rank, k), "f32");
}
