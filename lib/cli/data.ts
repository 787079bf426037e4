/** `deno task data`: prompts -> the target's own answers -> shards of training examples. */
import { join } from "node:path";
import { openOnnxBackend } from "../backend/onnx/backend.ts";
import { openExamples } from "../data/features.ts";
import { generateData } from "../data/generate.ts";
import { takePrompts } from "../data/prompts.ts";
import { checkSampling } from "../decode/sample.ts";
import { loadTarget } from "../model/load.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { runCommand } from "./command.ts";
import { Progress } from "./progress.ts";

const PARTS = { train: "train", validation: "validation" } as const;

await runCommand({
  name: "data",
  summary: "let the target answer prompts, and store ids, loss masks and features for training",
  options: {
    target: { type: "string", default: "data/target", describe: "target folder" },
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
    batch: { type: "integer", minimum: 1, default: 16, describe: "conversations at a time" },
    seed: { type: "integer", default: 0, describe: "of prompts and answers" },
  },
}, async (options, { say, result, signal }) => {
  const sampling = { temperature: options.temperature, topK: 0, topP: options["top-p"] };
  checkSampling(sampling);
  using backend = await openOnnxBackend();
  const target = await loadTarget(options.target, { backend });
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
  result({ target: target.identity, ...summary });
});
