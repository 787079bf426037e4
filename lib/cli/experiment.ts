/**
 * `deno task experiment list | run NAME | show NAME`: the experiments of the folder `experiments`, each a
 * `config.ts` and, once run, a `results.json` beside it. What runs is `lib/experiment`.
 */
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { styleText } from "node:util";
import { openOnnxBackend } from "../backend/onnx/backend.ts";
import { openExamples } from "../data/features.ts";
import { checkExperiment, type Experiment, isTrained } from "../experiment/experiment.ts";
import { experimentPage } from "../experiment/page.ts";
import { readResults, type Results } from "../experiment/rows.ts";
import { type ExperimentEvent, heldOutPrompts, runExperiment } from "../experiment/run.ts";
import { summarizeResults } from "../experiment/summary.ts";
import { formatResults, tabulate } from "../experiment/table.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { loadTarget } from "../model/load.ts";
import { readEnvironment } from "../report/environment.ts";
import { renderPage } from "../report/page.ts";
import { formatTable } from "../report/table.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { runCommand } from "./command.ts";
import { TARGET_OPTION } from "./models.ts";
import { Progress } from "./progress.ts";

const FOLDER = resolve(import.meta.dirname!, "../../experiments");

const names = () =>
  readdirSync(FOLDER).filter((name) => existsSync(join(FOLDER, name, "config.ts"))).sort();

/** @throws naming the experiments that there are. */
async function load(name: string | undefined): Promise<Experiment> {
  if (name === undefined || !names().includes(name)) {
    throw new Error(`found ${name ?? "no name"}, wanted an experiment: ${names().join(", ")}`);
  }
  const path = pathToFileURL(join(FOLDER, name, "config.ts")).href;
  const { default: experiment } = await import(path) as { default: Experiment };
  checkExperiment(experiment);
  return experiment;
}

/** `--seeds 0,1,2` as numbers. */
function parseSeeds(given: string | undefined): number[] | undefined {
  if (given === undefined) return undefined;
  const seeds = given.split(",").map((s) => s.trim() === "" ? NaN : Number(s));
  if (!seeds.every((s) => Number.isSafeInteger(s))) {
    throw new Error(`--seeds is ${given}, wanted whole numbers with commas`);
  }
  return seeds;
}

/** The results of a run, or those that ship. @throws saying how to make them. */
async function resultsOf(name: string, out?: string): Promise<Results> {
  const path = out === undefined
    ? join(FOLDER, name, "results.json")
    : join(out, name, "results.json");
  if (!existsSync(path)) {
    const where = out === undefined ? "ships with no results" : `has no results in ${out}`;
    throw new Error(`experiment ${name} ${where}; deno task experiment run ${name} makes them`);
  }
  return await readResults(path);
}

/** Draws events on standard error. */
function watch(): { show(event: ExperimentEvent): void; [Symbol.dispose](): void } {
  let progress: Progress | undefined;
  const end = () => {
    progress?.[Symbol.dispose]();
    progress = undefined;
  };
  return {
    [Symbol.dispose]: end,
    show(event) {
      if (event.type === "training") {
        if (event.event.type !== "step") return;
        const { arm, seed, stage, stages, event: { step, total, loss, secondsLeft } } = event;
        progress ??= new Progress(`${arm}, seed ${seed}, step ${stage} of ${stages}`);
        progress.update(step, { total, secondsLeft, note: `loss ${loss.toFixed(3)}` });
        return;
      }
      end();
      if (event.type === "plan") {
        const { jobs, measured, steps, trained } = event;
        console.error(`${measured} of ${jobs} measured, ${trained} of ${steps} steps trained`);
      } else if (event.type === "measured") {
        const { arm, seed, row: { counts } } = event;
        const sum = (i: 0 | 1, of: string) => counts[of].reduce((n, pair) => n + pair[i], 0);
        const found = Object.keys(counts).map((m) => `${m} ${(sum(0, m) / sum(1, m)).toFixed(3)}`);
        console.error(`${arm}, seed ${seed}: ${found.join(", ")}`);
      } else if (event.type === "failed") {
        console.error(`${event.arm}, seed ${event.seed}: failed: ${event.message}`);
      }
    },
  };
}

