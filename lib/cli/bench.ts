/** `deno task bench WHAT`: times, memory and traffic to compare, with what they are made of. */
import { join } from "node:path";
import { existsSync } from "node:fs";
import { type OnnxBackend, openOnnxBackend } from "../backend/onnx/backend.ts";
import { draftForwards, targetForwards } from "../bench/decoding.ts";
import { featureSources } from "../bench/features.ts";
import { type FrozenRow, measureFrozen } from "../bench/frozen.ts";
import {
  fitMemory,
  measureMemory,
  MEMORY_LENGTHS,
  MEMORY_PASSES,
  type MemoryRow,
} from "../bench/memory.ts";
import { openPeer, type Peer } from "../bench/peers.ts";
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
import { timeInTurn } from "../bench/timing.ts";
import { type FrozenType, loadTarget, readDraft } from "../model/load.ts";
import { readEnvironment } from "../report/environment.ts";
import { formatTable } from "../report/table.ts";
import { benchChat } from "./bench_chat.ts";
import { benchEndurance } from "./bench_endurance.ts";
import { benchAttention } from "./bench_attention.ts";
import { benchKernels } from "./bench_kernels.ts";
import { benchFrozen } from "./bench_frozen.ts";
import { benchRounds } from "./bench_rounds.ts";
import { benchSpeed } from "./bench_speed.ts";
import { benchTree, TREE_OPTIONS } from "./bench_tree.ts";
import { type Io, runCommand } from "./command.ts";
import { DRAFT_OPTION, TARGET_OPTION } from "./models.ts";

const PEERS = join(import.meta.dirname!, "../../tests/peers");
/** The version that was timed; it is fetched when first asked for and is no dependency of the project. */
const JAX_JS = "npm:@jax-js/jax@0.1.25";

