/**
 * Token-alignable training: the streams of features that several passes read, and the mask of rows that a
 * pass still trains. griffin.md section 4; paper section 3.1. Used by `step.ts`.
 */
import {
  cast,
  compare,
  concat,
  constant,
  fill,
  mul,
  pad,
  reshape,
  sliceAxis,
  sub,
  transpose,
  where,
} from "../graph/ops.ts";
import { rope, streamAttention } from "../graph/composites.ts";
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

/** Row at which the example of each row begins, [B,T]. */
function startOf(place: Node): Node {
  const t = place.shape[1], count = constant(Float32Array.from({ length: t }, (_, i) => i), [t]);
  return sub(count, place);
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

/** Rotated queries [B,H,T,K] over streams -> context [B T, H K]. */
function attend(
  q: Node,
  streams: readonly Stream[],
  { place, ...rule }: Pick<Rows, "place"> & Parameters<typeof streamAttention>[1],
): Node {
  const context = streamAttention({
    q,
    keys: streams.map(({ keys }) => keys),
    values: streams.map(({ values }) => values),
    ...(place && { start: startOf(place) }),
  }, rule);
  return reshape(context, [-1, context.shape[2]]);
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
  const last = streams.length - 1, backs = streams.slice(1).map((_, s) => last - 1 - s);
  const future = attention === "upstream";
  return attend(turnedHeads(q, { config, batch }), streams, { place, gap: last, backs, future });
}

/**
 * Attention indexed by root (EAGLE-3): row r of the newest pass stands i rows behind row r of pass 0. It sees
 * pass 0 up to row r, and of each later pass the key of its own row. Queries and keys are already rotated to
 * their positions. q [B,H,T,K] -> context [B T, H K]; cost O(T^2 + P T).
 */
export function rootedAttention(
  q: Node,
  passes: readonly Stream[],
  { place }: Pick<Rows, "place">,
): Node {
  return attend(q, passes, { place, gap: 0, backs: passes.slice(1).map(() => 0) });
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
