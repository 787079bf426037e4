/** `deno task eval`: plain and speculative decoding of whole suites, with intervals, as table, JSON and page. */
import { join } from "node:path";
import { loadSuite } from "../data/suites.ts";
import { evaluate } from "../eval/run.ts";
import type { PromptResult } from "../eval/metrics.ts";
import { type SuiteSummary, summarize } from "../eval/summary.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { summaryRows, tauRows } from "../report/evaluation_page.ts";
import { evaluationReport } from "../report/evaluation_report.ts";
import { renderPage } from "../report/page.ts";
import { peakBytes } from "../report/provenance.ts";
import { type Sample, sampleOf } from "../report/samples.ts";
import type { StoredEvaluation } from "../report/stored_run.ts";
import { formatTable } from "../report/table.ts";
import { runCommand } from "./command.ts";
import { DECODING_OPTIONS, openDecoding } from "./decoding_options.ts";
import { Progress } from "./progress.ts";
import {
  draftThing,
  environmentOf,
  QUESTION_OPTION,
  suiteThing,
  targetThing,
} from "./run_record.ts";

/** Texts of each suite that are stored with their tokens marked. */
const SAMPLES = 2;

/** Options that say where results go, or that the reader of a report has no use for. */
const ELSEWHERE = ["out", "trace", "measure-costs", "costs", "tau", "question"];

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
    question: QUESTION_OPTION,
    out: {
      type: "string",
      default: "runs/eval",
      describe: "folder for report.json and report.html",
    },
  },
}, async (options, { say, result, ran, signal }) => {
  const began = performance.now(), names = options.suite.split(",");
  const suites = await Promise.all(names.map((name) => loadSuite(name, { count: options.count })));
  using decoding = await openDecoding(options, { say });
  const { tokenizer, backend, draft, costs } = decoding;
  const environment = await environmentOf(backend); // as it is when the code is read, not at the end
  const summaries: SuiteSummary[] = [], details: { suite: string; results: PromptResult[] }[] = [];
  const samples: Sample[] = [];
  for (const suite of suites) {
    using progress = new Progress(suite.name);
    const results: PromptResult[] = [];
    for await (const one of evaluate(decoding.target, suite, { ...decoding.settings, signal })) {
      if (results.length < SAMPLES) {
        const { id, speculative } = one, prompt = suite.questions[results.length].text;
        const decode = (ids: readonly number[]) => tokenizer.decode(ids);
        samples.push(sampleOf(speculative, { suite: suite.name, id, prompt, decode }));
      }
      results.push(one);
      progress.update(results.length, { total: suite.questions.length });
    }
    if (signal.aborted) return;
    summaries.push(summarize(suite.name, results));
    details.push({ suite: suite.name, results });
  }
  const { out, tau, trace, question } = options;
  const command = ran(ELSEWHERE);
  const { suite: _, ...settings } = command.options;
  const decoded = details.flatMap((d) => d.results.flatMap((r) => [r.plain, r.speculative]));
  const report: StoredEvaluation = {
    ...(question !== undefined && { question }),
    command,
    settings: settings as StoredEvaluation["settings"],
    environment,
    inputs: {
      target: await targetThing(decoding.target.target),
      ...(draft !== undefined && { draft: await draftThing(options.draft) }),
      suites: suites.map((suite, i) => suiteThing(suite, names[i])),
    },
    suites: summaries,
    cost: {
      seconds: (performance.now() - began) / 1000,
      tokens: decoded.reduce((n, g) => n + g.tokens.length, 0),
      peakBytes: peakBytes(),
    },
  };
  const stored = { ...report, ...(costs !== undefined && { costs }), samples, details };
  const path = join(out, "report.json");
  await writeFileAtomic(path, `${JSON.stringify(stored)}\n`);
  const page = evaluationReport(stored, { path });
  await writeFileAtomic(join(out, "report.html"), await renderPage(page));
  say(formatTable(summaryRows(summaries)));
  if (tau === "all") say(`\n${formatTable(tauRows(summaries))}`);
  say(`\n${join(out, "report.html")}`);
  if (trace !== undefined) say(`the trace: deno task inspect ${trace}`);
  // With one suite its numbers stand at the top level.
  result({ ...(summaries.length === 1 ? summaries[0] : {}), ...report });
});
