/**
 * `deno task report RUN...`: a run as one page, as Markdown and as JSON, from what it stored. `report compare A B`:
 * two runs side by side. `report rows RUN...`: the rows of many runs, to be queried with SQL.
 */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Experiment } from "../experiment/experiment.ts";
import { experimentOf, experimentReport } from "../experiment/report.ts";
import { readResults } from "../experiment/rows.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { evaluationReport } from "../report/evaluation_report.ts";
import { type Page, renderPage } from "../report/page.ts";
import { renderMarkdown } from "../report/page_markdown.ts";
import { readStoredRun, type StoredRun } from "../report/stored_run.ts";
import { trainingReport } from "../report/training_report.ts";
import { runCommand } from "./command.ts";

/** A name for a folder: of the run's own folder. */
function nameOf({ path }: StoredRun): string {
  const folder = /\.json$/.test(path) ? dirname(path) : path;
  const own = basename(folder === "." ? Deno.cwd() : folder);
  const file = basename(path);
  return file === path || file === "report.json" || file === "results.json" || folder === path
    ? own
    : file.replace(/\.json$/, "");
}

/** The experiment that results belong to: its `config.ts` beside them, or in `experiments`. */
async function experimentFor(path: string, name: string): Promise<Experiment | undefined> {
  const own = join(import.meta.dirname!, "../../experiments", name, "config.ts");
  const file = [join(dirname(path), "config.ts"), own].find((f) => existsSync(f));
  if (file === undefined) return undefined;
  return (await import(pathToFileURL(await Deno.realPath(file)).href)).default as Experiment;
}

async function pageOf(run: StoredRun, question?: string): Promise<{ page: Page; stored: unknown }> {
  if (run.kind === "evaluation") {
    const { evaluation, path } = run, { details: _, samples: __, ...stored } = evaluation;
    return { page: evaluationReport(evaluation, { path, question }), stored };
  }
  if (run.kind === "training") {
    return { page: trainingReport(run.run, { record: run.record, question }), stored: run.record };
  }
  const results = await readResults(run.path), { experiment: name, settings } = results;
  const experiment = await experimentFor(run.path, name) ?? experimentOf(results);
  const page = experimentReport(experiment, results, { question });
  return { page, stored: { experiment: name, settings } };
}

/** Writes a page in its three forms; returns the path of the first. */
async function writeReport(folder: string, page: Page, stored: unknown): Promise<string> {
  const path = join(folder, "report.html"), { title, lead, environment, sections } = page;
  await writeFileAtomic(path, await renderPage(page));
  await writeFileAtomic(join(folder, "report.md"), renderMarkdown(page));
  const tables = sections.map(({ figures = [], ...section }) => ({
    ...section,
    ...(figures.length > 0 && {
      figures: figures.map(({ title, table }) => ({ title, table })),
    }),
  }));
  const json = { title, question: lead, environment, stored, sections: tables };
  await writeFileAtomic(join(folder, "summary.json"), `${JSON.stringify(json, null, 1)}\n`);
  return path;
}

await runCommand({
  name: "report",
  summary: "runs as pages: report RUN..., report compare A B, report rows RUN...",
  options: {
    runs: {
      type: "string",
      positional: true,
      several: true,
      describe:
        "folder of a training or evaluation, its report.json, or an experiment's results.json",
    },
    question: { type: "string", describe: "what the run was to answer [as it recorded]" },
    out: {
      type: "string",
      describe: "folder of report.html, report.md, summary.json [runs/reports/NAME]",
    },
  },
}, async ({ runs, question, out }, { say, result }) => {
  if (runs.length === 0) {
    throw new Error("found no run, wanted folders of runs; see deno task report --help");
  }
  if (runs.length > 1 && out !== undefined) {
    throw new Error(
      `--out is ${out} and there are ${runs.length} runs: one folder holds one report`,
    );
  }
  const written: { run: string; page: string }[] = [];
  for (const path of runs) {
    const run = await readStoredRun(path), { page, stored } = await pageOf(run, question);
    const folder = out ?? join("runs/reports", nameOf(run));
    written.push({ run: path, page: await writeReport(folder, page, stored) });
    say(written.at(-1)!.page);
  }
  result(written);
});
