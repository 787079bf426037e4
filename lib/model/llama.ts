/**
 * The target: a LLaMA decoder as a pure function that builds a Program over T new rows and a cache.
 * One Program serves prefill, plain decoding (T = 1) and verification of a tree of T nodes. It does not
 * load weights (`load.ts`) nor run anything (`lib/decode`).
 */
import { add, cast, concat, gather, input, matmul, mul, reshape, sliceAxis } from "../graph/ops.ts";
import { halfMatmul, quantizedMatmul, rmsNorm, silu, treeAttention } from "../graph/composites.ts";
import { expertMix } from "../graph/expert_mix.ts";
import type { Node, Shape } from "../graph/node.ts";
import { type Program, program } from "../graph/program.ts";
import type { DecoderConfig, TargetConfig } from "./config.ts";
import { mixExperts } from "./experts.ts";
import type { Stored } from "./quantize.ts";
import { rotaryTables } from "./rotary.ts";
import { windowBias } from "./window.ts";

/** Sizes a target Program is built for. */
export interface RowsShape {
  /** New rows T: tokens of a prompt chunk, or nodes of a tree. */
  rows: number;
  /** Cache rows C; at most the model's positions, plus room for padding rows. */
  capacity: number;
  /** Sequences B in one block of caches, one row each: `rows` must be 1. */
  batch?: number;
  /** Sequences S of T rows each, with caches, lengths and masks of their own; see {@link sequenceNames}. */
  sequences?: number;
}

/** Layers [from, to) of a target: a stage of one that is split over several backends. */
export interface LayerRange {
  from: number;
  to: number;
}

/** What a target Program is built for. */
export interface TargetShape extends RowsShape {
  /** Only these: rows enter a later layer, and leave one before the last, as `hidden` [N, D]. */
  layers?: LayerRange;
  /** Also give what enters these layers (from 0), side by side: the features that EAGLE-3's draft reads. */
  taps?: readonly number[];
  /** How the weights are held that it will be compiled with, where not all of them in f32. */
  stored?: Stored;
}

/** x [R, I] times the transpose of w [O, I], which may be stored in f16. */
export const linear = (x: Node, w: Node): Node =>
  w.dtype === "f16" ? halfMatmul(x, w) : matmul(x, w, { transB: true });

/** Multiplies rows [R, I] by the named weight's transpose; lets decoding choose quantised weights. */
export type Project = (x: Node, name: string) => Node;

/** Rows of a table [R, D], which may be stored in f16, by ids i32 [..]: f32 [N, D]. */
export const rowsByIds = (table: Node, ids: Node): Node =>
  reshape(cast(gather(table, ids), "f32"), [-1, table.shape[1]]);

/**
 * Inputs for named weights, each made when first asked for: vectors and tables by `weight`, products with matrices
 * by `project`, which reads `NAME.packed` and `NAME.scales` in place of `NAME` where these are `stored`.
 */
export function weightInputs(
  shapes: Record<string, Shape>,
  { stored = {} }: { stored?: Stored },
): { weight: (name: string) => Node; project: Project } {
  const inputs = new Map<string, Node>();
  const named = (name: string, shape: Shape) => {
    if (!inputs.has(name)) inputs.set(name, input(name, shape, stored[name]?.dtype));
    return inputs.get(name)!;
  };
  const weight = (name: string) => named(name, shapes[name]);
  const project: Project = (x, name) => {
    const packed = stored[`${name}.packed`], scales = stored[`${name}.scales`];
    if (packed === undefined) return linear(x, weight(name));
    return quantizedMatmul(
      x,
      named(`${name}.packed`, packed.shape),
      named(`${name}.scales`, scales.shape),
    );
  };
  return { weight, project };
}

/**
 * Weights of the Program and their shapes: published names, with q/k/v and gate/up laid side by side, and experts one
 * behind the other ({@link expertMix}), or each a matrix of its own (`apart`): in fewer bits, and on a device.
 */
export function targetShapes(
  config: TargetConfig,
  { apart = false }: { apart?: boolean } = {},
): Record<string, Shape> {
  const { width: d, inner, heads, kvHeads, headSize: k, vocabulary, layers, tied } = config;
  const { qkvBias, outBias, mlpBias, qkNorm, experts } = config;
  const shapes: Record<string, Shape> = { "model.embed_tokens.weight": [vocabulary, d] };
  for (let l = 0; l < layers; l++) {
    const at = `model.layers.${l}.`;
    shapes[`${at}input_layernorm.weight`] = [d];
    const matrix = (name: string, [rows, columns]: [number, number], bias = false) => {
      shapes[`${at}${name}.weight`] = [rows, columns];
      if (bias) shapes[`${at}${name}.bias`] = [rows];
    };
    matrix("self_attn.qkv_proj", [(heads + 2 * kvHeads) * k, d], qkvBias);
    matrix("self_attn.o_proj", [d, heads * k], outBias);
    if (qkNorm) {
      for (const name of ["q_norm", "k_norm"]) shapes[`${at}self_attn.${name}.weight`] = [k];
    }
    shapes[`${at}post_attention_layernorm.weight`] = [d];
    if (experts === undefined) {
      matrix("mlp.gate_up_proj", [2 * inner, d], mlpBias);
      matrix("mlp.down_proj", [d, inner], mlpBias);
      continue;
    }
    matrix("block_sparse_moe.gate", [experts.count, d]);
    if (!apart) {
      shapes[`${at}block_sparse_moe.experts.w13.weight`] = [experts.count, 2 * inner, d];
      shapes[`${at}block_sparse_moe.experts.w2.weight`] = [experts.count, d, inner];
    }
    for (let e = 0; apart && e < experts.count; e++) {
      matrix(`block_sparse_moe.experts.${e}.w13`, [2 * inner, d]);
      matrix(`block_sparse_moe.experts.${e}.w2`, [d, inner]);
    }
  }
  shapes["model.norm.weight"] = [d];
  if (!tied) shapes["lm_head.weight"] = [vocabulary, d];
  return shapes;
}

