/**
 * Launches of the pages of training's attention: forward, and the gradients for queries and for each stream's keys and
 * values. What streams, gap and backs are: `lib/graph/stream_attention.ts`.
 */
import type { Kernel } from "./kernel.ts";
import streamAttention from "./stream_attention.wgsl" with { type: "text" };
import streamKeys from "./stream_keys.wgsl" with { type: "text" };
import streamQueries from "./stream_queries.wgsl" with { type: "text" };

/** Rows or columns that a workgroup makes. */
const TILE = 32;

/** Heads that the pages take: four vectors for each of eight threads. */
export const LARGEST_HEAD = 128;

/** Sizes of an attention over streams. */
export interface StreamSizes {
  batch: number;
  rows: number;
  heads: number;
  kvHeads: number;
  headSize: number;
}

const constantsOf = ({ rows, heads, kvHeads, headSize }: StreamSizes) => ({
  ...{ T: rows, HEADS: heads, KV_HEADS: kvHeads, SIZE: headSize },
});

/** Rows that stream 0 lies back, later streams, and whether rows to come count. */
export interface StreamRule {
  gap: number;
  later: number;
  future: boolean;
}

const byQueries = (
  { name, text, ...sizes }: StreamSizes & { name: string; text: string },
  { gap, later, future }: StreamRule,
): Kernel => ({
  ...{ name, text },
  constants: { ...constantsOf(sizes), GAP: gap, LATER: later, FUTURE: String(future) },
  groups: [Math.ceil(sizes.rows / TILE), sizes.heads, sizes.batch],
});

/** Asks for query_at, key_at, value_at, later_key, later_value, back, start_at, put, put_log: see the page. */
export const streamAttentionKernel = (sizes: StreamSizes, rule: StreamRule): Kernel =>
  byQueries({ ...sizes, name: "stream_attention", text: streamAttention }, rule);

/** Asks for the same, and slope_at, result_at, log_at, put, put_dot: see the page. */
export const streamQueriesKernel = (sizes: StreamSizes, rule: StreamRule): Kernel =>
  byQueries({ ...sizes, name: "stream_queries", text: streamQueries }, rule);

/** Asks for query_at, key_at, value_at, slope_at, log_at, dot_at, start_at, put_key, put_value: see the page. */
export const streamKeysKernel = (
  sizes: StreamSizes,
  { first, span }: { first: number; span: number },
): Kernel => ({
  ...{ name: "stream_keys", text: streamKeys },
  constants: { ...constantsOf(sizes), FIRST: first, SPAN: span },
  groups: [Math.ceil(sizes.rows / TILE), sizes.kvHeads, sizes.batch],
});
