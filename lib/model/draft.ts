/**
 * The draft: GRIFFIN's token-alignable model (fusion, one decoder layer, split head) as pure functions
 * over nodes, and its decoding Program. Parts switched off give the baselines. Equations: paper sections
 * 3.2 to 3.3. Training passes are built from the same functions in `lib/train/step.ts`.
 */
import {
  add,
  concat,
  gather,
  input,
  mul,
  reshape,
  sliceAxis,
  takeAlong,
  topK,
} from "../graph/ops.ts";
import { logSoftmax, quantizedMatmul, rmsNorm, silu, treeAttention } from "../graph/composites.ts";
import type { Node, Shape } from "../graph/node.ts";
import { type Program, program } from "../graph/program.ts";
import type { DraftConfig } from "./config.ts";
import { cacheShapes, linear, placementInputs, type RowsShape } from "./llama.ts";
import { rotaryTables } from "./rotary.ts";

/** Multiplies rows [R, I] by the named weight's transpose; lets decoding choose quantised weights. */
export type Project = (x: Node, name: string) => Node;

/** What the draft's functions need: named vectors, and a way to multiply by named matrices. */
export interface DraftParts {
  config: DraftConfig;
  weight: (name: string) => Node;
  project: Project;
}

const ATTENTION = "layers.0.self_attn.", MLP = "layers.0.mlp.", FUSION = "fc.";

/** Trained parameters under their published names; the embedding is the target's and is not among them. */
export function draftShapes(config: DraftConfig): Record<string, Shape> {
  const { width: d, inner, heads, kvHeads, headSize: k, fusion, head } = config;
  return {
    [`${FUSION}fc.weight`]: [d, 2 * d],
    [`${FUSION}fc.bias`]: [d],
    ...(fusion === "tgf" && {
      [`${FUSION}mlp.input_layernorm.weight`]: [d],
      [`${FUSION}mlp.up_proj.weight`]: [inner, 2 * d],
      [`${FUSION}mlp.down_proj.weight`]: [d, inner],
      [`${FUSION}post_attention_layernorm.weight`]: [d],
    }),
    [`${ATTENTION}q_proj.weight`]: [heads * k, d],
    [`${ATTENTION}k_proj.weight`]: [kvHeads * k, d],
    [`${ATTENTION}v_proj.weight`]: [kvHeads * k, d],
    [`${ATTENTION}o_proj.weight`]: [d, heads * k],
    [`${MLP}gate_proj.weight`]: [inner, d],
    [`${MLP}up_proj.weight`]: [inner, d],
    [`${MLP}down_proj.weight`]: [head === "dual" ? 2 * d : d, inner],
    "layers.0.post_attention_layernorm.weight": [d],
  };
}

/** Number of trained parameters. */
export function countParameters(config: DraftConfig): number {
  return Object.values(draftShapes(config)).reduce((n, s) => n + s.reduce((a, b) => a * b, 1), 0);
}

/** Token-guided fusion of embeddings e and features f, both [R,D], into the layer's input [R,D]. */
export function fuse({ config, weight, project }: DraftParts, e: Node, f: Node): Node {
  const { epsilon } = config;
  const h = add(project(concat([e, f], 1), `${FUSION}fc.weight`), weight(`${FUSION}fc.bias`));
  if (config.fusion === "linear") return h;
  const u = rmsNorm(h, weight(`${FUSION}post_attention_layernorm.weight`), { epsilon });
  const inner = weight(`${FUSION}mlp.input_layernorm.weight`);
  const both = concat([rmsNorm(u, inner, { epsilon }), rmsNorm(e, inner, { epsilon })], 1); // [R,2D]
  const z = project(both, `${FUSION}mlp.up_proj.weight`);
  return add(h, project(silu(z), `${FUSION}mlp.down_proj.weight`));
}

/** Queries, keys and values of fused rows o [R,D]: [R, H K], [R, Hk K], [R, Hk K]. */
export function projectAttention({ project }: DraftParts, o: Node): { q: Node; k: Node; v: Node } {
  return {
    q: project(o, `${ATTENTION}q_proj.weight`),
    k: project(o, `${ATTENTION}k_proj.weight`),
    v: project(o, `${ATTENTION}v_proj.weight`),
  };
}

/** Residual of the attention: a = o + W_o context, [R,D]. */
export function closeAttention({ project }: DraftParts, o: Node, context: Node): Node {
  return add(o, project(context, `${ATTENTION}o_proj.weight`));
}

