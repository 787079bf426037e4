/**
 * The methods section as a program: `deno task reproduce` makes every table and figure that README.md shows, from top
 * to bottom, by the tasks that people use. What is done is skipped, a stopped run goes on at the command it was in
 * (data, trainings and experiments also within it). `--list` prints the commands, `--only NAME` runs some. Results:
 * `runs/reproduce/NAME/1.txt` ... and all of them in `runs/reproduce/results.md`. Ablations with seeds of their own:
 * `experiments/README.md`.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeFileAtomic } from "../lib/mod.ts";

/** A table or sentence with numbers in README.md, and the commands that make them. */
export interface Entry {
  name: string;
  /** What it shows, and how it is measured. */
  says: string;
  /** Heading cells of the table in README.md; a number in a sentence has none. */
  table?: readonly string[];
  /** Words after `deno task`, one command after the other. {OUT}: the entry's folder; others: options of this script. */
  commands: readonly (readonly string[])[];
}

/** The 80-question files of EAGLE and GRIFFIN, which do not ship. */
const SUITES = "ours,{suites}/gsm8k.jsonl,{suites}/humaneval.jsonl";

export const ENTRIES: readonly Entry[] = [
  {
    name: "suites",
    says:
      "tau and speedup of the shipped draft: each prompt decoded plainly and with the draft, in turn; 40 prompts " +
      "of each suite, 128 new tokens, trees sized by measured costs; greedy, then children sampled at temperature 1.",
    table: [
      "suite",
      "temperature",
      "tau",
      "tokens/forwards",
      "speedup",
      "with prefill",
      "identical",
    ],
    commands: [
      ["eval", "--suite", SUITES, "--out", "{OUT}/greedy"],
      ["eval", "--suite", SUITES, "--temperature", "1", "--out", "{OUT}/temperature-1"],
      ["report", "{OUT}/greedy", "--out", "{OUT}/greedy/report"],
      ["report", "{OUT}/temperature-1", "--out", "{OUT}/temperature-1/report"],
    ],
  },
  {
    name: "beside-transformers-js",
    says:
      "Milliseconds a token beside transformers.js on the same weights, prompts and ONNX Runtime, all sides in turn; " +
      "20 prompts three times, prefill left out.",
    table: ["", "side", "ms a token", "over our plain", "over transformers.js", "same text"],
    commands: [["bench", "decoding", "--vs"]],
  },
  {
    name: "tree-size",
    says:
      "Is auto the right size? All sizes of a grid simulated from one recording, the best eight and auto decoded in " +
      "turn; 20 prompts of each suite three times.",
    commands: [["bench", "tree", "--suite", SUITES, "--out", "{OUT}"]],
  },
  {
    name: "endurance",
    says: "Resident memory after 2,000 and after 10,000 new tokens.",
    commands: [["bench", "endurance"]],
  },
  {
    name: "data",
    says:
      "What the methods are trained on: 3000 answers of the shipped target, half of them greedy, and 100 to validate.",
    commands: [[
      "data",
      "--count",
      "3000",
      "--validation",
      "100",
      "--out",
      "runs/reproduce/data/shards",
    ]],
  },
  {
    name: "methods",
    says:
      "Every method at equal training tokens (one epoch of those answers), tau on 80 held-out prompts with two trees; " +
      "intervals over prompts, differences paired.",
    table: [
      "arm",
      "passes",
      "parameters",
      "tau, 8 nodes",
      "against griffin",
      "tau, 60 nodes",
      "against griffin",
    ],
    commands: [
      ["compare", "--data", "runs/reproduce/data/shards", "--out", "{OUT}"],
      ["report", "{OUT}/training_methods", "--out", "{OUT}/report"],
    ],
  },
  {
    name: "ablation-data",
    says: "What the ablations are trained on: 4000 answers of the shipped target.",
    commands: [["data", "--out", "runs/reproduce/ablation-data/shards"]],
  },
  {
    name: "passes",
    says:
      "Does a last step of more passes pay? Three seeds at equal training tokens, tau on 40 held-out prompts; " +
      "intervals over seeds and prompts, differences paired, the paper's table 4 beside them.",
    table: [
      "arm",
      "passes",
      "parameters",
      "tokens",
      "tau",
      "against N=3",
      "paper: tau",
      "paper: against N=3",
    ],
    commands: [
      [
        "experiment",
        "run",
        "passes",
        "--data",
        "runs/reproduce/ablation-data/shards",
        "--out",
        "{OUT}",
      ],
      ["report", "{OUT}/passes", "--out", "{OUT}/report"],
    ],
  },
  {
    name: "8-bit-features",
    says:
      "The first step of GRIFFIN once more, its features read as 8-bit integers; and compared with the one above.",
    commands: [
      [
        "data",
        "--convert",
        "runs/reproduce/data/shards",
        "--storage",
        "i8",
        "--out",
        "{OUT}/shards",
      ],
      ["compare", "--only", "griffin step 1", "--data", "{OUT}/shards", "--out", "{OUT}"],
      [
        "report",
        "compare",
        "runs/reproduce/methods/training_methods",
        "{OUT}/training_methods",
        "--out",
        "{OUT}/report",
      ],
    ],
  },
  {
    name: "training-step",
    says:
      "Median time of a training step beside PyTorch and jax-js, in turn, after all sides were shown to compute the " +
      "same loss and update.",
    table: [
      "step",
      "ours",
      "PyTorch 2.15, CPU",
      "ours / PyTorch",
      "jax-js 0.1.25, wasm",
      "ours / jax-js",
    ],
    commands: [["bench", "training", "--vs", "--python", "{python}"]],
  },
  {
    name: "training-memory",
    says: "Memory of a training step by passes and tokens, each size in a process of its own.",
    table: ["MB", "P = 1", "P = 2", "P = 3", "P = 4", "P = 5"],
    commands: [["bench", "memory"]],
  },
  {
    name: "loading",
    says:
      "Memory of a target of 1.1 B parameters, random weights, as it is loaded and run, each in a process of its own.",
    table: ["1.1 B parameters", "files", "held", "peak, loading", "peak, running", "of held"],
    commands: [["bench", "loading"]],
  },
  {
    name: "real-size",
    says:
      "That target in 8 bits the whole way: time and peak memory of each stage beside the plan's, one run.",
    table: ["stage", "s", "peak GB", "planned GB", "of which", "s measured", "s planned"],
    commands: [["bench", "real-size"]],
  },
  {
    name: "bits",
    says: "Perplexity of the shipped target in 32, 8 and 4 bits on 100 held-out prompts, paired.",
    table: ["target", "MB held", "perplexity", "times that of 32 bits"],
    commands: [["bench", "bits", "--count", "100"]],
  },
];

