/**
 * Values for the inputs of the passes in float64, of one example a row or of several, and slopes by central
 * differences. Not a test itself; the tests of passes and steps use it.
 */
import type { Shape } from "../../lib/graph/node.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import { featureWidth } from "../../lib/model/draft.ts";
import { DRAFT_TOKENS } from "../../lib/model/eagle3.ts";
import { targetHead } from "../../lib/train/step.ts";
import { type Evaluated, integers, values } from "../graph/evaluate.ts";
import { tinyDraft, tinyDraftConfig } from "../model/tiny.ts";

export type Given = Record<string, Float64Array | Int32Array>;

/** Sizes at which every weight can be looked at; grouped key heads. */
const SMALL = { width: 8, inner: 12, heads: 4, kvHeads: 2, headSize: 2 };
/** GRIFFIN's draft, and EAGLE-3's with two tapped layers and 16 of the 24 tokens. */
export const GRIFFIN: DraftConfig = tinyDraftConfig(undefined, SMALL);
export const EAGLE3: DraftConfig = tinyDraftConfig(undefined, {
  ...SMALL,
  fusion: "taps",
  head: "single",
  taps: [0, 2],
  draftVocabulary: 16,
});

/** Parameters of a draft, and the target's frozen matrices. */
export function someWeights(config: DraftConfig, seed = 1): Given {
  const { parameters, tokens } = tinyDraft(config, seed), { vocabulary, width } = config;
  return {
    ...Object.fromEntries(
      Object.entries(parameters).map(([name, data]) => [name, Float64Array.from(data)]),
    ),
    "embed_tokens.weight": values([vocabulary, width], "embedding"),
    [targetHead(config)]: values([vocabulary, width], "head"),
    ...(tokens !== undefined && { [DRAFT_TOKENS]: tokens }),
  };
}

/** One example of `length` rows as a batch of its own; its first row, one in the middle and its last are not trained. */
export function someExample(config: DraftConfig, length: number, name = "a"): Given {
  const shape = [1, length, config.width], wide = [1, length, featureWidth(config)];
  const features = values(shape, `features ${name}`), noise = values(wide, `noise ${name}`);
  const ids = integers([length], `ids ${name}`, { below: config.vocabulary });
  ids[length - 1] = 0; // nothing follows the last token
  const untrained = [0, 3, length - 1];
  return {
    ids,
    mask: Float64Array.from({ length }, (_, t) => untrained.includes(t) ? 0 : 1),
    features,
    noisy: noise.map((x, i) => config.fusion === "taps" ? x : features[i] + 0.05 * x),
    place: Float64Array.from({ length }, (_, t) => t),
  };
}

/** Lays examples one after another into rows of `length`, the rest zeros. */
export function pack(
  examples: Given[][],
  { config, length }: { config: DraftConfig; length: number },
): Given {
  const widths = { ids: 1, mask: 1, place: 1, features: config.width, noisy: featureWidth(config) };
  const given: Given = {};
  for (const [name, width] of Object.entries(widths)) {
    const size = examples.length * length * width;
    const into = given[name] = name === "ids" ? new Int32Array(size) : new Float64Array(size);
    examples.forEach((row, b) => {
      let at = b * length * width;
      for (const example of row) {
        into.set(example[name], at);
        at += example[name].length;
      }
    });
  }
  return given;
}

/** Slopes of the output `loss` by central differences at some places of some inputs. */
export async function slopesOf(
  run: Evaluated,
  given: Given,
  { places, shapes, h = 1e-5 }: { places: number[]; shapes: Record<string, Shape>; h?: number },
): Promise<{ name: string; index: number; slope: number }[]> {
  const found: { name: string; index: number; slope: number }[] = [];
  for (const name of Object.keys(shapes)) {
    for (const place of places) {
      const index = place % given[name].length;
      const at = async (move: number) => {
        const moved = (given[name] as Float64Array).slice();
        moved[index] += move;
        return (await run({ ...given, [name]: moved })).loss[0];
      };
      found.push({ name, index, slope: (await at(h) - await at(-h)) / (2 * h) });
    }
  }
  return found;
}