/** Token-enhanced head: [a ; a] + MLP(RMSNorm(a)), split into predict (for the LM head) and regress (fed back). */
export function splitHead(
  { config, weight, project }: DraftParts,
  a: Node,
): { predict: Node; regress: Node } {
  const { width: d, epsilon } = config;
  const u = rmsNorm(a, weight("layers.0.post_attention_layernorm.weight"), { epsilon });
  const gated = mul(silu(project(u, `${MLP}gate_proj.weight`)), project(u, `${MLP}up_proj.weight`));
  const y = project(gated, `${MLP}down_proj.weight`); // [R,2D] or [R,D]
  if (config.head === "single") {
    const only = add(a, y);
    return { predict: only, regress: only };
  }
  return {
    predict: add(a, sliceAxis(y, 1, { end: d })),
    regress: add(a, sliceAxis(y, 1, { start: d })),
  };
}

/** Matrices of a decoding Program that `quantize` may replace: name -> [O, I]. */
export function draftMatrices(config: DraftConfig): Record<string, Shape> {
  const shapes = Object.entries(draftShapes(config)).filter(([, s]) => s.length === 2);
  return { ...Object.fromEntries(shapes), "lm_head.weight": [config.vocabulary, config.width] };
}

/** Block of the 8-bit draft weights: the largest power of two up to 128 that divides every row. */
export function quantBlock(config: DraftConfig): number {
  const rows = Object.values(draftMatrices(config)).map(([, i]) => i);
  return [128, 64, 32, 16].find((block) => rows.every((i) => i % block === 0)) ?? 0;
}

/** A block-quantised matrix as {@link quantizedMatmul} takes it. */
export interface Quantized {
  packed: Uint8Array;
  scales: Float32Array;
}

/** Rounds w [O, I] to 8 bits with one scale for each block of a row: q = round(w / scale) + 128. */
export function quantize(w: Float32Array, block: number): Quantized {
  const packed = new Uint8Array(w.length), scales = new Float32Array(w.length / block);
  for (let b = 0; b < scales.length; b++) {
    let largest = 0;
    for (let i = b * block; i < (b + 1) * block; i++) largest = Math.max(largest, Math.abs(w[i]));
    const scale = largest / 127 || 1;
    scales[b] = scale;
    for (let i = b * block; i < (b + 1) * block; i++) packed[i] = Math.round(w[i] / scale) + 128;
  }
  return { packed, scales };
}

/** How a drafting Program is built. */
export interface DraftingOptions extends RowsShape {
  /** Children k taken of each row. */
  width: number;
  /** Matrices in 8 bits: drafting is quicker, and losslessness does not depend on the draft. */
  eightBit?: boolean;
}

/**
 * Program that drafts from T rows: inputs `ids` [1,T] (the token after each feature), `features` [T,D],
 * positions, length, bias, caches; outputs `tokens` [T,k], `logProbabilities` [T,k], `regress` [T,D].
 */
export function draftProgram(config: DraftConfig, options: DraftingOptions): Program {
  const { rows, width, eightBit = false } = options, { heads, kvHeads, width: d } = config;
  const shapes: Record<string, Shape> = {
    ...draftShapes(config),
    "embed_tokens.weight": [config.vocabulary, d],
    "lm_head.weight": [config.vocabulary, d],
  };
  const inputs = new Map<string, Node>(), block = quantBlock(config);
  const named = (name: string, shape: Shape, dtype: "f32" | "u8" = "f32") => {
    if (!inputs.has(name)) inputs.set(name, input(name, shape, dtype));
    return inputs.get(name)!;
  };
  const weight = (name: string) => named(name, shapes[name]);
  const project: Project = (x, name) => {
    if (!eightBit) return linear(x, weight(name));
    const [outer, inner] = shapes[name], blocks = inner / block;
    const packed = named(`${name}.packed`, [outer, blocks, block], "u8");
    return quantizedMatmul(x, packed, named(`${name}.scales`, [outer, blocks]));
  };
  const parts: DraftParts = { config, weight, project };
  const caches = Object.fromEntries(
    Object.entries(cacheShapes(config, { ...options, layers: 1 }))
      .map(([name, s]) => [name, input(name, s)]),
  );
  const ids = input("ids", [1, rows], "i32"), features = input("features", [rows, d]);
  const e = reshape(gather(weight("embed_tokens.weight"), ids), [rows, d]);
  const o = fuse(parts, e, features);
  const { q, k, v } = projectAttention(parts, o);
  const attention = treeAttention({
    qkv: reshape(concat([q, k, v], 1), [1, rows, -1]),
    keys: caches["keys.0"],
    values: caches["values.0"],
    ...placementInputs(options),
    ...rotaryTables(options.capacity, config),
  }, { heads, kvHeads });
  const { predict, regress } = splitHead(
    parts,
    closeAttention(parts, o, reshape(attention.context, [rows, -1])),
  );
  const logProbabilities = logSoftmax(project(predict, "lm_head.weight")); // [T,V]
  const tokens = topK(logProbabilities, width);
  return program(
    { tokens, logProbabilities: takeAlong(logProbabilities, tokens), regress },
    { updates: { "keys.0": attention.keys, "values.0": attention.values } },
  );
}