const ROOT = "runs/reproduce";

/** A word with its places filled; undefined when an option for one was not given. */
function fill(word: string, places: Record<string, string | undefined>): string | undefined {
  let missing = false;
  const filled = word.replace(/\{(\w+)\}/g, (_, name) => {
    missing ||= places[name] === undefined;
    return places[name] ?? "";
  });
  return missing ? undefined : filled;
}

/** The places of a command that have no value, by name. */
export function missingPlaces(
  { commands }: Entry,
  places: Record<string, string | undefined>,
): string[] {
  const named = commands.flat().flatMap((word) =>
    [...word.matchAll(/\{(\w+)\}/g)].map(([, n]) => n)
  );
  return [...new Set(named)].filter((n) => n !== "OUT" && places[n] === undefined);
}

/** The lines that a person would type; unfilled places stand as they are. */
export function commandLines(
  { name, commands }: Entry,
  places: Record<string, string | undefined> = {},
): string[] {
  const all = { ...places, OUT: `${ROOT}/${name}` };
  const quote = (word: string) => /^[\w@%+=:,./{}-]+$/.test(word) ? word : `'${word}'`;
  return commands.map((words) =>
    ["deno", "task", ...words.map((word) => quote(fill(word, all) ?? word))].join(" ")
  );
}

/** What a command printed, under its own line: a file that begins with another line is another command's. */
const stored = (line: string, output: string) => `$ ${line}\n${output}`;

/** Was this command done before? */
async function isDone(path: string, line: string): Promise<boolean> {
  return existsSync(path) && (await readFile(path, "utf8")).startsWith(stored(line, ""));
}

