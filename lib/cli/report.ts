/**
 * `deno task report RUN...`: a run as one page, as Markdown and as JSON, from what it stored. `report compare A B`:
 * two runs side by side. `report rows RUN...`: the rows of many runs, to be queried with SQL. `report ledger`: the
 * paper's Table 1 beside the runs that there are.
 */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Experiment } from "../experiment/experiment.ts";
import { resultsComparison } from "../experiment/comparison.ts";
import { experimentOf, experimentReport, resultsPlace } from "../experiment/report.ts";
import { readResults } from "../experiment/rows.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { evaluationComparison } from "../report/comparison.ts";
import { UNKNOWN_PLACE } from "../report/environment.ts";
import { evaluationReport } from "../report/evaluation_report.ts";
import { type Page, renderPage } from "../report/page.ts";
import { renderMarkdown } from "../report/page_markdown.ts";
import { queryRows } from "../report/query.ts";
import {
  evaluationRows,
  experimentRows,
  jsonLines,
  type RunRow,
  trainingRows,
} from "../report/rows.ts";
import { type Facts, factsOf, warningsOf } from "../report/run_facts.ts";
import { readStoredRun, type StoredRun } from "../report/stored_run.ts";
import { formatTable } from "../report/table.ts";
import { trainingComparison } from "../report/training_comparison.ts";
import { trainingReport } from "../report/training_report.ts";
import { runCommand } from "./command.ts";
import { reportLedger } from "./report_ledger.ts";

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

/** The facts of a run that two runs should share. */
async function factsFor(run: StoredRun): Promise<Facts> {
  if (run.kind === "evaluation") {
    const { environment, inputs } = run.evaluation;
    return factsOf({ environment, inputs, reads: ["target", "draft", "suites"] });
  }
  if (run.kind === "training") {
    const { record: { environment, inputs }, run: { environment: older } } = run;
    const place = environment ?? older ?? UNKNOWN_PLACE;
    return factsOf({ environment: place, inputs, reads: ["target", "data", "validation"] });
  }
  const results = await readResults(run.path);
  const hash = [...new Set(results.rows.map((r) => r.target))].join(", ");
  const inputs = { target: { name: "", hash } };
  return factsOf({ environment: resultsPlace(results), inputs, reads: ["target"] });
}

/** Two runs of one kind, side by side. @throws when they are of two kinds. */
async function compare(paths: readonly string[]): Promise<{ page: Page; warnings: string[] }> {
  const [a, b] = [await readStoredRun(paths[0]), await readStoredRun(paths[1])];
  const names = [paths[0], paths[1]] as const;
  const warnings = warningsOf([await factsFor(a), await factsFor(b)], names);
  const options = { names, warnings };
  if (a.kind === "evaluation" && b.kind === "evaluation") {
    return { page: evaluationComparison([a.evaluation, b.evaluation], options), warnings };
  }
  if (a.kind === "training" && b.kind === "training") {
    return { page: trainingComparison([a, b], options), warnings };
  }
  if (a.kind === "experiment" && b.kind === "experiment") {
    const results = [await readResults(a.path), await readResults(b.path)] as const;
    return { page: resultsComparison(results, options), warnings };
  }
  throw new Error(`Cannot compare ${paths[0]}, of ${a.kind}, with ${paths[1]}, of ${b.kind}`);
}

/** The rows of a run, under the name that its report has. */
async function rowsOf(path: string): Promise<RunRow[]> {
  const run = await readStoredRun(path);
  if (run.kind === "evaluation") return evaluationRows(path, run.evaluation);
  if (run.kind === "training") return trainingRows(path, run);
  return experimentRows(path, await readResults(run.path));
}

await runCommand({
  name: "report",
  summary:
    "runs as pages: report RUN..., report compare A B, report rows RUN..., report ledger [RUN...]",
  options: {
    runs: {
      type: "string",
      positional: true,
      many: true,
      describe:
        "folders of trainings or evaluations, report.json, or an experiment's results.json; " +
        "before them compare, rows or ledger",
    },
    question: { type: "string", describe: "what the run was to answer [as it recorded]" },
    sql: {
      type: "string",
      describe: "with rows: a query over the table rows, in place of the rows",
    },
    commands: {
      type: "boolean",
      describe: "with ledger: the commands that fill it, model by model, in place of the table",
    },
    out: {
      type: "string",
      describe: "folder of report.html, report.md, summary.json [runs/reports/NAME]",
    },
  },
}, async ({ runs: words, question, sql, commands, out }, { say, result }) => {
  const [what] = words, known = ["compare", "rows", "ledger"].includes(what);
  const runs = known ? words.slice(1) : words;
  if (commands && what !== "ledger") throw new Error("--commands is for report ledger");
  if (sql !== undefined && what !== "rows") throw new Error("--sql is for report rows RUN...");
  if (what === "ledger") return result(await reportLedger(runs, { commands, out, say }));
  if (runs.length === 0) {
    throw new Error("found no run, wanted folders of runs; see deno task report --help");
  }
  if (what === "rows") {
    const rows = (await Promise.all(runs.map(rowsOf))).flat();
    if (sql === undefined) {
      for (const line of jsonLines(rows)) console.log(line);
      return;
    }
    const found = queryRows(rows, sql), columns = Object.keys(found[0] ?? {});
    say(
      found.length === 0 ? "no rows" : formatTable([
        columns,
        ...found.map((row) => columns.map((c) => row[c] ?? "")),
      ]),
    );
    return result(found);
  }
  if (what === "compare") {
    if (runs.length !== 2) throw new Error(`found ${runs.length} runs to compare, wanted two`);
    const { page, warnings } = await compare(runs);
    for (const warning of warnings) console.error(`warning: ${warning}`);
    const names = await Promise.all(runs.map(async (r) => nameOf(await readStoredRun(r))));
    const folder = out ?? join("runs/reports", names.join("-and-"));
    const [, { text, table }] = page.sections;
    say(`${table === undefined ? "" : formatTable(table)}\n\n${text}\n`);
    const path = await writeReport(folder, page, { runs, warnings });
    say(path);
    return result({ runs, warnings, page: path, table });
  }
  if (runs.length > 1 && out !== undefined) {
    throw new Error(`--out is ${out} and there are ${runs.length} runs: one folder, one report`);
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
