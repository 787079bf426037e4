/** `deno task plan`: what a target and its draft need in memory, on disk and in time, before anything is loaded. */
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Device, openBackend } from "../backend/choose.ts";
import { measureMachine } from "../bench/machine_rates.ts";
import {
  countTarget,
  featureBytes,
  largest,
  type Need,
  planDecoding,
  planTraining,
  totalBytes,
} from "../bench/plan.ts";
import type { Program } from "../graph/program.ts";
import { isInSnapshot } from "../hub/cache.ts";
import type { RemoteFile } from "../hub/listing.ts";
import { nameOfFolder, remoteModel } from "../hub/model.ts";
import { modelNameOf } from "../hub/name.ts";
import { hubSettings } from "../hub/settings.ts";
import { CPU_POOL, programBlocks } from "./temporaries.ts";
import { readJson } from "../io/json.ts";
import { readTargetConfig } from "../model/config.ts";
import { formatTable } from "../report/table.ts";
import { type Command, type Option, runCommand } from "./command.ts";
import { DECODING_OPTIONS, DEVICE_OPTION } from "./decoding_options.ts";
import { draftConfigOf, recipesOf, TRAINING_OPTIONS } from "./training_options.ts";
import type { Bits } from "../model/quantize.ts";

/** Bytes a value has in published files, by what `config.json` calls its type. */
const FILE_BYTES: Record<string, number> = { float32: 4, float16: 2, bfloat16: 2 };

const whole = (describe: string, value: number, minimum = 1) =>
  ({ type: "integer", minimum, default: value, describe }) as const satisfies Option;

const options = {
  target: {
    type: "string",
    default: "data/target",
    describe:
      "a folder with config.json, or that file, or ORG/NAME[@REVISION]; weights need not be there",
    model: "texts",
  },
  device: DEVICE_OPTION,
  "target-bits": {
    ...DECODING_OPTIONS["target-bits"],
    describe: "of its matrices; 32: on a GPU 16, where files hold no more",
  },
  context: whole("positions, prompt and reply together", 4096, 64),
  nodes: whole("nodes of a tree", 60),
  batch: whole("examples of an update", 1),
  length: whole("tokens of an example", 2048, 8),
  frozen: {
    type: "string",
    choices: ["f32", "f16"],
    default: "f32",
    describe: "embedding and LM head while training",
  },
  conversations: whole("of training data", 68000),
  tokens: whole("of a conversation", 500),
  memory: { type: "number", minimum: 0, describe: "GiB that may be used [what is free here]" },
  ...TRAINING_OPTIONS,
} as const satisfies Command<Record<string, Option>>["options"];

const size = (bytes: number) =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
const time = (seconds: number) =>
  seconds >= 1 ? `${seconds.toFixed(1)} s` : `${(1000 * seconds).toFixed(1)} ms`;

/** What is still to come of a model of the hub; `undefined` of other folders, and where the hub cannot be asked. */
async function downloadOf(folder: string): Promise<string | undefined> {
  const name = modelNameOf(nameOfFolder(folder));
  if (name === undefined || hubSettings().offline) return undefined;
  const remote = await remoteModel(name).catch((cause) => console.error(cause.message));
  if (!remote) return undefined;
  const { files, values = {} } = remote;
  const sum = (some: readonly RemoteFile[]) => size(some.reduce((n, file) => n + file.size, 0));
  const missing = files.filter((file) => !isInSnapshot(folder, file));
  const held = Object.entries(values).map(([type, n]) => `, ${(n / 1e9).toFixed(2)} B as ${type}`);
  return `${sum(missing)} (${missing.length} files of ${files.length}, ${sum(files)}${
    held.join("")
  })`;
}