/** Matrices that fewer bits replace: all but the embedding, which is gathered from. A tied head gets values of its own. */
export function targetMatrices(config: TargetConfig): Record<string, Shape> {
  const matrices = Object.entries(targetShapes(config, { apart: true }))
    .filter(([name, { length }]) =>
      // A router is small, and which experts it chooses should not hang on its rounding.
      length === 2 && name !== "model.embed_tokens.weight" && !name.endsWith("moe.gate.weight")
    );
  const head = { "lm_head.weight": [config.vocabulary, config.width] };
  return { ...Object.fromEntries(matrices), ...head };
}

/** Names and shapes of a decoder's caches for B sequences of capacity C. */
export function cacheShapes(
  config: { kvHeads: number; headSize: number },
  { capacity, batch = 1, layers }: { capacity: number; batch?: number; layers: number },
): Record<string, Shape> {
  const shape = [batch, config.kvHeads, capacity, config.headSize];
  return Object.fromEntries(
    Array.from({ length: layers }, (_, l) => [[`keys.${l}`, shape], [`values.${l}`, shape]]).flat(),
  );
}

/**
 * What follows the names of a sequence's inputs and caches: nothing when it is alone, else `@` and its number.
 * (ONNX Runtime attends with tree masks to one sequence at a time; matrices multiply the rows of all.)
 */
export function sequenceNames(sequences: number): string[] {
  return sequences === 1 ? [""] : Array.from({ length: sequences }, (_, s) => `@${s}`);
}

/** The inputs that tell rows where they stand; shared by target and draft Programs. */
export function placementInputs({ rows, capacity, batch = 1 }: RowsShape, name = "") {
  return {
    positions: input(`positions${name}`, [batch, rows], "i32"),
    length: input(`length${name}`, [batch], "i32"),
    bias: input(`bias${name}`, [1, 1, rows, capacity]),
  };
}

/** Token ids of all sequences, one behind the other: [B, T], or [1, S T] for sequences of their own. */
export function tokenInputs({ rows, batch = 1, sequences = 1 }: RowsShape): Node {
  const ids = sequenceNames(sequences).map((name) => input(`ids${name}`, [batch, rows], "i32"));
  return ids.length === 1 ? ids[0] : concat(ids, 1);
}

/**
 * Attention over the caches of each sequence: `attend` gives the context [N, H K] of a layer's projected rows
 * [N, (H + 2 Hk) K]; `updates` are the caches with the new rows, for the Program.
 */
export function cachedAttention(
  config:
    & Pick<
      DecoderConfig,
      "heads" | "kvHeads" | "headSize" | "ropeTheta" | "ropeScaling" | "positions"
    >
    & Pick<TargetConfig, "window">,
  shape: RowsShape,
): { attend: (qkv: Node, layer: number) => Node; updates: Record<string, Node> } {
  const { heads, kvHeads, headSize, window, positions } = config;
  const { rows, capacity, batch = 1, sequences = 1 } = shape, updates: Record<string, Node> = {};
  // Within the window everything is seen.
  const slides = window !== undefined && window.size < Math.min(positions, capacity);
  const placements = sequenceNames(sequences).map((name) => {
    const placement = placementInputs(shape, name);
    return { name, placement, near: slides ? windowBias(placement, window.size) : placement.bias };
  });
  // As many positions as cache rows: padding rows may stand beyond the last real one.
  const tables = rotaryTables(capacity, config);
  const attend = (qkv: Node, layer: number) => {
    const contexts = placements.map(({ name, placement, near }, s) => {
      const own = sequences === 1
        ? qkv
        : sliceAxis(qkv, 0, { start: s * rows, end: (s + 1) * rows });
      const cache = (kind: string) =>
        input(`${kind}.${layer}${name}`, [batch, kvHeads, capacity, headSize]);
      const { context, keys, values } = treeAttention({
        qkv: reshape(own, [batch, rows, -1]),
        keys: cache("keys"),
        values: cache("values"),
        ...placement,
        ...(slides && window.layers.includes(layer) && { bias: near }),
        ...tables,
      }, { heads, kvHeads });
      updates[`keys.${layer}${name}`] = keys;
      updates[`values.${layer}${name}`] = values;
      return reshape(context, [batch * rows, -1]);
    });
    return sequences === 1 ? contexts[0] : concat(contexts, 0);
  };
  return { attend, updates };
}

