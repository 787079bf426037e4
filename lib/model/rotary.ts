/**
 * Cosine and sine tables of rotary positions, computed in float64 and rounded once; and how some models stretch them
 * for contexts longer than they were first trained on. Used by `llama.ts` and `draft.ts`; the rotation itself is the
 * composite `rope`.
 */
import { constant } from "../graph/ops.ts";
import type { Node } from "../graph/node.ts";
import type { Json } from "../io/json.ts";

/** Angles divided by a factor: all of them, or (LLaMA 3.1) those that turn slowly. */
export type RopeScaling =
  | { type: "linear"; factor: number }
  | {
    type: "llama3";
    factor: number;
    /** Wavelengths longer than positions / low are divided, shorter than positions / high are kept. */
    low: number;
    high: number;
    /** Positions it was first trained on. */
    positions: number;
  };

/** Reads `rope_scaling` or `rope_parameters`. @throws on a kind that is not known, or a missing number. */
export function readRopeScaling(json: Json | undefined, file: string): RopeScaling | undefined {
  const type = json?.rope_type ?? json?.type;
  if (json === undefined || json === null || type === "default") return undefined;
  if (type === undefined && json.factor === undefined) return undefined; // theta alone
  const number = (key: string): number => {
    const value = json[key];
    if (typeof value === "number" && value > 0) return value;
    throw new Error(
      `Cannot use ${file}: ${key} of its rope scaling is ${
        JSON.stringify(value)
      }, wanted a positive number`,
    );
  };
  if (type === "linear") return { type, factor: number("factor") };
  if (type === "llama3") {
    return {
      type,
      factor: number("factor"),
      low: number("low_freq_factor"),
      high: number("high_freq_factor"),
      positions: number("original_max_position_embeddings"),
    };
  }
  throw new Error(
    `Cannot use ${file}: its rope scaling is ${
      type ?? JSON.stringify(json)
    }, wanted default, linear or llama3`,
  );
}

/** The same as `config.json` has it. */
export function ropeScalingJson(scaling: RopeScaling): Json {
  const { type: rope_type, factor } = scaling;
  if (scaling.type === "linear") return { rope_type, factor };
  const { low, high, positions } = scaling;
  return {
    ...{ rope_type, factor, low_freq_factor: low, high_freq_factor: high },
    original_max_position_embeddings: positions,
  };
}

/** Angle of pair i at position 1, for each of K/2 pairs: `theta^(-2 i / K)`, stretched where the model does so. */
export function angularSpeeds(
  { headSize, ropeTheta, ropeScaling }: {
    headSize: number;
    ropeTheta: number;
    ropeScaling?: RopeScaling;
  },
): number[] {
  return Array.from({ length: headSize / 2 }, (_, i) => {
    const speed = Math.pow(ropeTheta, -2 * i / headSize);
    if (ropeScaling === undefined) return speed;
    const { factor } = ropeScaling;
    if (ropeScaling.type === "linear") return speed / factor;
    const { low, high, positions } = ropeScaling;
    // Turns within the positions of the first training: few of them are stretched, many kept, some in between.
    const turns = positions * speed / (2 * Math.PI);
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return kept * speed + (1 - kept) * speed / factor;
  });
}

/** Tables [positions, K/2] for head size K. */
export function rotaryTables(
  positions: number,
  config: { headSize: number; ropeTheta: number; ropeScaling?: RopeScaling },
): { cos: Node; sin: Node } {
  const speeds = angularSpeeds(config), half = speeds.length;
  const cos = new Float32Array(positions * half), sin = new Float32Array(positions * half);
  for (let t = 0; t < positions; t++) {
    for (let i = 0; i < half; i++) {
      cos[t * half + i] = Math.cos(t * speeds[i]);
      sin[t * half + i] = Math.sin(t * speeds[i]);
    }
  }
  return { cos: constant(cos, [positions, half]), sin: constant(sin, [positions, half]) };
}
