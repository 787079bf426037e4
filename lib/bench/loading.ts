/**
 * What loading a target takes: bytes of its files, bytes held, and how far resident memory rose while it was loaded
 * and while its first Programs were compiled and run. One target a process, since a process keeps its peak. Called by
 * `deno task bench loading`.
 */
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { TargetDecoder } from "../decode/target.ts";
import { bytesOfValue } from "../graph/count.ts";
import { sizeOf } from "../graph/node.ts";
import { openCheckpoint } from "../io/checkpoint.ts";
import { readJson } from "../io/json.ts";
import { targetShapes } from "../model/llama.ts";
import { loadTarget } from "../model/load.ts";
import { peakMemory } from "./peak.ts";

export const LOADING_BITS = [32, 8, 4] as const;
export type LoadingBits = typeof LOADING_BITS[number];

/** Measured in one process. Bytes and milliseconds. */
export interface LoadingRow {
  bits: LoadingBits;
  fileBytes: number;
  heldBytes: number;
  /** Of the weight that is largest in f32: one is converted at a time. */
  largestBytes: number;
  /** Peak of resident memory beyond that before: while loading, and until forwards of 1 and 8 rows had run. */
  loadPeak: number;
  runPeak: number;
  loadMs: number;
}

/** Bytes of the weight files of a folder. */
async function bytesOfFiles(path: string): Promise<number> {
  if (!path.endsWith(".index.json")) return statSync(path).size;
  const { weight_map } = await readJson(path);
  const files = new Set(Object.values(weight_map as Record<string, string>));
  return [...files].reduce((sum, file) => sum + statSync(join(dirname(path), file)).size, 0);
}

/** Loads a target and runs it. Call it once a process. */
export async function measureLoading(
  backend: Backend,
  { folder, bits, context = 1024 }: { folder: string; bits: LoadingBits; context?: number },
): Promise<LoadingRow> {
  const before = peakMemory(), began = performance.now();
  using file = openCheckpoint(folder);
  const target = await loadTarget(folder, { backend, bits, context });
  const loadMs = performance.now() - began, loadPeak = peakMemory() - before;
  using decoder = new TargetDecoder(target, { backend });
  for (const rows of [1, 8]) {
    using cache = decoder.newCache();
    await decoder.forwardChain(new Int32Array(rows), cache);
  }
  const shapes = Object.values(targetShapes(target.config));
  return {
    bits,
    fileBytes: await bytesOfFiles(file.path),
    heldBytes: Object.values(target.weights).reduce((sum, t) => sum + bytesOfValue(t), 0),
    largestBytes: 4 * Math.max(...shapes.map(sizeOf)),
    loadPeak,
    runPeak: peakMemory() - before,
    loadMs,
  };
}