await runCommand({
  name: "experiment",
  summary: "list the experiments, run one (what exists is skipped), or show its table",
  options: {
    do: {
      type: "string",
      choices: ["list", "run", "show"],
      positional: true,
      default: "list",
      describe: "what to do",
    },
    experiment: { type: "string", positional: true, describe: "its name" },
    seeds: { type: "string", describe: "with commas [the experiment's]" },
    only: { type: "string", describe: "names of arms, with semicolons [all]" },
    epochs: {
      type: "number",
      minimum: 0,
      describe: "of the data that each arm reads, all steps together [the experiment's]",
    },
    out: { type: "string", describe: "folder of runs and results [runs/experiments]" },
    data: { type: "string", default: "runs/data", describe: "folder made by deno task data" },
    target: TARGET_OPTION,
    table: { type: "boolean", describe: "run nothing, print the table of results that ship" },
    page: { type: "string", describe: "also write table and figures as a page: FILE.html" },
    markdown: { type: "boolean", describe: "print the table as Markdown" },
  },
}, async (options, { say, result, signal }) => {
  if (options.do === "list") {
    const all = await Promise.all(names().map(load));
    const rows = all.map(({ name, question, arms, seeds }) => {
      const ships = existsSync(join(FOLDER, name, "results.json"));
      return [name, arms.length, seeds.length, ships ? "yes" : "no", question];
    });
    say(formatTable([["experiment", "arms", "seeds", "results ship", "question"], ...rows]));
    return result(all.map(({ measure: _, ...experiment }) => experiment));
  }
  const planned = await load(options.experiment), { name } = planned;
  const print = async (experiment: Experiment, results: Results) => {
    const arms = summarizeResults(experiment, results);
    const { markdown } = options, terminal = Deno.stdout.isTerminal();
    const dim = terminal ? (text: string) => styleText("gray", text) : undefined;
    say(`${experiment.question}\n`);
    say(formatResults(tabulate(experiment, arms), { markdown, dim }));
    if (options.page !== undefined) {
      const environment = await readEnvironment({ backend: "none: read from results" });
      await writeFileAtomic(
        options.page,
        await renderPage(experimentPage(experiment, results, { environment })),
      );
      say(`\n${options.page}`);
    }
    result({ experiment: name, settings: results.settings, arms });
  };
  if (options.do === "show" || options.table) {
    return await print(planned, await resultsOf(name, options.table ? undefined : options.out));
  }
  const { epochs = planned.settings.epochs } = options, out = options.out ?? "runs/experiments";
  const experiment = { ...planned, settings: { ...planned.settings, epochs } };
  const seeds = parseSeeds(options.seeds), only = options.only?.split(";").map((n) => n.trim());
  using backend = await openOnnxBackend();
  const target = await loadTarget(options.target, { backend });
  const tokenizer = await loadTokenizer(options.target);
  const trains = experiment.arms.some((arm) => isTrained(experiment, arm));
  const examples = trains ? await openExamples(join(options.data, "train")) : undefined;
  const { commit } = await readEnvironment({ backend: backend.name });
  const failed: string[] = [];
  {
    using watcher = watch();
    const lab = { backend, target, examples, prompts: heldOutPrompts(tokenizer) };
    const running = { folder: out, commit, seeds, only, signal };
    for await (const event of runExperiment(experiment, lab, running)) {
      watcher.show(event);
      if (event.type === "failed") failed.push(`${event.arm}, seed ${event.seed}`);
    }
  }
  if (signal.aborted) return say("stopped; the same command continues");
  if (failed.length < experiment.arms.length * (seeds ?? experiment.seeds).length) {
    await print(experiment, await resultsOf(name, out));
  }
  if (failed.length > 0) {
    throw new Error(`${failed.length} failed (${failed.join("; ")}); the same command tries again`);
  }
});
