/**
 * Launches of the pages that write over what they are given: AdamW, new cache rows and attention over them, rows
 * kept in a cache.
 */
import type { CompositeAttrs } from "../lib/graph/node.ts";
import { type Kernel, spread } from "./kernel.ts";
import adamw from "./adamw.wgsl" with { type: "text" };
import cacheRows from "./cache_rows.wgsl" with { type: "text" };
import keepRows from "./keep_rows.wgsl" with { type: "text" };
import treeAttention from "./tree_attention.wgsl" with { type: "text" };

const f32 = (x: number) => `${Math.fround(x)}f`;

/** Asks for gradient(i), schedule_at(j), and p, m, v each with _get(i), _put(i, v). */
export function adamwKernel(
  { count, beta1, beta2, epsilon, weightDecay, clip }: CompositeAttrs["adamw"] & { count: number },
): Kernel {
  const constants = {
    ...{ COUNT: count, BETA1: f32(beta1), BETA2: f32(beta2), EPSILON: f32(epsilon) },
    ...{ DECAY: f32(weightDecay), CLIP: f32(clip) },
  };
  return { name: "adamw", text: adamw, constants, groups: spread(Math.ceil(count / 256)) };
}

/** Sizes of an attention over caches. */
export interface CachedAttention {
  batch: number;
  rows: number;
  heads: number;
  kvHeads: number;
  capacity: number;
  headSize: number;
}

const sizesOf = ({ batch, rows, heads, kvHeads, capacity, headSize }: CachedAttention) => ({
  ...{ BATCH: batch, T: rows, HEADS: heads, KV_HEADS: kvHeads },
  ...{ CAPACITY: capacity, SIZE: headSize },
});

/** Asks for qkv, length_at, angle_cos, angle_sin, put_key, put_value: see the page. */
export function cacheRowsKernel(sizes: CachedAttention): Kernel {
  const { batch, kvHeads, rows, headSize } = sizes;
  return {
    name: "cache_rows",
    text: cacheRows,
    constants: sizesOf(sizes),
    groups: spread(Math.ceil(batch * kvHeads * rows * headSize / 64)),
  };
}

/** Asks for qkv, length_at, bias_at, angle_cos, angle_sin, key_at, value_at, put: see the page. */
export function treeAttentionKernel(sizes: CachedAttention): Kernel {
  const { heads, rows, batch } = sizes;
  return {
    name: "tree_attention",
    text: treeAttention,
    constants: sizesOf(sizes),
    groups: [heads, rows, batch],
  };
}

/** Asks for from_at(), offset_at(i), cache_get(p), cache_put(p, v): see the page. */
export function keepRowsKernel(
  { lead, capacity, width, count }: {
    lead: number;
    capacity: number;
    width: number;
    count: number;
  },
): Kernel {
  return {
    name: "keep_rows",
    text: keepRows,
    constants: { LEAD: lead, CAPACITY: capacity, WIDTH: width, COUNT: count },
    groups: spread(Math.ceil(lead * width / 64)),
  };
}
