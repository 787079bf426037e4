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
  sum,
  transpose,
} from "../graph/ops.ts";
import { rope, softmax } from "../graph/composites.ts";
import type { Node } from "../graph/node.ts";
import type { DraftConfig } from "../model/config.ts";
import { HIDDEN } from "../model/placement.ts";
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

/** The next pass's features: row 0 kept, then what the pass predicted, one row later. All [B,T,D]. */
export function nextStream(first: Node, regress: Node): Node {
  const t = first.shape[1];
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
  { config, batch }: { config: DraftConfig; batch: number },
): Stream {
  const { cos, sin } = rotaryTables(k.shape[0] / batch, config), { headSize } = config;
  return {
    keys: rope(heads(k, { batch, headSize }), cos, sin),
    values: heads(v, { batch, headSize }),
  };
}

/** [T,1]: hidden where row < n, for a diagonal that starts n rows down. */
function hideFirst(length: number, n: number): Node {
  return constant(Float32Array.from({ length }, (_, r) => r < n ? HIDDEN : 0), [length, 1]);
}

/**
 * Attention of the newest stream's queries over all streams. With P streams, row r takes the key of row c
 * from stream P-1-(r-c) while that is at least 1, otherwise from stream 0; later rows are hidden. Cost
 * O(T^2 + P T): one product with stream 0, one diagonal for each later stream.
 * q [B T, H K] -> context [B T, H K].
 */
export function alignedAttention(
  q: Node,
  streams: readonly Stream[],
  { config, batch }: { config: DraftConfig; batch: number },
): Node {
  const { heads: h, kvHeads, headSize: k } = config, g = h / kvHeads, t = q.shape[0] / batch;
  const { cos, sin } = rotaryTables(t, config), alpha = 1 / Math.sqrt(k), last = streams.length - 1;
  const queries = rope(heads(q, { batch, headSize: k }), cos, sin); // [B,H,T,K]
  const grouped = [batch, kvHeads, g, t, k], joined = [batch, kvHeads, g * t, k];
  const base = reshape(
    matmul(reshape(queries, joined), streams[0].keys, { transB: true, alpha }),
    [batch, kvHeads, g, t, t],
  );
  // Stream 0 serves the columns that lie at least `last` rows back.
  const seen = new Float32Array(t * t);
  for (let r = 0; r < t; r++) {
    for (let c = 0; c < t; c++) seen[r * t + c] = r - c >= last ? 0 : HIDDEN;
  }
  const scores = [add(base, constant(seen, [t, t]))];
  const row = (x: Node, back: number) => reshape(shiftDown(x, 2, back), [batch, kvHeads, 1, t, k]);
  for (let back = 0; back < last; back++) {
    const keys = row(streams[last - back].keys, back);
    const dot = sum(mul(reshape(queries, grouped), keys), [-1], { keep: true }); // [B,Hk,G,T,1]
    scores.push(add(mul(dot, alpha), hideFirst(t, back)));
  }
  const weights = softmax(concat(scores, -1)); // [B,Hk,G,T,T+P-1]
  const onBase = reshape(sliceAxis(weights, -1, { end: t }), [batch, kvHeads, g * t, t]);
  let context = reshape(matmul(onBase, streams[0].values), grouped);
  for (let back = 0; back < last; back++) {
    const share = sliceAxis(weights, -1, { start: t + back, end: t + back + 1 });
    context = add(context, mul(share, row(streams[last - back].values, back)));
  }
  return reshape(
    transpose(reshape(context, [batch, h, t, k]), [0, 2, 1, 3]),
    [batch * t, h * k],
  );
}

/** Which rows a pass still trains. */
export type MaskRule = "paper" | "upstream" | "none";

/**
 * Rows that pass n = hits.length + 1 trains, [B,T] of 0 and 1, before the loss mask. `hits[j]` [B,T] tells
 * where the true token was among the top k of pass j + 1.
 * `paper` (eq. 3): hit_{n-1}(t-1) hit_{n-2}(t-2) ... hit_1(t-n+1), rows before the sequence count as hit.
 * `upstream`: one row later, shifting by rolling, as the published code does.
 */
export function alignmentMask(hits: readonly Node[], rule: MaskRule): Node | undefined {
  if (hits.length === 0 || rule === "none") return undefined;
  const n = hits.length;
  const factors = hits.map((hit, j) => {
    const [b, t] = hit.shape, by = rule === "paper" ? n - j : n - 1 - j;
    if (by === 0) return hit;
    const lead = rule === "paper" ? fill(1, [b, by]) : sliceAxis(hit, 1, { start: t - by });
    return concat([lead, sliceAxis(hit, 1, { end: t - by })], 1);
  });
  return factors.reduce((a, b) => mul(a, b));
}

/** 1 where the rank is below k, else 0; same shape. */
export function withinTop(rank: Node, k: number): Node {
  return cast(compare("lt", rank, k), "f32");
}
