/** `deno task bench kernels`: every kernel at the shapes of training and decoding, beside jax-js. Called by `bench.ts`. */
import { join } from "node:path";
import { openWebGpuBackend } from "../backend/webgpu/backend.ts";
import { measureRates, timeRepeated } from "../bench/gpu_rates.ts";
import { type KernelCase, kernelCases, timeCase } from "../bench/kernels.ts";
import { JAX_JS, openPeer, type Peer, PEERS } from "../bench/peers.ts";
import { formatTable } from "../report/table.ts";
import type { Io } from "./command.ts";

/** A row of the result; rates in GFLOP/s and GB/s, shares of what the adapter measured. */
export interface KernelRow {
  kernel: string;
  shape: string;
  ms: number;
  gflops?: number;
  gbytes: number;
  share: number;
  inStep: number;
  peerMs?: number;
}

async function peerTime(peer: Peer, { peer: call, inputs, ...one }: KernelCase) {
  if (call === undefined) return undefined;
  const { op, ...choices } = call, job = `${one.kernel} ${one.shape}`;
  const shapes = Object.fromEntries(Object.entries(inputs).map(([n, { shape }]) => [n, shape]));
  await peer.ask({ op: "open", job, call: op, shapes, ...choices });
  return await timeRepeated((times) => peer.ask({ op: "run", job, times }));
}

const cell = (x: number | undefined, digits = 1) => x === undefined ? "" : x.toFixed(digits);

export async function benchKernels(
  { say, signal, vs }: Pick<Io, "say" | "signal"> & { vs: boolean },
): Promise<{ adapter: string; rows: KernelRow[]; [rate: string]: unknown }> {
  using backend = await openWebGpuBackend();
  const { device, adapter } = backend, wait = () => device.queue.onSubmittedWorkDone();
  const rates = await measureRates(device);
  say(
    `${adapter}: copies ${(rates.bytesPerSecond / 1e9).toFixed(1)} GB/s, ` +
      `${(rates.flopsPerSecond / 1e9).toFixed(1)} GFLOP/s of multiplications that are added`,
  );
  const flags = ["run", "-A", "--no-check", "--no-config", "--no-lock"];
  const script = [...flags, join(PEERS, "jax_js_kernels.ts"), JAX_JS];
  await using peer = vs ? await openPeer(Deno.execPath(), script) : undefined;
  const rows: KernelRow[] = [];
  for (const one of kernelCases()) {
    if (signal.aborted) break;
    const { kernel, shape, flops, bytes, inStep } = one;
    const ms = await timeCase(backend, one, { wait });
    const perSecond = (n: number) => n / ms * 1000;
    const share = Math.max(
      perSecond(flops) / rates.flopsPerSecond,
      perSecond(bytes) / rates.bytesPerSecond,
    );
    rows.push({
      ...{ kernel, shape, ms, gbytes: perSecond(bytes) / 1e9, share, inStep },
      ...(flops > 0 && { gflops: perSecond(flops) / 1e9 }),
      ...(peer && { peerMs: await peerTime(peer, one) }),
    });
  }
  say(formatTable([
    ["kernel", "shape", "ms", "GFLOP/s", "GB/s", "share", ...(peer ? [peer.name, "ratio"] : [])],
    ...rows.map((r) => [
      ...[r.kernel, r.shape, cell(r.ms, 2), cell(r.gflops), cell(r.gbytes, 2)],
      `${(100 * r.share).toFixed(0)} %`,
      ...(peer ? [cell(r.peerMs, 2), cell(r.peerMs && r.ms / r.peerMs, 2)] : []),
    ]),
  ]));
  const both = rows.filter((r) => r.peerMs !== undefined && r.inStep > 0);
  if (both.length > 0) {
    const sum = (of: (r: KernelRow) => number) => both.reduce((n, r) => n + r.inStep * of(r), 0);
    const ours = sum((r) => r.ms), theirs = sum((r) => r.peerMs!);
    say(
      `over a training step's calls: ${ours.toFixed(0)} ms, ${peer!.name} ${
        theirs.toFixed(0)
      } ms, ` +
        `ratio ${(ours / theirs).toFixed(2)}`,
    );
  }
  return { adapter, ...rates, rows };
}
