/** `deno task data`: prompts -> the target's own answers -> shards; or shards -> shards stored otherwise. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Device, openBackend } from "../backend/choose.ts";
import { convertShards } from "../data/convert.ts";
import { openExamples } from "../data/features.ts";
import { generateData } from "../data/generate.ts";
import { takePrompts } from "../data/prompts.ts";
import { type Storage, STORAGES } from "../data/storage.ts";
import { checkSampling } from "../decode/sample.ts";
import { loadTarget } from "../model/load.ts";
import type { Bits } from "../model/quantize.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { type Io, runCommand } from "./command.ts";
import { DECODING_OPTIONS, DEVICE_OPTION } from "./decoding_options.ts";
import { TARGET_OPTION } from "./models.ts";
import { Progress } from "./progress.ts";
import { writeDataCommand } from "./run_record.ts";

const PARTS = { train: "train", validation: "validation" } as const;

/** Layers as in "2,4,5". */
function parseTaps(text: string): number[] {
  const taps = text.split(",").map((t) => t.trim()).filter((t) => t !== "").map(Number);
  if (taps.some((t) => !Number.isInteger(t) || t < 0)) {
    throw new Error(`--taps is ${text}, wanted layers with commas, as in 2,4,5`);
  }
  return taps;
}

/** Stores a folder of shards otherwise, or the parts of one that this task made. */
async function convert(
  from: string,
  { out, storage, say, result, ran, signal }: Io & { out: string; storage: Storage },
): Promise<void> {
  const parts = Object.values(PARTS).filter((part) => existsSync(join(from, part)));
  const summary: Record<string, unknown> = {};
  for (const part of parts.length > 0 ? parts : [""]) {
    if (signal.aborted) continue;
    const folder = join(out, part);
    using progress = new Progress(part || from);
    let bytes = 0, examples = 0;
    for await (const event of convertShards(join(from, part), { out: folder, storage, signal })) {
      bytes += event.bytes;
      examples += event.examples;
      progress.update(event.done, { total: event.total, note: `${(bytes / 1e6).toFixed(0)} MB` });
    }
    say(`${folder}: ${examples} examples as ${storage}, ${(bytes / 1e6).toFixed(1)} MB`);
    summary[part || "shards"] = { folder, examples, bytes };
  }
  if (!signal.aborted) await writeDataCommand(out, ran(["out"]));
  result({ storage, ...summary });
}

await runCommand({
  name: "data",
  summary: "let the target answer prompts, and store ids, loss masks and features for training",
  options: {
    target: TARGET_OPTION,
    out: { type: "string", default: "runs/data", describe: "folder for the shards" },
    count: { type: "integer", minimum: 1, default: 4000, describe: "training prompts" },
    validation: { type: "integer", minimum: 0, default: 200, describe: "validation prompts" },
    tokens: {
      type: "integer",
      minimum: 2,
      default: 160,
      describe: "new tokens of an answer at most",
    },
    temperature: { type: "number", minimum: 0, default: 0.7, describe: "of sampled answers" },
    "top-p": { type: "number", default: 0.95, describe: "of sampled answers" },
    greedy: {
      type: "number",
      minimum: 0,
      maximum: 1,
      default: 0.5,
      describe: "share of answers made greedily",
    },
    device: DEVICE_OPTION,
    batch: { type: "integer", minimum: 1, default: 16, describe: "conversations at a time" },
    context: DECODING_OPTIONS.context,
    "target-bits": {
      ...DECODING_OPTIONS["target-bits"],
      describe:
        "target's matrices; a draft trained on features of fewer bits is one for that target",
    },
    seed: { type: "integer", default: 0, describe: "of prompts and answers" },
    storage: {
      type: "string",
      choices: STORAGES,
      default: "f16",
      describe: "of features: 16 bits, 8 bits, or none (train with --features online)",
    },
    taps: {
      type: "string",
      default: "",
      describe: "layers whose inputs are stored too, as in 2,4,5",
    },
    convert: {
      type: "string",
      describe: "make nothing; store the shards of this folder as --storage in --out",
    },
  },
}, async (options, io) => {
  const { say, result, ran, signal } = io;
  const storage = options.storage as Storage;
  if (options.convert !== undefined) {
    return await convert(options.convert, { out: options.out, storage, ...io });
  }
  const sampling = { temperature: options.temperature, topK: 0, topP: options["top-p"] };
  const taps = parseTaps(options.taps);
  checkSampling(sampling);
  const { backend: opened, reason } = await openBackend(options.device as Device);
  using backend = opened;
  if (options.device !== "cpu") say(`device: ${reason}`);
  const { context } = options, bits = Number(options["target-bits"]) as Bits;
  const target = await loadTarget(options.target, { backend, bits, context });
  const tokenizer = await loadTokenizer(options.target);
  const summary: Record<string, unknown> = {};
  for (
    const [part, count] of [["train", options.count], ["validation", options.validation]] as const
  ) {
    if (count === 0 || signal.aborted) continue;
    const folder = join(options.out, PARTS[part]);
    const prompts = takePrompts(part, { count, seed: options.seed });
    using progress = new Progress(part);
    const began = performance.now();
    let tokens = 0;
    const events = generateData(target, prompts, {
      backend,
      tokenizer,
      folder,
      sampling,
      greedyShare: options.greedy,
      maxTokens: options.tokens,
      batch: options.batch,
      seed: options.seed,
      storage,
      taps,
      promptSource: `made, part ${part}`,
      signal,
    });
    for await (const event of events) {
      tokens += event.tokens;
      const rate = tokens / ((performance.now() - began) / 1000);
      progress.update(event.done, { total: event.total, note: `${rate.toFixed(0)} tokens/s` });
    }
    const { lengths } = await openExamples(folder), total = lengths.reduce((a, b) => a + b, 0);
    say(`${folder}: ${lengths.length} examples, ${total} tokens`);
    summary[part] = { folder, examples: lengths.length, tokens: total };
  }
  if (!signal.aborted) await writeDataCommand(options.out, ran(["out"]));
  result({ target: target.identity, ...summary });
});
