/**
 * What a GRIFFIN step of P passes on T tokens needs: peak memory and time, each in a process of its own, since a
 * process does not give back what it once had. The claim: scores grow with T^2 + P T, not with P T^2.
 */
import type { Backend } from "../backend/backend.ts";
import type { DraftConfig } from "../model/config.ts";
import { DEFAULT_RECIPE } from "../train/recipe.ts";
import { trainingProgram } from "../train/step.ts";
import { peakMemory } from "./peak.ts";
import { randomInputs } from "./training.ts";

/** The draft that is measured: small beside its scores, of which each head has T by T. */
const CONFIG: DraftConfig = {
  width: 256,
  inner: 688,
  heads: 16,
  kvHeads: 16,
  headSize: 16,
  vocabulary: 512,
  positions: 2048,
  epsilon: 1e-6,
  ropeTheta: 10000,
  fusion: "tgf",
  head: "dual",
};

export const MEMORY_PASSES = [1, 2, 3, 4, 5], MEMORY_LENGTHS = [256, 512, 1024, 2048];

/** Measured in one process. */
export interface MemoryRow {
  passes: number;
  length: number;
  /** Peak resident memory beyond that before the Program was made, bytes. */
  bytes: number;
  ms: number;
}

/** Makes three steps of P passes on one example of T tokens. Call it once a process. */
export async function measureMemory(
  backend: Backend,
  { passes, length }: { passes: number; length: number },
): Promise<MemoryRow> {
  const before = peakMemory(), recipe = { ...DEFAULT_RECIPE, passes };
  const program = trainingProgram(CONFIG, { recipe, shape: { batch: 1, length } });
  using executable = await backend.compile(program);
  const inputs = randomInputs(backend, program), times: number[] = [];
  (inputs.ids.host as Int32Array).forEach((id, i, ids) => ids[i] = id % CONFIG.vocabulary);
  for (let i = 0; i < 3; i++) {
    const began = performance.now();
    await executable.run(inputs);
    times.push(performance.now() - began);
  }
  return { passes, length, bytes: peakMemory() - before, ms: Math.min(...times) };
}

/** Least squares for bytes = a + b T^2 + c P T + d P T^2; a step that keeps every pass's scores has d near b. */
export function fitMemory(
  rows: readonly MemoryRow[],
): [a: number, b: number, c: number, d: number] {
  const terms = ({ passes: p, length: t }: MemoryRow) => [1, t * t, p * t, p * t * t];
  // Columns are scaled to 1 at the largest row, so that the normal equations are well conditioned.
  const scale = [0, 1, 2, 3].map((i) => Math.max(...rows.map((r) => terms(r)[i])));
  const x = rows.map((r) => terms(r).map((value, i) => value / scale[i]));
  const m = [0, 1, 2, 3].map((i) => [
    ...[0, 1, 2, 3].map((j) => x.reduce((s, row) => s + row[i] * row[j], 0)),
    x.reduce((s, row, n) => s + row[i] * rows[n].bytes, 0),
  ]);
  for (let i = 0; i < 4; i++) {
    for (let k = 0; k < 4; k++) {
      if (k === i) continue;
      const by = m[k][i] / m[i][i];
      for (let j = i; j < 5; j++) m[k][j] -= by * m[i][j];
    }
  }
  return m.map((row, i) => row[4] / row[i] / scale[i]) as [number, number, number, number];
}
