/**
 * Examples small enough to train on in tests: made up where only places matter, with a target's own features
 * where there must be something to learn. Not a test itself.
 */
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import type { Examples, TrainingExample } from "../../lib/data/features.ts";
import { fromHalf, toHalf } from "../../lib/io/float16.ts";
import type { Draft, Target } from "../../lib/model/load.ts";
import { random } from "../../lib/random.ts";
import type { TrainOptions } from "../../lib/train/train.ts";
import { naiveTarget } from "../model/naive.ts";
import { tinyTarget } from "../model/tiny.ts";

/** Lengths of the examples of a tiny run. */
export const LENGTHS = [30, 41, 12, 50, 64, 33, 20];

/** Values as they come back from 16-bit shards. */
const halves = (values: Float32Array) => fromHalf(toHalf(values));

/** Examples from a list in memory. */
export function examplesOf(list: TrainingExample[], of: Examples["of"]): Examples {
  return {
    of,
    count: list.length,
    lengths: list.map((e) => e.ids.length),
    read: (index) => Promise.resolve(list[index]),
  };
}

/** Made-up examples of the given lengths: ids, masks with holes, features that tell rows apart. */
export function madeUp(lengths: number[], { width = 4, vocabulary = 24 } = {}): Examples {
  const list = lengths.map((length, i): TrainingExample => {
    const from = random(8, "example", i);
    return {
      id: `example-${i}`,
      ids: Int32Array.from({ length }, () => from.integer(vocabulary)),
      mask: Uint8Array.from({ length }, (_, t) => t < 2 || t % 5 === 4 ? 0 : 1),
      features: halves(Float32Array.from({ length: length * width }, () => from.normal())),
      tapped: new Float32Array(0),
    };
  });
  return examplesOf(list, { target: "tiny-1", width, taps: [], storage: "f16" });
}

/** Examples with a target's own features; after the first tokens each is the last one plus a step. */
export function learnable(target: Target, lengths: number[]): Examples {
  const { config, weights, identity } = target, { vocabulary, width } = config;
  const list = lengths.map((length, i): TrainingExample => {
    const from = random(9, "text", i), step = 1 + from.integer(2);
    const ids = Int32Array.from({ length });
    ids[0] = from.integer(vocabulary);
    for (let t = 1; t < length; t++) ids[t] = (ids[t - 1] + step) % vocabulary;
    const { features } = naiveTarget(config, (name) => weights[name].host!, Array.from(ids));
    return {
      id: `text-${i}`,
      ids,
      mask: Uint8Array.from({ length }, (_, t) => t < 1 ? 0 : 1),
      features: halves(Float32Array.from(features.flat())),
      tapped: new Float32Array(0),
    };
  });
  return examplesOf(list, { target: identity, width, taps: [], storage: "f16" });
}

/** A folder, a backend, a target and examples for one test. */
export async function withRun(
  use: (options: Omit<TrainOptions, "recipe">) => Promise<void>,
): Promise<void> {
  using backend = await openOnnxBackend();
  const folder = await Deno.makeTempDir(), target = tinyTarget(backend);
  try {
    await use({ backend, target, examples: learnable(target, LENGTHS), folder });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Are two drafts the same to the bit? (deepEqual would take a minute to describe a difference.) */
export function sameBits(one: Draft | undefined, other: Draft | undefined): boolean {
  return Object.entries(one!.parameters).every(([name, values]) =>
    values.every((x, i) => Object.is(x, other!.parameters[name][i]))
  );
}