/** Runs a task and returns what it printed; what it says on the way is shown. @throws when it fails. */
async function runTask(words: readonly string[]): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", ...words],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let text = "";
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += part;
    await Deno.stdout.write(new TextEncoder().encode(part));
  }
  const { code } = await child.status;
  if (code !== 0) throw new Error(`deno task ${words.join(" ")} ended with code ${code}`);
  return text;
}

export interface ReproduceOptions {
  /** Names of entries; all where none are given. */
  only?: readonly string[];
  places?: Record<string, string | undefined>;
  entries?: readonly Entry[];
  /** Runs a task and returns what it printed. */
  run?: (words: readonly string[]) => Promise<string>;
  say?: (line: string) => void;
}

/**
 * Runs what is not done yet, in order, in `folder`. An entry that needs an option which was not given is left out.
 * Returns the names of those that were left out or failed; the others are done.
 */
export async function reproduce(
  folder: string,
  { only, places = {}, entries = ENTRIES, run = runTask, say = console.error }: ReproduceOptions =
    {},
): Promise<string[]> {
  const unknown = only?.filter((name) => !entries.some((e) => e.name === name)) ?? [];
  if (unknown.length > 0) {
    const known = entries.map((e) => e.name).join(", ");
    throw new Error(`--only names ${unknown.join(", ")}, wanted some of ${known}`);
  }
  const open: string[] = [];
  for (const entry of entries.filter((e) => only?.includes(e.name) ?? true)) {
    const { name, commands } = entry, missing = missingPlaces(entry, places);
    if (missing.length > 0) {
      say(`${name}: left out, it needs ${missing.map((m) => `--${m}`).join(" and ")}`);
      open.push(name);
      continue;
    }
    const all = { ...places, OUT: `${ROOT}/${name}` }, lines = commandLines(entry, places);
    try {
      for (const [i, words] of commands.entries()) {
        const path = join(folder, name, `${i + 1}.txt`);
        if (await isDone(path, lines[i])) {
          say(`${name}: done before: ${lines[i]}`);
          continue;
        }
        say(`${name}: ${lines[i]}`);
        const output = await run(words.map((word) => fill(word, all)!));
        await writeFileAtomic(path, stored(lines[i], output));
      }
    } catch (cause) {
      say(`${name}: ${(cause as Error).message}; the same command goes on from there`);
      open.push(name);
    }
  }
  await writeFileAtomic(join(folder, "results.md"), await resultsOf(folder, entries));
  return open;
}

/** Everything that has been made so far, as one text. */
async function resultsOf(folder: string, entries: readonly Entry[]): Promise<string> {
  const parts = ["# Results"];
  for (const { name, says, commands } of entries) {
    parts.push(`## ${name}`, says);
    for (let i = 1; i <= commands.length; i++) {
      const path = join(folder, name, `${i}.txt`);
      const text = existsSync(path) ? await readFile(path, "utf8") : "not run yet\n";
      parts.push(text.trimEnd().split("\n").map((line) => `    ${line}`).join("\n"));
    }
  }
  return `${parts.join("\n\n")}\n`;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      list: { type: "boolean", default: false },
      only: { type: "string" },
      suites: { type: "string" },
      python: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const only = values.only?.split(",").map((name) => name.trim());
  const places = { suites: values.suites, python: values.python };
  if (values.help) {
    console.log(`deno task reproduce: make every table that README.md shows; what is done is skipped

  --list           print the commands, run nothing
  --only NAMES     with commas: ${ENTRIES.map((e) => e.name).join(", ")}
  --suites FOLDER  gsm8k.jsonl and humaneval.jsonl, 80 questions each as EAGLE and GRIFFIN use them
  --python PATH    a Python with torch and safetensors`);
  } else if (values.list) {
    for (const entry of ENTRIES.filter((e) => only?.includes(e.name) ?? true)) {
      console.log(`# ${entry.name}: ${entry.says}`);
      console.log(`${commandLines(entry, places).join("\n")}\n`);
    }
  } else {
    try {
      const open = await reproduce(ROOT, { only, places });
      console.log(join(ROOT, "results.md"));
      if (open.length > 0) throw new Error(`not done: ${open.join(", ")}`);
    } catch (cause) {
      console.error(`error: ${(cause as Error).message}`);
      Deno.exit(1);
    }
  }
}
