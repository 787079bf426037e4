/**
 * How some models stretch their rotary angles for contexts longer than they were first trained on: what `config.json`
 * says of it, and the angles. Angles here depend on the position alone. Where transformers takes them from the length
 * of each forward (dynamic, longrope), keys in a cache keep the angles of shorter ones, so that the same text cut
 * otherwise is another text: such models are used within the positions where nothing changes ({@link stretchedFrom}).
 * Used by `config.ts` and `rotary.ts`.
 */
import type { Json } from "../io/json.ts";

/** Angles divided by a factor, all of them or those that turn slowly. `positions` were those of the first training. */
export type RopeScaling =
  | { type: "linear"; factor: number }
  | {
    type: "llama3";
    factor: number;
    /** Wavelengths longer than positions / low are divided, shorter than positions / high are kept. */
    low: number;
    high: number;
    positions: number;
  }
  | {
    /** Peng et al. 2023: pairs of fewer turns than `slow` are divided, of more than `fast` are kept. */
    type: "yarn";
    factor: number;
    fast: number;
    slow: number;
    /** The bounds between them are numbers of pairs, rounded outwards. */
    truncate: boolean;
    positions: number;
    /** Cosines and sines are multiplied by it. */
    attention: number;
  }
  | { type: "dynamic"; factor: number; positions: number }
  | {
    /** Ding et al. 2024: each pair is divided by a number of its own. */
    type: "longrope";
    short: readonly number[];
    /** Beyond `positions`; kept for those who read our drafts. */
    long: readonly number[];
    positions: number;
    attention: number;
  };

const KINDS = ["default", "linear", "llama3", "yarn", "dynamic", "longrope"];

/** yarn's logarithm of how much longer the context is: 0.1 scale ln factor + 1. */
const temperature = (factor: number, scale = 1) =>
  factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;

/**
 * Reads `rope_scaling` or `rope_parameters` of a whole `config.json`. `known` are the positions that the model knows.
 * @throws on a kind that is not known, a missing number, angles for a part of a head, and kinds that differ by layer.
 */
export function readRopeScaling(
  config: Json,
  { file, known, headSize }: { file: string; known: number; headSize: number },
): RopeScaling | undefined {
  const json = (config.rope_scaling ?? config.rope_parameters ?? {}) as Json;
  const refuse = (what: string) => new Error(`Cannot use ${file}: ${what}`);
  const number = (key: string, fallback?: number): number => {
    const value = json[key] ?? fallback;
    if (typeof value === "number" && value > 0) return value;
    throw refuse(
      `${key} of its rope scaling is ${JSON.stringify(json[key])}, wanted a positive number`,
    );
  };
  const part = json.partial_rotary_factor ?? config.partial_rotary_factor ?? 1;
  if (part !== 1) throw refuse(`partial_rotary_factor is ${part}, wanted 1`);
  const type = json.rope_type ?? json.type;
  if (type === "default") return undefined;
  if (type === undefined && Object.keys(json).every((key) => key === "rope_theta")) {
    return undefined;
  }
  // Some families keep it outside.
  const first = () =>
    typeof config.original_max_position_embeddings === "number"
      ? config.original_max_position_embeddings
      : number("original_max_position_embeddings", known);
  if (type === "linear") return { type, factor: number("factor") };
  if (type === "dynamic") return { type, factor: number("factor"), positions: known };
  if (type === "llama3") {
    return {
      type,
      factor: number("factor"),
      low: number("low_freq_factor"),
      high: number("high_freq_factor"),
      positions: number("original_max_position_embeddings"),
    };
  }
  const positions = first();
  if (type === "yarn") {
    const factor = number("factor", known / positions);
    const { mscale, mscale_all_dim: all } = json as { mscale?: number; mscale_all_dim?: number };
    const usual = mscale && all
      ? temperature(factor, mscale) / temperature(factor, all)
      : temperature(factor);
    return {
      ...{ type, factor, fast: number("beta_fast", 32), slow: number("beta_slow", 1) },
      ...{ truncate: json.truncate !== false, positions },
      attention: number("attention_factor", usual),
    };
  }
  if (type === "longrope") {
    const list = (key: string) => {
      const value = json[key];
      if (
        Array.isArray(value) && value.length === headSize / 2 &&
        value.every((x) => typeof x === "number" && x > 0)
      ) return value as number[];
      throw refuse(`${key} of its rope scaling wants ${headSize / 2} positive numbers`);
    };
    const factor = number("factor", known / positions);
    const usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(positions));
    return {
      ...{ type, short: list("short_factor"), long: list("long_factor"), positions },
      attention: number("attention_factor", usual),
    };
  }
  throw refuse(`its rope scaling is ${type ?? JSON.stringify(json)}, wanted ${KINDS.join(", ")}`);
}

