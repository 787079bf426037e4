/**
 * How quick a backend is on this machine: operations of a large product a second, bytes of weights read a second, in
 * the form in which the weights are held. Two short measurements, from which `deno task plan` says how long something
 * takes before it is tried.
 */
import type { Backend, Params } from "../backend/backend.ts";
import { quantizedMatmul } from "../graph/composites.ts";
import type { HostArray } from "../graph/node.ts";
import * as ops from "../graph/ops.ts";
import { program } from "../graph/program.ts";
import { type Bits, quantBlock, quantize } from "../model/quantize.ts";
import { median } from "./timing.ts";

/** Rates of a backend. */
export interface MachineRates {
  flopsPerSecond: number;
  bytesPerSecond: number;
}

const wave = (size: number) => Float32Array.from({ length: size }, (_, i) => (i % 13 - 6) / 13);

/** Bytes of matrices that a product of few rows reads: more than caches hold, as a large model's. */
const READ_BYTES = 2 ** 28;

/** Milliseconds of [rows, inner] times `count` bound matrices [inner, inner] one after the other, as weights lie. */
async function timeProducts(
  backend: Backend,
  { rows, inner, count, runs, bits }: MeasureOptions & { rows: number; count: number },
): Promise<number> {
  using resources = new DisposableStack();
  const x = resources.use(backend.tensor(wave(rows * inner), [rows, inner])), weights: Params = {};
  const values = wave(inner * inner),
    block = bits === 32 ? 0 : quantBlock({ of: [inner, inner] }, bits);
  const packed = bits === 32 ? undefined : quantize(values, block, bits);
  // Each has a first value of its own: the same matrix twice would be packed, and read, once.
  const own = <A extends Float32Array | Uint8Array>(data: A, i: number): A => {
    const copy = data.slice() as A;
    copy[0] = i;
    return copy;
  };
  const put = (name: string, data: HostArray, shape: number[]) =>
    weights[name] = resources.use(backend.tensor(data, shape));
  const matrix = (i: number) => {
    if (packed === undefined) {
      put(`w${i}`, own(values, i), [inner, inner]);
      return ops.matmul(rowsIn, ops.input(`w${i}`, [inner, inner]), { transB: true });
    }
    const blocks = inner / block, of = [inner, blocks, block * bits / 8];
    put(`w${i}`, own(packed.packed, i), of);
    put(`s${i}`, packed.scales, [inner, blocks]);
    const scale = ops.input(`s${i}`, [inner, blocks]);
    return quantizedMatmul(rowsIn, ops.input(`w${i}`, of, "u8"), scale);
  };
  const rowsIn = ops.input("x", x.shape);
  // A single number of each comes back, so that reading it costs next to nothing.
  const outputs = Object.fromEntries(
    Array.from({ length: count }, (_, i) => {
      const product = matrix(i);
      return [[`one${i}`, ops.sum(ops.slice(product, [0, 0], [1, 1]))], [`y${i}`, product]];
    }).flat(),
  );
  const run = resources.use(await backend.compile(program(outputs), { weights }));
  const times: number[] = [];
  for (let i = 0; i <= runs; i++) {
    const began = performance.now();
    await (await run.run({ x }))[`one${count - 1}`].read();
    if (i > 0) times.push(performance.now() - began);
  }
  return median(times);
}

/** How long, and over what, is measured. */
export interface MeasureOptions {
  /** Width of the matrices. */
  inner: number;
  runs: number;
  /** Of the matrices. */
  bits: Bits;
}

/** Measures a backend; some seconds on a software adapter, less elsewhere. */
export async function measureMachine(
  backend: Backend,
  { inner = 2048, rows = 256, runs = 5, bits = 32, readBytes = READ_BYTES }:
    & Partial<MeasureOptions>
    & { rows?: number; readBytes?: number } = {},
): Promise<MachineRates> {
  const shared = { inner, runs, bits }, bytes = bits / 8 * inner * inner;
  const count = Math.max(1, Math.round(readBytes / bytes));
  const large = await timeProducts(backend, { ...shared, rows, count: 1 });
  const small = await timeProducts(backend, { ...shared, rows: 1, count });
  return {
    flopsPerSecond: 2 * rows * inner * inner / large * 1000,
    bytesPerSecond: count * bytes / small * 1000,
  };
}
