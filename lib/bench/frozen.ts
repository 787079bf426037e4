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
import { peakMemory } from "./memory.ts";
import { median } from "./timing.ts";
import { randomInputs } from "./training.ts";

/** Passes and rows of the step: GRIFFIN's last one, a batch of the default size. */
const SHAPE = { passes: 3, batch: 4, length: 256 };

const common = { positions: 2048, epsilon: 1e-6, ropeTheta: 10000, headSize: 64 };
const griffin = { fusion: "tgf", head: "dual" } as const;

/** Drafts by vocabulary and width: that of the shipped target, and one of a target of 1-2 B parameters. */
export const FROZEN_SIZES: Record<string, { config: DraftConfig; tied: boolean }> = {
  "V 4096, D 512, tied": {
    tied: true,
    config: {
      ...common,
      ...griffin,
      width: 512,
      inner: 704,
      heads: 8,
      kvHeads: 4,
      vocabulary: 4096,
    },
  },
  "V 32000, D 1024": {
    tied: false,
    config: {
      ...common,
      ...griffin,
      width: 1024,
      inner: 2816,
      heads: 16,
      kvHeads: 16,
      vocabulary: 32000,
    },
  },
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
  { size, frozen, steps = 5 }: { size: string; frozen: FrozenType; steps?: number },
): Promise<FrozenRow> {
  const found = FROZEN_SIZES[size];
  if (found === undefined) {
    throw new Error(`Cannot measure ${size}: wanted ${Object.keys(FROZEN_SIZES).join(" or ")}`);
  }
  const { config, tied } = found, head = targetHead(config), { passes, ...shape } = SHAPE;
  const before = peakMemory(), recipe = { ...DEFAULT_RECIPE, passes };
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
