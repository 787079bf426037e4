/** `deno task bench WHAT`: times, memory and traffic to compare, with what they are made of. A bench is a row here. */
import { type OnnxBackend, openOnnxBackend } from "../backend/onnx/backend.ts";
import { measureFrozen } from "../bench/frozen.ts";
import { type LoadingBits, measureLoading } from "../bench/loading.ts";
import { measureMemory } from "../bench/memory.ts";
import { REAL_SHAPES } from "../bench/real_target.ts";
import type { FrozenType } from "../model/load.ts";
import { type Environment, readEnvironment } from "../report/environment.ts";
import { benchAttention } from "./bench_attention.ts";
import { benchBits } from "./bench_bits.ts";
import { benchChat } from "./bench_chat.ts";
import { benchDecoding } from "./bench_decoding.ts";
import { benchEndurance } from "./bench_endurance.ts";
import { benchFeatures } from "./bench_features.ts";
import { benchFrozen } from "./bench_frozen.ts";
import { benchLoading } from "./bench_loading.ts";
import { benchKernels } from "./bench_kernels.ts";
import { benchMemory } from "./bench_memory.ts";
import { benchRealSize } from "./bench_real_size.ts";
import { benchRounds } from "./bench_rounds.ts";
import { benchSpeed } from "./bench_speed.ts";
import { benchTraining } from "./bench_training.ts";
import { benchTree, TREE_OPTIONS } from "./bench_tree.ts";
import { type Io, runCommand, type Values } from "./command.ts";
import { DRAFT_OPTION, TARGET_OPTION } from "./models.ts";

const OPTIONS = {
  vs: { type: "boolean", describe: "time other frameworks in turn with ours" },
  python: { type: "string", default: "python3", describe: "a Python with torch and safetensors" },
  target: TARGET_OPTION,
  draft: DRAFT_OPTION,
  data: { type: "string", default: "runs/data", describe: "folder made by deno task data" },
  rounds: { type: "integer", minimum: 1, default: 15, describe: "timed runs of each" },
  total: { type: "integer", minimum: 10, default: 10000, describe: "new tokens (endurance)" },
  clients: { type: "integer", minimum: 2, default: 50, describe: "simulated clients (chat)" },
  minutes: { type: "integer", minimum: 1, default: 10, describe: "of traffic (chat)" },
  shape: {
    type: "string",
    choices: Object.keys(REAL_SHAPES),
    default: "tinyllama-1.1b",
    describe: "of a target with random weights (loading, real-size)",
  },
  layers: { type: "integer", minimum: 1, describe: "of it [all]" },
  measure: {
    type: "string",
    describe:
      "passes,tokens (memory), type,size (frozen), bits,folder (loading): only this, in this process",
  },
  ...TREE_OPTIONS,
} as const;

/** What every bench is given; each takes what it needs. */
type Given = Values<typeof OPTIONS> & Pick<Io, "say" | "signal">;

/** On the CPU there is one backend, opened for it; benches of a device open theirs, some of them several. */
type Run =
  | {
    on: "cpu";
    run: (backend: OnnxBackend, given: Given & { environment: Environment }) => Promise<unknown>;
  }
  | { on: "device"; run: (given: Given) => Promise<unknown> };

/** A row of the table. */
type Bench = Run & {
  /** Its line of `--help`. */
  describe: string;
  /** Makes one row in this process, where each row needs a process of its own: the words of `--measure`. */
  measure?: (backend: OnnxBackend, words: string[]) => Promise<unknown>;
  /** Its result has fields of its own beside `rows`, and names them itself. */
  fields?: true;
};

