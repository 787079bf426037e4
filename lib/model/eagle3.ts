/**
 * EAGLE-3's draft (griffin.md section 9; Li et al. 2025, section 3): reads the inputs of several target layers,
 * attends over embedding and feature side by side, and has an LM head of its own over the most frequent tokens.
 * The strongest baseline, in the same harness: `draft.ts` calls these where the fusion is `taps`.
 */
import { add, concat, mul } from "../graph/ops.ts";
import { rmsNorm, silu } from "../graph/composites.ts";
import type { Node, Shape } from "../graph/node.ts";
import type { DraftConfig } from "./config.ts";
import type { DraftParts, Entered } from "./draft.ts";

const LAYER = "midlayer.", ATTENTION = `${LAYER}self_attn.`, MLP = `${LAYER}mlp.`;

/** Input of Programs: the target's id of each token of the draft vocabulary, i32 [Vd], rising. */
export const DRAFT_TOKENS = "draft_tokens";

/** Trained parameters under their published names. */
export function eagle3Shapes(config: DraftConfig): Record<string, Shape> {
  const { width: d, inner, heads, kvHeads, headSize: k, taps = [], draftVocabulary = 0 } = config;
  return {
    "fc.weight": [d, taps.length * d],
    [`${LAYER}hidden_norm.weight`]: [d],
    [`${LAYER}input_layernorm.weight`]: [d],
    [`${ATTENTION}q_proj.weight`]: [heads * k, 2 * d],
    [`${ATTENTION}k_proj.weight`]: [kvHeads * k, 2 * d],
    [`${ATTENTION}v_proj.weight`]: [kvHeads * k, 2 * d],
    [`${ATTENTION}o_proj.weight`]: [d, heads * k],
    [`${LAYER}post_attention_layernorm.weight`]: [d],
    [`${MLP}gate_proj.weight`]: [inner, d],
    [`${MLP}up_proj.weight`]: [inner, d],
    [`${MLP}down_proj.weight`]: [d, inner],
    "norm.weight": [d],
    "lm_head.weight": [draftVocabulary, d],
  };
}

/** The target's tapped features [R, n D] as the one feature [R,D] that later passes feed back. */
export const joinTaps = ({ project }: DraftParts, tapped: Node): Node =>
  project(tapped, "fc.weight");

/** Queries, keys and values from embeddings e and features g, both [R,D]; g is the residual, normalised or not. */
export function enterEagle3({ config, weight, project }: DraftParts, e: Node, g: Node): Entered {
  const { epsilon, normedResidual } = config;
  const normed = rmsNorm(g, weight(`${LAYER}hidden_norm.weight`), { epsilon });
  const embedding = rmsNorm(e, weight(`${LAYER}input_layernorm.weight`), { epsilon });
  const both = concat([embedding, normed], 1); // [R,2D]
  const through = (name: string) => project(both, `${ATTENTION}${name}_proj.weight`);
  const residual = normedResidual ? normed : g;
  return { residual, q: through("q"), k: through("k"), v: through("v") };
}

/** The layer's result is fed back; its final norm goes to the LM head. */
export function leaveEagle3(
  { config, weight, project }: DraftParts,
  g: Node,
  context: Node,
): { predict: Node; regress: Node } {
  const { epsilon } = config, a = add(g, project(context, `${ATTENTION}o_proj.weight`));
  const u = rmsNorm(a, weight(`${LAYER}post_attention_layernorm.weight`), { epsilon });
  const gated = mul(silu(project(u, `${MLP}gate_proj.weight`)), project(u, `${MLP}up_proj.weight`));
  const regress = add(a, project(gated, `${MLP}down_proj.weight`));
  return { predict: rmsNorm(regress, weight("norm.weight"), { epsilon }), regress };
}
