/**
 * EAGLE-3's passes (griffin.md section 9; Li et al. 2025, section 3.2): row r of pass i stands i tokens behind
 * root r, so ids, target and mask move up by one row a pass; the layer's result is fed back without a loss of
 * its own. Beside `passes.ts`, which follows GRIFFIN; both give the same {@link Pass}.
 */
import {
  add,
  cast,
  compare,
  constant,
  detach,
  div,
  fill,
  gather,
  mul,
  reduce,
  reshape,
  scatterAdd,
  sub,
  sum,
} from "../graph/ops.ts";
import { crossEntropy, softmax } from "../graph/composites.ts";
import type { Node } from "../graph/node.ts";
import { type DraftParts, enterLayer, leaveLayer } from "../model/draft.ts";
import { joinTaps } from "../model/eagle3.ts";
import { linear, rowsByIds } from "../model/llama.ts";
import {
  makeStream,
  rootedAttention,
  shiftUp,
  type Stream,
  turnedHeads,
  withinTop,
} from "./align.ts";
import {
  average,
  packMetrics,
  type Pass,
  type PassInputs,
  type PassOptions,
  rankOf,
} from "./passes.ts";

/** Ids of the target [N,1] as ids of the draft vocabulary, and 1 where it has them, [N]. */
function inDraftVocabulary(ids: Node, tokens: Node, vocabulary: number) {
  const [size] = tokens.shape, n = ids.shape[0];
  const count = constant(Float32Array.from({ length: size }, (_, i) => i), [size, 1]);
  const index = scatterAdd(tokens, count, vocabulary), has = fill(1, [size, 1]);
  return {
    id: cast(reshape(gather(index, ids), [n, 1]), "i32"),
    known: reshape(gather(scatterAdd(tokens, has, vocabulary), ids), [n]),
  };
}

/** Moves rows [B,T,..] up by n. */
function shiftUpBy(x: Node, n: number): Node {
  for (let i = 0; i < n; i++) x = shiftUp(x, 1);
  return x;
}

/** Builds the passes; `tokens` i32 [Vd] holds the target's id of each token of the draft vocabulary. */
export function buildEagle3Passes(
  parts: DraftParts,
  inputs: PassInputs,
  { recipe, embedding, head, tokens }: PassOptions & { tokens: Node },
): Pass[] {
  const { config } = parts, { ids, noisy, features, place } = inputs;
  const [batch, t] = ids.shape, n = batch * t, d = config.width, size = tokens.shape[0];
  const goal = reshape(shiftUp(features, 1), [n, d]);
  const draftable = linear(goal, gather(head, tokens)); // the target's logits that the draft can match
  const p = reshape(detach(softmax(draftable)), [batch, t, size]);
  const most = (x: Node) => reduce("max", x, { axes: [1] });
  // Rows whose most likely token the draft does not know are not trained.
  const known = cast(compare("ge", most(draftable), most(linear(goal, head))), "f32");
  const trained = mul(inputs.mask, reshape(known, [batch, t]));

  const streams: Stream[] = [], passes: Pass[] = [];
  let g = joinTaps(parts, reshape(noisy, [n, noisy.shape[2]]));
  for (let pass = 0; pass < recipe.passes; pass++) {
    const e = rowsByIds(embedding, shiftUpBy(ids, pass));
    const { residual, q, k, v } = enterLayer(parts, e, g);
    streams.push(makeStream({ k, v }, { config, batch, from: pass }));
    const queries = turnedHeads(q, { config, batch, from: pass });
    const context = rootedAttention(queries, streams, { place });
    const { predict, regress } = leaveLayer(parts, residual, context);

    let inside: Node | undefined; // the row reached belongs to the root's own example
    if (place !== undefined && pass > 0) {
      inside = cast(compare("eq", shiftUpBy(place, pass), add(place, pass)), "f32");
    }
    const reached = (rows: Node) => {
      const moved = shiftUpBy(rows, pass);
      return reshape(inside === undefined ? moved : mul(moved, inside), [n]);
    };
    const mask = reached(trained), rows = reached(inputs.mask);
    const logits = parts.project(predict, "lm_head.weight"); // [N,Vd]
    const wanted = reshape(shiftUpBy(p, pass), [n, size]);
    const tokenLoss = average(crossEntropy(logits, wanted), mask);
    const truth = inDraftVocabulary(
      reshape(shiftUpBy(ids, pass + 1), [n, 1]),
      tokens,
      config.vocabulary,
    );
    const rank = add(rankOf(logits, truth.id), mul(sub(1, truth.known), size));
    const none = fill(0);
    const metrics = packMetrics({
      losses: [none, tokenLoss, none],
      rank,
      misaligned: average(sub(1, withinTop(rank, recipe.alignK)), rows),
      kept: div(sum(mask), add(sum(inputs.mask), 1e-5)),
      rows,
    });
    const loss = mul(tokenLoss, recipe.weights.token);
    passes.push({
      predict,
      regress,
      mask,
      featureLoss: none,
      tokenLoss,
      topKLoss: none,
      loss,
      metrics,
    });
    g = recipe.bptt ? regress : detach(regress);
  }
  return passes;
}
