/**
 * How quick a backend is on this machine: operations of a large product a second, bytes of weights read a second. Two
 * short measurements, from which `deno task plan` says how long something takes before it is tried.
 */
import type { Backend } from "../backend/backend.ts";
import * as ops from "../graph/ops.ts";
import { program } from "../graph/program.ts";
import { median } from "./timing.ts";

/** Rates of a backend. */
export interface MachineRates {
  flopsPerSecond: number;
  bytesPerSecond: number;
}

/** Milliseconds of [rows, inner] times a bound matrix [inner, inner], transposed as weights lie. */
async function timeProduct(
  backend: Backend,
  { rows, inner, runs }: { rows: number; inner: number; runs: number },
): Promise<number> {
  const values = (size: number) => Float32Array.from({ length: size }, (_, i) => (i % 13) / 13);
  using weight = backend.tensor(values(inner * inner), [inner, inner]);
  using x = backend.tensor(values(rows * inner), [rows, inner]);
  const product = ops.matmul(ops.input("x", x.shape), ops.input("w", weight.shape), {
    transB: true,
  });
  // A single number comes back, so that reading it costs next to nothing.
  const one = ops.sum(ops.slice(product, [0, 0], [1, 1]));
  using run = await backend.compile(program({ one, product }), { weights: { w: weight } });
  const times: number[] = [];
  for (let i = 0; i <= runs; i++) {
    const began = performance.now();
    await (await run.run({ x })).one.read();
    if (i > 0) times.push(performance.now() - began);
  }
  return median(times);
}

/** Measures a backend; some seconds on a software adapter, less elsewhere. */
export async function measureMachine(
  backend: Backend,
  { inner = 2048, rows = 256, runs = 5 }: { inner?: number; rows?: number; runs?: number } = {},
): Promise<MachineRates> {
  const large = await timeProduct(backend, { rows, inner, runs });
  const small = await timeProduct(backend, { rows: 1, inner, runs });
  return {
    flopsPerSecond: 2 * rows * inner * inner / large * 1000,
    bytesPerSecond: 4 * inner * inner / small * 1000,
  };
}
