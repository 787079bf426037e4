/**
 * A target split by layers: a model larger than the memory of one device runs its first layers on one backend and
 * the rest on another; only rows [N, D] go between them. Who runs the stages: `lib/decode/forward.ts`.
 */
import type { Backend, Params } from "../backend/backend.ts";
import type { TargetConfig } from "./config.ts";
import type { LayerRange } from "./llama.ts";

/** Some layers of a target on a backend of their own. */
export interface Stage extends LayerRange {
  backend: Backend;
  weights: Params;
}

/** How many layers a backend takes. */
export interface LayerShare {
  backend: Backend;
  layers: number;
}

/**
 * Which layers each backend runs: those of `before` in order, then `last`, which has the head and is a draft's too.
 * @throws when nothing is left for the last one, or a share is no whole number from 1.
 */
export function splitLayers(
  { layers }: Pick<TargetConfig, "layers">,
  { before, last }: { before: readonly LayerShare[]; last: Backend },
): (LayerRange & { backend: Backend })[] {
  let from = 0;
  const stages = before.map(({ backend, layers: count }) => {
    const to = from + count;
    if (!Number.isInteger(count) || count < 1 || to >= layers) {
      throw new Error(
        `Cannot run layers ${from} to ${
          to - 1
        } of ${layers} on ${backend.name}: wanted at least one, ` +
          `and at least one left for ${last.name}`,
      );
    }
    const stage = { backend, from, to };
    from = to;
    return stage;
  });
  return [...stages, { backend: last, from, to: layers }];
}

/**
 * Does a stage need this weight of the target's Program? The embedding stands on the first, which reads tokens, and
 * on the last, where it is a draft's and maybe the head.
 */
export function isPartOf(
  { from, to }: LayerRange,
  name: string,
  { layers }: Pick<TargetConfig, "layers">,
): boolean {
  const [, layer] = /^model\.layers\.(\d+)\./.exec(name) ?? [];
  if (layer !== undefined) return Number(layer) >= from && Number(layer) < to;
  return to === layers || (from === 0 && name === "model.embed_tokens.weight");
}
