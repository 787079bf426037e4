/**
 * The draft: GRIFFIN's token-alignable model (fusion, one decoder layer, split head) as pure functions
 * over nodes, and its decoding Program. Parts switched off give the baselines. Equations: paper sections
 * 3.2 to 3.3. Training passes are built from the same functions in `lib/train/step.ts`.
 */
import { add, concat, gather, input, mul, sliceAxis, takeAlong, topK } from "../graph/ops.ts";
import { logSoftmax, rmsNorm, silu } from "../graph/composites.ts";
import type { Node, Shape } from "../graph/node.ts";
import { type Program, program } from "../graph/program.ts";
import type { DraftConfig } from "./config.ts";
import { DRAFT_TOKENS, eagle3Shapes, enterEagle3, joinTaps, leaveEagle3 } from "./eagle3.ts";
import {
  cachedAttention,
  type Project,
  rowsByIds,
  type RowsShape,
  tokenInputs,
  weightInputs,
} from "./llama.ts";
import type { Stored } from "./quantize.ts";

/** What the draft's functions need: named vectors, and a way to multiply by named matrices. */
export interface DraftParts {
  config: DraftConfig;
  weight: (name: string) => Node;
  project: Project;
}

const ATTENTION = "layers.0.self_attn.", MLP = "layers.0.mlp.", FUSION = "fc.";

/** Trained parameters under their published names; the embedding is the target's and is not among them. */
export function draftShapes(config: DraftConfig): Record<string, Shape> {
  const { width: d, inner, heads, kvHeads, headSize: k, fusion, head, qkvBias } = config;
  if (fusion === "taps") return eagle3Shapes(config);
  return {
    [`${FUSION}fc.weight`]: [d, 2 * d],
    [`${FUSION}fc.bias`]: [d],
    ...(fusion === "tgf" && {
      [`${FUSION}mlp.input_layernorm.weight`]: [d],
      [`${FUSION}mlp.up_proj.weight`]: [inner, 2 * d],
      [`${FUSION}mlp.down_proj.weight`]: [d, inner],
      [`${FUSION}post_attention_layernorm.weight`]: [d],
    }),
    ...(fusion === "fspad" && {
      [`${FUSION}mlp.gate_proj.weight`]: [inner, d],
      [`${FUSION}mlp.up_proj.weight`]: [inner, d],
      [`${FUSION}mlp.down_proj.weight`]: [d, inner],
    }),
    [`${ATTENTION}q_proj.weight`]: [heads * k, d],
    [`${ATTENTION}k_proj.weight`]: [kvHeads * k, d],
    [`${ATTENTION}v_proj.weight`]: [kvHeads * k, d],
    ...(qkvBias && {
      [`${ATTENTION}q_proj.bias`]: [heads * k],
      [`${ATTENTION}k_proj.bias`]: [kvHeads * k],
      [`${ATTENTION}v_proj.bias`]: [kvHeads * k],
    }),
    [`${ATTENTION}o_proj.weight`]: [d, heads * k],
    [`${MLP}gate_proj.weight`]: [inner, d],
    [`${MLP}up_proj.weight`]: [inner, d],
    [`${MLP}down_proj.weight`]: [head === "dual" ? 2 * d : d, inner],
    "layers.0.post_attention_layernorm.weight": [d],
  };
}

/** Matrices of a decoding Program that `quantize` may replace: name -> [O, I]. */
export function draftMatrices(config: DraftConfig): Record<string, Shape> {
  const shapes = Object.entries(draftShapes(config)).filter(([, s]) => s.length === 2);
  return { "lm_head.weight": [config.vocabulary, config.width], ...Object.fromEntries(shapes) };
}

/** Number of trained parameters. */
export function countParameters(config: DraftConfig): number {
  return Object.values(draftShapes(config)).reduce((n, s) => n + s.reduce((a, b) => a * b, 1), 0);
}

/**
 * Fusion of embeddings e and features f, both [R,D], into the layer's input [R,D]: token-guided, gated by the
 * embedding (FSPAD), or one matrix (EAGLE-2).
 */
export function fuse({ config, weight, project }: DraftParts, e: Node, f: Node): Node {
  const { epsilon } = config;
  const h = add(project(concat([e, f], 1), `${FUSION}fc.weight`), weight(`${FUSION}fc.bias`));
  if (config.fusion === "linear") return h;
  if (config.fusion === "fspad") {
    const gate = silu(project(e, `${FUSION}mlp.gate_proj.weight`));
    const z = mul(gate, project(h, `${FUSION}mlp.up_proj.weight`));
    return add(h, project(z, `${FUSION}mlp.down_proj.weight`));
  }
  const u = rmsNorm(h, weight(`${FUSION}post_attention_layernorm.weight`), { epsilon });
  const inner = weight(`${FUSION}mlp.input_layernorm.weight`);
  const both = concat([rmsNorm(u, inner, { epsilon }), rmsNorm(e, inner, { epsilon })], 1); // [R,2D]
  const z = project(both, `${FUSION}mlp.up_proj.weight`);
  return add(h, project(silu(z), `${FUSION}mlp.down_proj.weight`));
}