const BENCHES: Record<string, Bench> = {
  training: {
    describe: "time of a training step; --vs: beside PyTorch and jax-js",
    on: "cpu",
    run: benchTraining,
  },
  decoding: {
    describe: "time of forwards while decoding; --vs: whole texts beside transformers.js",
    on: "cpu",
    run: (backend, given) =>
      given.vs
        ? benchSpeed(backend, { ...given, rounds: given.repetitions })
        : benchDecoding(backend, given),
  },
  memory: {
    describe: "memory of a training step by passes and tokens",
    on: "cpu",
    run: (_, given) => benchMemory(given),
    measure: (backend, [passes, length]) =>
      measureMemory(backend, { passes: Number(passes), length: Number(length) }),
  },
  loading: {
    describe: "memory and time of loading a target of real size, with random weights",
    on: "cpu",
    run: (_, given) => benchLoading(given),
    measure: (backend, [bits, ...folder]) =>
      measureLoading(backend, { bits: Number(bits) as LoadingBits, folder: folder.join(",") }),
  },
  "real-size": {
    describe: "such a target in few bits the whole way: data, training, decoding; time and memory",
    on: "cpu",
    run: benchRealSize,
  },
  bits: {
    describe: "what a target in 8 and in 4 bits costs in perplexity on suites, and saves in memory",
    on: "cpu",
    run: benchBits,
  },
  frozen: {
    describe: "what frozen matrices in f16 save of that memory",
    on: "cpu",
    run: (_, given) => benchFrozen(given),
    measure: (backend, [frozen, ...size]) =>
      measureFrozen(backend, { frozen: frozen as FrozenType, size: size.join(",") }),
  },
  features: {
    describe: "where features come from, the disk or the target: speed, bytes, error",
    on: "cpu",
    run: benchFeatures,
  },
  tree: {
    describe: "trees of all sizes, and the one that sizes itself",
    on: "cpu",
    run: benchTree,
  },
  endurance: {
    describe: "memory over thousands of decoded tokens",
    on: "cpu",
    run: benchEndurance,
  },
  kernels: {
    describe: "every kernel of the GPU; --vs: beside jax-js",
    on: "device",
    run: benchKernels,
    fields: true,
  },
  attention: {
    describe: "a training step on a device with the kernels of its attention and without",
    on: "device",
    run: benchAttention,
  },
  rounds: {
    describe: "rounds of decoding on the GPU beside the host's",
    on: "device",
    run: benchRounds,
  },
  chat: {
    describe: "a chat server under load",
    on: "cpu",
    run: (_, given) => benchChat(given),
  },
};

const NAMES = Object.keys(BENCHES), WIDE = Math.max(...NAMES.map((name) => name.length));

await runCommand({
  name: "bench",
  summary: [
    "measure one of",
    ...NAMES.map((name) => `  ${name.padEnd(WIDE)}  ${BENCHES[name].describe}`),
  ].join("\n"),
  options: {
    what: {
      type: "string",
      choices: NAMES,
      positional: true,
      default: "training",
      describe: "what to measure",
    },
    ...OPTIONS,
  },
}, async (options, { say, result, signal }) => {
  const { what, measure } = options, bench = BENCHES[what], given = { ...options, say, signal };
  if (measure !== undefined && bench.measure === undefined) {
    const wanted = NAMES.filter((name) => BENCHES[name].measure).join(", ");
    throw new Error(
      `Cannot measure ${measure} alone: it is asked of ${what}, wanted one of ${wanted}`,
    );
  }
  const tell = (found: unknown, environment: Environment) =>
    result({ what, ...(bench.fields ? found as object : { rows: found }), environment });
  if (bench.on === "device") {
    const found = await bench.run(given);
    return tell(found, await readEnvironment({ backend: "webgpu" }));
  }
  using backend = await openOnnxBackend();
  const environment = await readEnvironment({ backend: backend.name });
  if (measure !== undefined) {
    const row = await bench.measure!(backend, measure.split(","));
    return result({ what, row, environment });
  }
  say(`${environment.cores} cores, ${environment.cpu}; ONNX Runtime ${backend.version}, f32`);
  tell(await bench.run(backend, { ...given, environment }), environment);
});
