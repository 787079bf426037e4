/** `deno task bench training`: training steps, beside PyTorch and jax-js with `--vs`. Called by `bench.ts`. */
import { join } from "node:path";
import type { OnnxBackend } from "../backend/onnx/backend.ts";
import { JAX_JS, openPeer, type Peer, PEERS } from "../bench/peers.ts";
import {
  GRIFFIN_SIZES,
  griffinProgram,
  griffinSizes,
  stackFlops,
  stackProgram,
  STACKS,
  stackSizes,
} from "../bench/training.ts";
import { type JobTiming, timeJob, type TrainingJob } from "../bench/training_peers.ts";
import { formatTable } from "../report/table.ts";
import type { Io } from "./command.ts";

interface Job extends TrainingJob {
  tokens: number;
  flops?: number;
}

/** Ours beside theirs, in turn; GFLOP/s of stacks. */
interface TrainingRow extends JobTiming {
  tokens_per_second: number;
  gflops?: number;
}

function trainingJobs(): Job[] {
  const stacks = STACKS.map((s): Job => ({
    name: `${s.layers} layer${s.layers > 1 ? "s" : ""}, D ${s.width}, B ${s.batch}, T ${s.length}`,
    kind: "stack",
    sizes: stackSizes(s),
    program: stackProgram(s),
    parameter: "0.q",
    tokens: s.batch * s.length,
    flops: stackFlops(s),
  }));
  const { passes, batch, length } = GRIFFIN_SIZES;
  const griffin: Job = {
    name: `GRIFFIN, ${passes} passes, D 512, B ${batch}, T ${length}`,
    kind: "griffin",
    sizes: griffinSizes(),
    program: griffinProgram(),
    parameter: "fc.fc.weight",
    tokens: batch * length,
  };
  return [...stacks, griffin];
}

/** Starts the other frameworks; one that is not there is named with the way to get it. */
async function openPeers(python: string, { say }: Pick<Io, "say">): Promise<Peer[]> {
  const script = join(PEERS, "pytorch_training.py");
  const jax = ["run", "-A", "--no-check", "--no-config", "--no-lock"];
  const ways: [command: string, args: string[], advice: string][] = [
    [python, [script], "pip install torch safetensors, and --python PATH if it is not python3"],
    [Deno.execPath(), [...jax, join(PEERS, "jax_js_training.ts"), JAX_JS], "npm must be reachable"],
  ];
  const peers: Peer[] = [];
  for (const [command, args, advice] of ways) {
    try {
      peers.push(await openPeer(command, args));
    } catch (cause) {
      say(`skipped: ${(cause as Error).message} (${advice})`);
    }
  }
  return peers;
}

/** Times and prints; `vs`: beside other frameworks, in turn. */
export async function benchTraining(
  backend: OnnxBackend,
  { say, rounds, vs, python }: Pick<Io, "say"> & { rounds: number; vs: boolean; python: string },
): Promise<TrainingRow[]> {
  const peers = vs ? await openPeers(python, { say }) : [];
  const rows: TrainingRow[] = [];
  try {
    for (const job of trainingJobs()) {
      const timing = await timeJob(job, { backend, peers, rounds }), ms = timing.timings[0].median;
      const gflops = job.flops === undefined ? undefined : job.flops / 1e6 / ms;
      rows.push({ ...timing, tokens_per_second: job.tokens / (ms / 1000), gflops });
    }
  } finally {
    for (const peer of peers) await peer[Symbol.asyncDispose]();
  }
  const cells = ({ median, minimum }: { median: number; minimum: number }) =>
    `${median.toFixed(1)} (${minimum.toFixed(1)})`;
  say(formatTable([
    [
      "training step, median ms (minimum)",
      "tokens/s",
      "GFLOP/s",
      "ours",
      ...peers.flatMap(({ name }) => [name, "ours / theirs"]),
    ],
    ...rows.map(({ name, timings: [ours, ...others], tokens_per_second, gflops }) => [
      name,
      tokens_per_second.toFixed(0),
      gflops?.toFixed(0) ?? "",
      cells(ours),
      ...peers.flatMap((peer) => {
        const other = others.find((t) => t.side === peer.name);
        return other === undefined
          ? ["", ""]
          : [cells(other), `${(ours.median / other.median).toFixed(2)}x`];
      }),
    ]),
  ]));
  if (peers.length > 0) say("same loss and updated parameter in the first step: yes, in every row");
  return rows;
}