/** Queries, keys and values of fused rows o [R,D]: [R, H K], [R, Hk K], [R, Hk K]. */
export function projectAttention(
  { config, weight, project }: DraftParts,
  o: Node,
): { q: Node; k: Node; v: Node } {
  const through = (name: string) => {
    const y = project(o, `${ATTENTION}${name}_proj.weight`);
    return config.qkvBias ? add(y, weight(`${ATTENTION}${name}_proj.bias`)) : y;
  };
  return { q: through("q"), k: through("k"), v: through("v") };
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

/** A layer's rows on their way into attention. */
export interface Entered {
  /** What attention's result is added to, [R,D]. */
  residual: Node;
  q: Node;
  k: Node;
  v: Node;
}

/** From embeddings e [R,D] and features f [R,D] to queries, keys and values, whatever the design. */
export function enterLayer(parts: DraftParts, e: Node, f: Node): Entered {
  if (parts.config.fusion === "taps") return enterEagle3(parts, e, f);
  const residual = fuse(parts, e, f);
  return { residual, ...projectAttention(parts, residual) };
}

/** From attention's context to predict (for the LM head) and regress (fed back), both [R,D]. */
export function leaveLayer(
  parts: DraftParts,
  residual: Node,
  context: Node,
): { predict: Node; regress: Node } {
  if (parts.config.fusion === "taps") return leaveEagle3(parts, residual, context);
  return splitHead(parts, closeAttention(parts, residual, context));
}

/** How a drafting Program is built. */
export interface DraftingOptions extends RowsShape {
  /** Children k taken of each row. */
  width: number;
  /** How the weights are held that it will be compiled with, where not all of them in f32. */
  stored?: Stored;
  /** What comes out: each row's k best tokens, or its logits, from which the host samples. */
  children?: "top" | "sampled";
  /** Only of each sequence's row at index `last` i32 [S] do outputs come: enough where rows are read, not expanded. */
  only?: "last";
  /** Whose features the rows read: what the target gave, or what the draft fed back. They differ for taps. */
  reads?: "target" | "draft";
}

/** Width of the target features that a draft reads: D, or that of all tapped layers side by side. */
export function featureWidth({ width, taps }: DraftConfig): number {
  return width * (taps?.length ?? 1);
}

/**
 * Program that drafts from T rows: inputs `ids` [1,T] (the token after each feature), `features` [T,D] (or as
 * wide as {@link featureWidth} says where the target's are read), positions, length, bias, caches; outputs
 * `tokens` [T,k] in the target's numbering and `logProbabilities` [T,k], or `logits` [T,V] in the draft's
 * numbering, and `regress` [T,D]. Several sequences: as in `targetProgram`, with features [S T, ..].
 */
export function draftProgram(config: DraftConfig, options: DraftingOptions): Program {
  const { rows, width, sequences = 1, stored, only } = options;
  const { reads = "draft", children = "top" } = options;
  const { width: d, vocabulary, draftVocabulary } = config, n = sequences * rows;
  const shapes: Record<string, Shape> = {
    "embed_tokens.weight": [vocabulary, d],
    "lm_head.weight": [vocabulary, d],
    ...draftShapes(config),
  };
  const { weight, project } = weightInputs(shapes, { stored });
  const parts: DraftParts = { config, weight, project };
  const features = input("features", [n, reads === "target" ? featureWidth(config) : d]);
  const f = reads === "target" && config.fusion === "taps" ? joinTaps(parts, features) : features;
  const e = rowsByIds(weight("embed_tokens.weight"), tokenInputs(options));
  const { residual, q, k, v } = enterLayer(parts, e, f);
  const { attend, updates } = cachedAttention(config, options);
  const context = attend(concat([q, k, v], 1), 0);
  const left = leaveLayer(parts, residual, context);
  const last = only === "last" ? input("last", [sequences], "i32") : undefined;
  const chosen = (x: Node) => last === undefined ? x : gather(x, last);
  const predict = chosen(left.predict), regress = chosen(left.regress);
  const logits = project(predict, "lm_head.weight"); // [N,V]
  if (children === "sampled") return program({ logits, regress }, { updates });
  const logProbabilities = logSoftmax(logits);
  const best = topK(logProbabilities, width);
  const tokens = draftVocabulary === undefined
    ? best
    : gather(input(DRAFT_TOKENS, [draftVocabulary], "i32"), best);
  return program(
    { tokens, logProbabilities: takeAlong(logProbabilities, best), regress },
    { updates },
  );
}
