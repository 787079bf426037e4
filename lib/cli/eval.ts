/** `deno task eval`: plain and speculative decoding of whole suites, with intervals, as table, JSON and page. */
import { join } from "node:path";
import { loadSuite } from "../data/suites.ts";
import { evaluate } from "../eval/run.ts";
import type { PromptResult } from "../eval/metrics.ts";
import { type SuiteSummary, summarize } from "../eval/summary.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { readEnvironment } from "../report/environment.ts";
import { evaluationPage, summaryRows, tauRows } from "../report/evaluation_page.ts";
import { renderPage } from "../report/page.ts";
import { formatTable } from "../report/table.ts";
import { runCommand } from "./command.ts";
import { DECODING_OPTIONS, openDecoding } from "./decoding_options.ts";
import { Progress } from "./progress.ts";

await runCommand({
  name: "eval",
  summary: "measure tau, acceptance and speedup of a draft on suites of prompts",
  options: {
    ...DECODING_OPTIONS,
    suite: {
      type: "string",
      default: "ours",
      describe: "ours, or a question file of EAGLE's format; several with commas",
    },
    count: { type: "integer", minimum: 1, default: 40, describe: "prompts of each suite" },
    tau: {
      type: "string",
      choices: ["ours", "all"],
      default: "ours",
      describe: "all: also as the published script, vLLM and SpecForge count it",
    },
    out: {
      type: "string",
      default: "runs/eval",
      describe: "folder for report.json and report.html",
    },
  },
}, async (options, { say, result, signal }) => {
  const suites = await Promise.all(
    options.suite.split(",").map((name) => loadSuite(name, { count: options.count })),
  );
  using decoding = await openDecoding(options, { say });
  const summaries: SuiteSummary[] = [], details: { suite: string; results: PromptResult[] }[] = [];
  for (const suite of suites) {
    using progress = new Progress(suite.name);
    const results: PromptResult[] = [];
    for await (const one of evaluate(decoding.target, suite, { ...decoding.settings, signal })) {
      results.push(one);
      progress.update(results.length, { total: suite.questions.length });
    }
    if (signal.aborted) return;
    summaries.push(summarize(suite.name, results));
    details.push({ suite: suite.name, results });
  }
  const { json: _, help: __, out, suite: ___, "measure-costs": ____, tau, trace, ...settings } =
    options as
      & typeof options
      & { json: boolean; help: boolean };
  const environment = await readEnvironment({ backend: decoding.backend.name });
  const page = evaluationPage(summaries, { environment, settings });
  const report = { settings, environment, suites: summaries };
  await writeFileAtomic(join(out, "report.json"), `${JSON.stringify({ ...report, details })}\n`);
  await writeFileAtomic(join(out, "report.html"), await renderPage(page));
  say(formatTable(summaryRows(summaries)));
  if (tau === "all") say(`\n${formatTable(tauRows(summaries))}`);
  say(`\n${join(out, "report.html")}`);
  if (trace !== undefined) say(`the trace: deno task inspect ${trace}`);
  // With one suite its numbers stand at the top level.
  result({ ...(summaries.length === 1 ? summaries[0] : {}), ...report });
});
