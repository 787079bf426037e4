/**
 * Bytes of a program's temporaries, from the plan of the device's backend, which reuses blocks: what `lib/bench/plan.ts`
 * is given, which knows no backend. Nothing is allocated.
 */
import { lower } from "../backend/webgpu/lower.ts";
import { plan } from "../backend/webgpu/plan.ts";
import type { Program } from "../graph/program.ts";

/** ONNX Runtime keeps more than a program's values at a time: 1.2 to 2.5 times as much in `deno task bench memory`. */
export const CPU_POOL = 2;

/** Bytes of the blocks that a program's values take in turn. */
export const programBlocks = (program: Program): number =>
  plan(lower(program, { bindings: 16 })).blocks.reduce((a, b) => a + b, 0);
