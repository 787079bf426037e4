/**
 * What storing the target's embedding and head in f16 saves of a training step, and what it costs: bytes held, peak
 * memory and time, each in a process of its own. It says nothing about the drafts that come out; the step is that of
 * `lib/train/step.ts`. Called by `deno task bench frozen`.
 */
import type { Backend } from "../backend/backend.ts";
import type { DraftConfig } from "../model/config.ts";
import type { FrozenType } from "../model/load.ts";
import { DEFAULT_RECIPE } from "../train/recipe.ts";
import { EMBEDDING, targetHead, trainingProgram } from "../train/step.ts";
import { peakMemory } from "./peak.ts";
import { median } from "./timing.ts";
import { randomInputs } from "./training.ts";

/** Passes and tokens of the step: GRIFFIN's last one. */
const PASSES = 3, LENGTH = 256;

const common = { positions: 2048, epsilon: 1e-6, ropeTheta: 10000, headSize: 64 };
const griffin = { fusion: "tgf", head: "dual" } as const;
const small: DraftConfig = {
  ...common,
  ...griffin,
  width: 512,
  inner: 704,
  heads: 8,
  kvHeads: 4,
  vocabulary: 4096,
};
const large: DraftConfig = {
  ...common,
  ...griffin,
  width: 1024,
  inner: 2816,
  heads: 16,
  kvHeads: 16,
  vocabulary: 32000,
};

/** Drafts by vocabulary, width and batch: that of the shipped target, whose head is its embedding, and a larger one. */
export const FROZEN_SIZES: Record<string, { config: DraftConfig; batch: number; tied: boolean }> = {
  "V 4096, D 512, B 4": { config: small, batch: 4, tied: true },
  "V 32000, D 1024, B 1": { config: large, batch: 1, tied: false },
  "V 32000, D 1024, B 4": { config: large, batch: 4, tied: false },
};

/** Measured in one process. */
export interface FrozenRow {
  size: string;
  frozen: FrozenType;
  /** Of embedding and head. */
  heldBytes: number;
  /** Peak resident memory beyond that before the Program was made, bytes. */
  peakBytes: number;
  /** Median of the steps after the first two, which fetch memory. */
  ms: number;
}

/** Makes steps on random numbers. Call it once a process. @throws when the size is unknown. */
export async function measureFrozen(
  backend: Backend,
  { size, frozen, steps = 4 }: { size: string; frozen: FrozenType; steps?: number },
): Promise<FrozenRow> {
  const found = FROZEN_SIZES[size];
  if (found === undefined) {
    throw new Error(`Cannot measure ${size}: wanted ${Object.keys(FROZEN_SIZES).join(" or ")}`);
  }
  const { config, tied, batch } = found,
    head = targetHead(config),
    shape = { batch, length: LENGTH };
  const before = peakMemory(), recipe = { ...DEFAULT_RECIPE, passes: PASSES };
  const program = trainingProgram(config, { recipe, shape, frozen });
  using executable = await backend.compile(program);
  // One matrix under two names, as training holds it.
  const { [head]: _, ...others } = program.inputs;
  const inputs = randomInputs(backend, tied ? { ...program, inputs: others } : program);
  inputs[head] ??= inputs[EMBEDDING];
  const held = new Set([EMBEDDING, head].map((name) => inputs[name].host!));
  const times: number[] = [];
  for (let i = 0; i < steps + 2; i++) {
    const began = performance.now();
    await executable.run(inputs);
    if (i >= 2) times.push(performance.now() - began);
  }
  return {
    size,
    frozen,
    heldBytes: [...held].reduce((sum, x) => sum + x.byteLength, 0),
    peakBytes: peakMemory() - before,
    ms: median(times),
  };
}
