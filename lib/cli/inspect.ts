/** `deno task inspect`: what a folder of training data holds, or what a trace of decoding shows. */
import { runCommand } from "./command.ts";
import { inspectData } from "./inspect_data.ts";
import { inspectTrace } from "./inspect_trace.ts";

await runCommand({
  name: "inspect",
  summary:
    "count training data, check their masks, show an example; or show a trace round by round",
  options: {
    data: {
      type: "string",
      default: "runs/data",
      positional: true,
      describe: "folder made by deno task data, one of its folders of shards, or a trace (.jsonl)",
    },
    target: {
      type: "string",
      describe: "target, for its tokenizer: folder or ORG/NAME [the trace's, or data/target]",
      model: "texts",
    },
    example: { type: "integer", minimum: 0, describe: "data: show this example of --set, from 0" },
    set: {
      type: "string",
      default: "train",
      describe: "data: folder of --example: train or validation",
    },
    step: {
      type: "integer",
      minimum: 1,
      default: 32,
      describe: "data: tokens of a line of the lengths",
    },
    out: { type: "string", describe: "trace: the page [the trace's name with .html]" },
  },
}, async ({ data, target, out, ...options }, io) => {
  if (data.endsWith(".jsonl")) await inspectTrace(data, { target, out }, io);
  else await inspectData(data, { target: target ?? "data/target", ...options }, io);
});
