/**
 * `deno task bench real-size`: a target of a published shape with random weights goes the whole way in 8 bits: written,
 * prompts answered, a draft trained, both decoded. Each stage is a task in a process of its own, watched, and done
 * once; beside what it took stands what the plan says. Called by `bench.ts`.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { measureMachine } from "../bench/machine_rates.ts";
import { planData, planDecoding, planTraining, totalBytes } from "../bench/plan.ts";
import { watchDeno } from "../bench/watched.ts";
import { openExamples } from "../data/features.ts";
import type { Program } from "../graph/program.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJson } from "../io/json.ts";
import { type DraftConfig, draftSizes, readTargetConfig } from "../model/config.ts";
import { DEFAULT_RECIPE } from "../train/recipe.ts";
import { formatTable } from "../report/table.ts";
import { openRealTarget, REAL_SIZE, type Shape } from "./bench_loading.ts";
import type { Io } from "./command.ts";
import { CPU_POOL, programBlocks } from "./temporaries.ts";

/** Prompts, new tokens of an answer, positions, tokens of a batch (of which two updates are made), passes. */
const PROMPTS = 8, TOKENS = 16, CONTEXT = 512, ROWS = 512, PASSES = 3;
/** Prompts of the evaluation and their new tokens, plain and drafted; the draft's inner width. */
const ASKED = 2, NEW = 8, INNER = 5632, NODES = 8;

/** A stage, measured, and as planned: seconds of its work without loading, bytes in all. */
export interface StageRow {
  stage: string;
  command?: string;
  seconds: number;
  peakBytes: number;
  plannedBytes?: number;
  /** Seconds of the work that the plan is about, and the plan's. */
  work?: { what: string; seconds: number; planned: number };
}

const ALLOW = ["read", "write", "env", "ffi", "sys", "net", "run=git"].map((a) => `--allow-${a}`);

/** The stages, each of which leaves what the next one reads. */
function commands(out: string, target: string): Record<string, string[]> {
  const eight = ["--target", target, "--target-bits", "8", "--context", `${CONTEXT}`];
  const data = join(out, "data"), draft = join(out, "train", "step-1", "draft");
  return {
    data: [
      ...["data", ...eight, "--out", data, "--count", `${PROMPTS}`, "--validation", "0"],
      ...["--tokens", `${TOKENS}`, "--batch", `${PROMPTS}`, "--greedy", "1"],
    ],
    train: [
      ...["train", "--target", target, "--data", data, "--out", join(out, "train")],
      ...["--passes", `${PASSES}`, "--epochs", "1", "--rows", `${ROWS}`, "--inner", `${INNER}`],
      ...["--frozen", "f16", "--tau-prompts", "0"],
    ],
    eval: [
      ...["eval", ...eight, "--draft", draft, "--count", `${ASKED}`, "--tokens", `${NEW}`],
      ...["--tree", `${NODES}/6/2`, "--out", join(out, "eval")],
    ],
  };
}

const gb = (bytes: number) => (bytes / 1e9).toFixed(2);

/** Rows of all stages; those done before are not done again. */
export async function benchRealSize(
  backend: Backend,
  { say, signal, shape, layers, environment }: Pick<Io, "say" | "signal"> & Shape & {
    environment: unknown;
  },
): Promise<StageRow[]> {
  const out = REAL_SIZE,
    own = join(out, layers ? `${shape}-${layers}` : shape),
    path = join(own, "stages.json");
  const done = existsSync(path) ? (await readJson(path)).rows as StageRow[] : [];
  const rows: StageRow[] = [];
  const keep = async (row: StageRow) => {
    rows.push(row);
    await writeFileAtomic(
      path,
      `${JSON.stringify({ shape, layers, rows, environment }, null, 1)}\n`,
    );
  };
  const before = (stage: string) => done.find((row) => row.stage === stage);
  const began = performance.now(), folder = await openRealTarget(out, { shape, layers });
  const seconds = (performance.now() - began) / 1000;
  await keep(before("target") ?? { stage: "target", seconds, peakBytes: 0 });
  for (const [stage, [task, ...args]] of Object.entries(commands(own, folder))) {
    const known = before(stage);
    if (known !== undefined) {
      await keep(known);
      continue;
    }
    const command = `deno task ${task} ${args.join(" ")}`;
    say(command);
    const script = join(import.meta.dirname!, `${task}.ts`);
    const run = ["run", "--quiet", ...ALLOW, script, ...args, "--json"];
    const watched = await watchDeno(run, { signal });
    const planned = await estimate(stage, { backend, out: own, folder, result: watched.stdout });
    const { peakBytes } = watched;
    await keep({ stage, command, seconds: watched.seconds, peakBytes, ...planned });
  }
  const timed = (work: StageRow["work"]) =>
    work === undefined
      ? ["", "", ""]
      : [work.what, work.seconds.toFixed(2), work.planned.toFixed(2)];
  say(formatTable([
    [`${shape}, 8 bits`, "s", "peak GB", "planned GB", "of which", "s", "planned s"],
    ...rows.map((r) => [
      r.stage,
      r.seconds.toFixed(0),
      r.peakBytes ? gb(r.peakBytes) : "",
      r.plannedBytes ? gb(r.plannedBytes) : "",
      ...timed(r.work),
    ]),
  ]));
  say(`kept in ${path}`);
  return rows;
}

/** What the plan says of a stage that has run, and what it measured itself. */
async function estimate(
  stage: string,
  { backend, out, folder, result }: {
    backend: Backend;
    out: string;
    folder: string;
    result: string;
  },
): Promise<Pick<StageRow, "plannedBytes" | "work">> {
  const config = await readTargetConfig(folder), train = join(out, "data", "train");
  const draft: DraftConfig = {
    ...draftSizes(config, { fusion: "tgf" }),
    ...{ inner: INNER, fusion: "tgf", head: "dual" },
  };
  const temporaries = (program: Program) => CPU_POOL * programBlocks(program);
  const shared = { bits: 8, context: CONTEXT, temporaries } as const;
  const bits = stage === "train" ? 32 : 8, rates = await measureMachine(backend, { bits });
  if (stage === "data") {
    const plan = planData(config, { ...shared, batch: PROMPTS });
    return { plannedBytes: totalBytes(plan.needs) };
  }
  if (stage === "train") {
    const lines = (await Deno.readTextFile(join(out, "train", "step-1", "metrics.jsonl"))).trim();
    const steps = lines.split("\n").map((line) => JSON.parse(line)).filter((e) =>
      e.type === "step"
    );
    const { lengths } = await openExamples(train), batch = Math.ceil(PROMPTS / steps.length);
    const length = Math.max(...lengths), recipe = { ...DEFAULT_RECIPE, passes: PASSES };
    const plan = planTraining(config, {
      ...{ draft, recipe, batch, length, frozen: "f16", temporaries },
    });
    const { ms } = steps[steps.length - 1];
    return {
      plannedBytes: totalBytes(plan.needs),
      work: {
        what: `update ${steps.length}, ${batch} x ${length}`,
        seconds: ms / 1000,
        planned: plan.flops / rates.flopsPerSecond,
      },
    };
  }
  const plan = planDecoding(config, { ...shared, draft, nodes: NODES });
  const { plain_tokens_per_second: rate } = JSON.parse(result);
  return {
    plannedBytes: totalBytes(plan.needs),
    work: {
      what: "a plain token",
      seconds: 1 / rate,
      planned: Math.max(
        plan.readBytes / rates.bytesPerSecond,
        plan.tokenFlops / rates.flopsPerSecond,
      ),
    },
  };
}