/** The same as `config.json` has it. */
export function ropeScalingJson(scaling: RopeScaling): Json {
  const { type: rope_type } = scaling;
  if (scaling.type === "linear") return { rope_type, factor: scaling.factor };
  if (scaling.type === "dynamic") return { rope_type, factor: scaling.factor };
  const first = { original_max_position_embeddings: scaling.positions };
  if (scaling.type === "llama3") {
    const { factor, low, high } = scaling;
    return { rope_type, factor, low_freq_factor: low, high_freq_factor: high, ...first };
  }
  // The factor of attention is written out: what it was inferred from may be clipped in our file.
  const attention_factor = scaling.attention;
  if (scaling.type === "yarn") {
    const { factor, fast, slow, truncate } = scaling;
    const bounds = { beta_fast: fast, beta_slow: slow, truncate };
    return { rope_type, factor, ...bounds, ...first, attention_factor };
  }
  const { short, long } = scaling;
  return { rope_type, short_factor: short, long_factor: long, ...first, attention_factor };
}

/** From which position on angles would depend on the length of a forward: the model is used below it. */
export function stretchedFrom(scaling: RopeScaling | undefined): number {
  return scaling?.type === "dynamic" || scaling?.type === "longrope" ? scaling.positions : Infinity;
}

/** What cosines and sines are multiplied by. */
export const attentionFactor = (scaling: RopeScaling | undefined): number =>
  scaling?.type === "yarn" || scaling?.type === "longrope" ? scaling.attention : 1;

/** Angle of pair i at position 1, for each of K/2 pairs: `theta^(-2 i / K)`, stretched where the model does so. */
export function angularSpeeds(
  { headSize, ropeTheta, ropeScaling }: {
    headSize: number;
    ropeTheta: number;
    ropeScaling?: RopeScaling;
  },
): number[] {
  const stretch = stretching({ headSize, ropeTheta, ropeScaling });
  return Array.from(
    { length: headSize / 2 },
    (_, i) => stretch(Math.pow(ropeTheta, -2 * i / headSize), i),
  );
}

/** From a pair's speed and number to its speed when stretched. */
function stretching(
  { headSize, ropeTheta, ropeScaling: scaling }: {
    headSize: number;
    ropeTheta: number;
    ropeScaling?: RopeScaling;
  },
): (speed: number, pair: number) => number {
  if (scaling === undefined || scaling.type === "dynamic") return (speed) => speed;
  if (scaling.type === "longrope") return (speed, i) => speed / scaling.short[i];
  const { factor } = scaling;
  if (scaling.type === "linear") return (speed) => speed / factor;
  const mixed = (speed: number, share: number) => {
    const kept = Math.min(1, Math.max(0, share));
    return kept * speed + (1 - kept) * speed / factor;
  };
  const { positions } = scaling;
  if (scaling.type === "llama3") {
    const { low, high } = scaling;
    // Turns within the positions of the first training: few of them are stretched, many kept, some in between.
    return (speed) => mixed(speed, (positions * speed / (2 * Math.PI) - low) / (high - low));
  }
  const { fast, slow, truncate } = scaling;
  /** The number of the pair (not whole) that makes so many turns within the positions. */
  const pairOf = (turns: number) =>
    headSize * Math.log(positions / (turns * 2 * Math.PI)) / (2 * Math.log(ropeTheta));
  const [from, to] = [pairOf(fast), pairOf(slow)];
  const low = Math.max(truncate ? Math.floor(from) : from, 0);
  const high = Math.min(truncate ? Math.ceil(to) : to, headSize - 1);
  return (speed, i) => mixed(speed, 1 - (i - low) / (high === low ? 0.001 : high - low));
}