/** Queries and keys of [N, (H + 2 Hk) K], each head normalised by its own weights; values as they are. */
function normalizeHeads(
  qkv: Node,
  { heads, kvHeads, headSize: k }: TargetConfig,
  norm: (h: Node, name: string) => Node,
): Node {
  const [n] = qkv.shape;
  const part = (from: number, count: number) =>
    sliceAxis(qkv, 1, { start: from * k, end: (from + count) * k });
  const normal = (x: Node, name: string) => reshape(norm(reshape(x, [n, -1, k]), name), [n, -1]);
  return concat([
    normal(part(0, heads), "self_attn.q_norm"),
    normal(part(heads, kvHeads), "self_attn.k_norm"),
    part(heads + kvHeads, kvHeads),
  ], 1);
}

/**
 * Program of T rows: inputs `ids` [B,T], `positions` [B,T], `length` [B] (cache rows in use), `bias`
 * [1,1,T,C], caches; outputs `logits` [B T,V] and `features` [B T,D] (after the final norm, the vector
 * that enters the LM head), with `taps` also `tapped` [B T, n D]; caches are updated. Several sequences have
 * such inputs each, named by {@link sequenceNames}, and outputs [S T, ..]. With `layers` a stage of it.
 * @throws when a tapped layer does not exist.
 */
export function targetProgram(config: TargetConfig, shape: TargetShape): Program {
  const { width: d, inner, epsilon, tied, experts } = config;
  const { rows, batch = 1, sequences = 1, taps = [], stored } = shape;
  const { from, to } = shape.layers ?? { from: 0, to: config.layers };
  const missing = taps.find((l) => !Number.isInteger(l) || l < from || l >= to);
  if (missing !== undefined) {
    throw new Error(`Cannot tap layer ${missing}: the target has layers ${from} to ${to - 1}`);
  }
  // Experts of a backend that computes them one by one are matrices of their own.
  const apart = Object.keys(stored ?? {}).some((name) => name.includes(".experts.0."));
  const shapes = { ...targetShapes(config, { apart }), ...(apart && targetMatrices(config)) };
  const { weight, project: multiply } = weightInputs(
    { ...shapes, "lm_head.weight": [config.vocabulary, d] },
    { stored },
  );
  const project: Project = (h, name) => {
    const y = multiply(h, name), bias = name.replace(/weight$/, "bias");
    return bias in shapes ? add(y, weight(bias)) : y;
  };
  const gated = (h: Node, name: string) => {
    const both = project(h, name); // [N,2I]
    return mul(silu(sliceAxis(both, 1, { end: inner })), sliceAxis(both, 1, { start: inner }));
  };
  const { attend, updates } = cachedAttention(config, shape), n = sequences * batch * rows;
  let x = from > 0
    ? input("hidden", [n, d])
    : rowsByIds(weight("model.embed_tokens.weight"), tokenInputs(shape)); // [N,D]
  const entering: Node[] = [];
  for (let l = from; l < to; l++) {
    entering[l] = x;
    const at = `model.layers.${l}.`;
    const norm = (h: Node, name: string) => rmsNorm(h, weight(`${at}${name}.weight`), { epsilon });
    const qkv = project(norm(x, "input_layernorm"), `${at}self_attn.qkv_proj.weight`);
    const heads = config.qkNorm ? normalizeHeads(qkv, config, norm) : qkv;
    x = add(x, project(attend(heads, l), `${at}self_attn.o_proj.weight`));
    const h = norm(x, "post_attention_layernorm"), moe = `${at}block_sparse_moe.`;
    const mix = ({ chosen }: { chosen: number }) => {
      const scores = linear(h, weight(`${moe}gate.weight`)), own = `${moe}experts.`;
      if (apart) {
        const expert = (e: number) =>
          project(gated(h, `${own}${e}.w13.weight`), `${own}${e}.w2.weight`);
        return mixExperts(scores, { chosen, expert });
      }
      const [up, down] = [weight(`${own}w13.weight`), weight(`${own}w2.weight`)];
      return expertMix({ x: h, scores, up, down }, { chosen });
    };
    x = add(
      x,
      experts === undefined
        ? project(gated(h, `${at}mlp.gate_up_proj.weight`), `${at}mlp.down_proj.weight`)
        : mix(experts),
    );
  }
  const tapped = taps.length > 0 && { tapped: concat(taps.map((l) => entering[l]), 1) };
  if (to < config.layers) return program({ hidden: x, ...tapped }, { updates });
  const features = rmsNorm(x, weight("model.norm.weight"), { epsilon }); // [N,D]
  const shared = tied && stored?.["lm_head.weight.packed"] === undefined;
  const logits = project(features, shared ? "model.embed_tokens.weight" : "lm_head.weight");
  return program({ logits, features, ...tapped }, { updates });
}