await runCommand({
  name: "plan",
  summary: "say what decoding and training need in memory, on disk and in time, and what fits",
  options,
}, async (options, { say, result }) => {
  const given = options.target;
  const folder = existsSync(given) && statSync(given).isFile() ? dirname(given) : given;
  const config = await readTargetConfig(folder), json = await readJson(join(folder, "config.json"));
  const context = Math.min(options.context, config.positions);
  const draft = draftConfigOf(options, { config, identity: "unknown", folder });
  const recipe = recipesOf(options).at(-1)!, bits = Number(options["target-bits"]) as Bits;
  const { backend, kind, reason } = await openBackend(options.device as Device);
  using resources = new DisposableStack();
  resources.use(backend);
  const rates = await measureMachine(backend);
  const held = bits !== 32 && kind === "cpu" ? await measureMachine(backend, { bits }) : rates;
  const temporaries = (program: Program) =>
    programBlocks(program) * (kind === "cpu" ? CPU_POOL : 1);
  const type = String(json.dtype ?? json.torch_dtype ?? "float16");
  const half = kind === "webgpu" && type !== "float32";
  const decoding = (positions: number) =>
    planDecoding(config, {
      ...{ draft, bits, half, context: positions, nodes: options.nodes, temporaries },
    });
  const training = (batch: number) =>
    planTraining(config, {
      ...{ draft, recipe, batch, length: options.length, temporaries },
      frozen: options.frozen as "f32" | "f16",
    });
  const decode = decoding(context), train = training(options.batch);
  const free = options.memory === undefined
    ? kind === "cpu" ? Deno.systemMemoryInfo().available : undefined
    : options.memory * 2 ** 30;
  const parameters = countTarget(config);
  const tokens = options.conversations * options.tokens, { width } = config;
  say(
    `${config.family}, ${(parameters / 1e9).toFixed(2)} B parameters; draft ${
      (train.parameters / 1e9).toFixed(3)
    } B; ${reason}`,
  );
  const asConfigured = () => `${size(parameters * (FILE_BYTES[type] ?? 2))} as ${type}`;
  say(`download: ${await downloadOf(folder) ?? asConfigured()}\n`);
  const table = (title: string, needs: readonly Need[]) =>
    say(`${
      formatTable([
        [title, "bytes"],
        ...needs.map(({ what, bytes }) => [what, size(bytes)]),
        ["in all", size(totalBytes(needs))],
      ])
    }\n`);
  const verdict = (needs: readonly Need[], most: string) =>
    free === undefined
      ? "WebGPU does not tell how much memory a card has: --memory GIB says it\n"
      : totalBytes(needs) <= free
      ? `fits into ${size(free)}; ${most}\n`
      : `does not fit into ${size(free)}; ${most}\n`;
  table("decoding", decode.needs);
  const fitsAt = (positions: number) =>
    free !== undefined && totalBytes(decoding(positions).needs) <= free;
  const positions = free === undefined ? undefined : largest(config.positions, fitsAt);
  say(
    verdict(
      decode.needs,
      positions ? `the longest context that does: ${positions}` : "no context does",
    ),
  );
  table(`training, ${recipe.passes} passes`, train.needs);
  const fitsBatch = (n: number) => free !== undefined && totalBytes(training(n).needs) <= free;
  const batch = free === undefined ? undefined : largest(8, fitsBatch);
  const shape = `examples of ${options.length} tokens`;
  say(
    verdict(
      train.needs,
      batch ? `${batch === 8 ? "8 or more" : batch} ${shape} at a time do` : `no ${shape} do`,
    ),
  );
  const features = featureBytes(tokens, { width });
  const token = Math.max(
    decode.readBytes / held.bytesPerSecond,
    decode.tokenFlops / held.flopsPerSecond,
  );
  const verify = Math.max(token, decode.verifyFlops / held.flopsPerSecond);
  const update = train.flops / rates.flopsPerSecond;
  say(formatTable([
    ["on disk and in time", "", "from"],
    [
      `features of ${options.conversations} conversations of ${options.tokens} tokens`,
      size(features),
      "f16",
    ],
    [
      "the same in 8 bits",
      size(featureBytes(tokens, { width, storage: "i8" })),
      "i8; --features online stores none",
    ],
    ["a plain token", time(token), `${(held.bytesPerSecond / 1e9).toFixed(1)} GB/s measured here`],
    [
      `verifying ${options.nodes} nodes`,
      time(verify),
      `${(held.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s measured here`,
    ],
    [
      `an update of ${options.batch} x ${options.length} tokens`,
      time(update),
      `${(rates.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s in f32`,
    ],
  ]));
  result({
    parameters,
    draft: train.parameters,
    ...{ decoding: decode, training: train, rates, free },
    largest: { context: positions, batch },
    seconds: { token, verify, update },
    features,
  });
});
