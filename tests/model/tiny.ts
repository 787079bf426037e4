/**
 * Random targets and drafts small enough for tests: real programs, weights that mean nothing. Not a test
 * itself; the tests of `model`, `train` and `decode` use it.
 */
import type { Backend } from "../../lib/backend/backend.ts";
import { sizeOf } from "../../lib/graph/node.ts";
import type { DraftConfig, TargetConfig } from "../../lib/model/config.ts";
import { targetShapes } from "../../lib/model/llama.ts";
import { type Draft, placeTarget, type Target } from "../../lib/model/load.ts";
import { random } from "../../lib/random.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import type { Bits } from "../../lib/model/quantize.ts";
import type { ReadWeight } from "../../lib/model/read_weights.ts";

/** Two layers, grouped key heads. */
export const TINY: TargetConfig = {
  family: "llama",
  width: 32,
  inner: 48,
  heads: 4,
  kvHeads: 2,
  headSize: 8,
  vocabulary: 24,
  positions: 96,
  epsilon: 1e-5,
  ropeTheta: 10000,
  layers: 2,
  tied: false,
  eos: [],
};

/** Random weights of a target as host arrays; logits of a few units, so that argmax is never a tie. */
export function tinyWeights(config: TargetConfig, seed = 1): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(targetShapes(config)).map(([name, shape]) => {
      const from = random(seed, "target", name), vector = shape.length === 1;
      const deviation = vector ? 0.1 : /embed|head/.test(name) ? 0.5 : shape[1] ** -0.5;
      const value = () => (vector ? 1 : 0) + deviation * from.normal();
      return [name, Float32Array.from({ length: sizeOf(shape) }, value)];
    }),
  );
}

/** Weights as a target is given them: copies, in memory that is given if it is. */
export const reader = (values: Record<string, Float32Array>): ReadWeight => (name, _, into) => {
  if (into === undefined) return values[name].slice();
  into.set(values[name]);
  return into.subarray(0, values[name].length);
};

/** A random target on a backend, in fewer bits if asked. */
export function tinyTarget(
  backend: Backend,
  { seed = 1, bits = 32, large = false, ...changes }: Partial<TargetConfig> & {
    seed?: number;
    bits?: Bits;
    large?: boolean;
  } = {},
): Target {
  const config = { ...TINY, ...changes }, values = tinyWeights(config, seed);
  const weights = placeTarget(config, reader(values), { backend, bits, large });
  return { folder: "tiny", config, weights, bits, identity: `tiny-${seed}` };
}

/** A draft that fits a tiny target. */
export function tinyDraftConfig(
  { width, inner, heads, kvHeads, headSize, vocabulary, positions, epsilon, ropeTheta }:
    TargetConfig = TINY,
  changes: Partial<DraftConfig> = {},
): DraftConfig {
  const sizes = { width, inner, heads, kvHeads, headSize, vocabulary, positions };
  return { ...sizes, epsilon, ropeTheta, fusion: "tgf", head: "dual", ...changes };
}

/** A random draft whose every matrix matters: closing ones are not small, norms and biases not trivial. */
export function tinyDraft(config: DraftConfig = tinyDraftConfig(), seed = 1): Draft {
  const { draftVocabulary, vocabulary } = config;
  // Every other token, and at the end as many as are missing.
  const tokens = draftVocabulary === undefined
    ? undefined
    : Int32Array.from({ length: draftVocabulary }, (_, i) =>
      Math.min(2 * i, vocabulary - draftVocabulary + i));
  const draft = initialDraft(config, { seed, tokens }), { parameters } = draft;
  for (const [name, values] of Object.entries(parameters)) {
    const from = random(seed, "shake", name);
    for (let i = 0; i < values.length; i++) values[i] += 0.1 * from.normal();
  }
  return draft;
}