interface Job extends TrainingJob {
  tokens: number;
  flops?: number;
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

async function training(
  backend: OnnxBackend,
  { say, rounds, python }: Pick<Io, "say"> & { rounds: number; python?: string },
) {
  const peers = python === undefined ? [] : await openPeers(python, { say });
  const rows: (JobTiming & { tokens_per_second: number; gflops?: number })[] = [];
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

async function decoding(
  backend: OnnxBackend,
  { say, rounds, target: folder, draft: trained }: Pick<Io, "say"> & {
    rounds: number;
    target: string;
    draft: string;
  },
) {
  const target = await loadTarget(folder, { backend });
  const rounded = await loadTarget(folder, { backend, bits: 8 });
  const draft = await readDraft(trained, { target });
  const exact = await targetForwards(target, { backend });
  const quick = await targetForwards(rounded, { backend });
  const candidates = [
    ...exact.flatMap((forward, i) => [forward, quick[i]]),
    ...await draftForwards(draft, { backend, target }),
  ];
  const timings = await timeInTurn(candidates, { rounds }), plain = timings[0].median;
  const rows = timings.map((t) => ({ ...t, plain_tokens: t.median / plain }));
  say(formatTable([
    ["forward behind 200 tokens", "median ms", "min ms", "in plain tokens"],
    ...rows.map(({ name, median, minimum, plain_tokens }) => [
      name,
      median.toFixed(2),
      minimum.toFixed(2),
      plain_tokens.toFixed(2),
    ]),
  ]));
  return rows;
}

/** A row measured in a process of its own: this task again, told to measure one thing. */
async function measured<Row>(what: string, measure: string): Promise<Row> {
  const own = ["run", "--quiet", "--allow-read", "--allow-write", "--allow-env", "--allow-ffi"];
  const more = ["--allow-sys", "--allow-run", import.meta.filename!, what, "--measure", measure];
  const child = new Deno.Command(Deno.execPath(), {
    args: [...own, ...more, "--json"],
    stderr: "inherit",
  });
  const { stdout, success } = await child.output();
  if (!success) throw new Error(`Cannot measure ${measure} (${what})`);
  return JSON.parse(new TextDecoder().decode(stdout)).row;
}

async function memory({ say }: Pick<Io, "say">): Promise<MemoryRow[]> {
  const rows: MemoryRow[] = [];
  for (const length of MEMORY_LENGTHS) {
    for (const passes of MEMORY_PASSES) {
      rows.push(await measured<MemoryRow>("memory", `${passes},${length}`));
    }
  }
  const at = (length: number, passes: number) =>
    rows.find((r) => r.length === length && r.passes === passes)!;
  say(formatTable([
    ["MB (ms) a step", ...MEMORY_PASSES.map((p) => `${p} pass${p > 1 ? "es" : ""}`)],
    ...MEMORY_LENGTHS.map((length) => [
      `T ${length}`,
      ...MEMORY_PASSES.map((passes) => {
        const { bytes, ms } = at(length, passes);
        return `${(bytes / 1e6).toFixed(0)} (${ms.toFixed(0)})`;
      }),
    ]),
  ]));
  const [a, b, c, d] = fitMemory(rows);
  say(
    `fit: ${(a / 1e6).toFixed(0)} MB + ${b.toFixed(0)} T^2 + ${c.toFixed(0)} P T + ` +
      `${d.toFixed(0)} P T^2 bytes`,
  );
  return rows;
}

async function features(
  backend: OnnxBackend,
  { say, rounds, target: folder, data }: Pick<Io, "say"> & {
    rounds: number;
    target: string;
    data: string;
  },
) {
  const target = await loadTarget(folder, { backend }), train = join(data, "train");
  const source = existsSync(train) ? { data: train } : {};
  const rows = await featureSources(target, { backend, rounds: Math.min(rounds, 5), ...source });
  const share = (x: number) => Number.isFinite(x) ? `${(100 * x).toFixed(2)} %` : "";
  say(formatTable([
    ["features", "tokens/s", "bytes a token", "row error", "row error, taps"],
    ...rows.map((r) => [
      r.name,
      r.tokensPerSecond.toFixed(0),
      r.bytesPerToken.toFixed(0),
      share(r.featureError),
      share(r.tappedError),
    ]),
  ]));
  return rows;
}

await runCommand({
  name: "bench",
  summary: "time a training step (--vs: beside PyTorch and jax-js), forwards while decoding, the " +
    "memory of a step, what frozen matrices in f16 save of it, where features come from, trees of all sizes " +
    "and the one that sizes itself, memory over thousands of decoded tokens, the GPU's kernels, a step on a " +
    "device with the kernels of its attention and without, rounds on the GPU beside the host's, or a chat " +
    "server under load",
  options: {
    what: {
      type: "string",
      choices: [
        ...["training", "decoding", "memory", "frozen", "features", "tree", "endurance", "kernels"],
        ...["attention", "rounds", "chat"],
      ],
      positional: true,
      default: "training",
      describe: "what to measure",
    },
    vs: { type: "boolean", describe: "time other frameworks in turn with ours" },
    python: { type: "string", default: "python3", describe: "a Python with torch and safetensors" },
    target: TARGET_OPTION,
    draft: DRAFT_OPTION,
    data: { type: "string", default: "runs/data", describe: "folder made by deno task data" },
    rounds: { type: "integer", minimum: 1, default: 15, describe: "timed runs of each" },
    total: { type: "integer", minimum: 10, default: 10000, describe: "new tokens (endurance)" },
    clients: { type: "integer", minimum: 2, default: 50, describe: "simulated clients (chat)" },
    minutes: { type: "integer", minimum: 1, default: 10, describe: "of traffic (chat)" },
    measure: {
      type: "string",
      describe: "passes,tokens (memory) or type,size (frozen): only this, in this process",
    },
    ...TREE_OPTIONS,
  },
}, async (options, { say, result, signal }) => {
  const { what } = options;
  if (what === "kernels") {
    const jax = options.vs ? { url: JAX_JS, peers: PEERS } : undefined;
    const measured = await benchKernels({ say, signal, jax });
    result({ what, ...measured, environment: await readEnvironment({ backend: "webgpu" }) });
    return;
  }
  if (what === "rounds" || what === "attention") {
    const rows = what === "rounds"
      ? await benchRounds({ ...options, say })
      : await benchAttention({ say, signal });
    result({ what, rows, environment: await readEnvironment({ backend: "webgpu" }) });
    return;
  }
  using backend = await openOnnxBackend();
  const environment = await readEnvironment({ backend: backend.name });
  if (options.measure !== undefined) {
    const [first, ...rest] = options.measure.split(",");
    const row = what === "frozen"
      ? await measureFrozen(backend, { frozen: first as FrozenType, size: rest.join(",") })
      : await measureMemory(backend, { passes: Number(first), length: Number(rest[0]) });
    result({ what, row, environment });
    return;
  }
  say(`${environment.cores} cores, ${environment.cpu}; ONNX Runtime ${backend.version}, f32`);
  const python = options.vs ? options.python : undefined, shared = { ...options, say };
  const rows = what === "training"
    ? await training(backend, { ...shared, python })
    : what === "decoding"
    ? options.vs
      ? await benchSpeed(backend, { ...shared, rounds: options.repetitions })
      : await decoding(backend, shared)
    : what === "memory"
    ? await memory(shared)
    : what === "frozen"
    ? await benchFrozen((which) => measured<FrozenRow>("frozen", which), shared)
    : what === "features"
    ? await features(backend, shared)
    : what === "endurance"
    ? await benchEndurance(backend, { ...shared, signal })
    : what === "chat"
    ? await benchChat({ ...shared, signal })
    : await benchTree(backend, { ...shared, signal, environment });
  result({ what, rows, environment });
});
