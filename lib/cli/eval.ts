/** `deno task eval`: plain and speculative decoding of whole suites, with intervals, as table, JSON and page. */
import { join } from "node:path";
import { SUITE_NAMES } from "../data/published_suites.ts";
import { askedIn, loadSuite, type Suite } from "../data/suites.ts";
import { openAnswers } from "../eval/answer_file.ts";
import { type PromptResult, turnsOf } from "../eval/metrics.ts";
import { familyPrompt, PAPER_OPTIONS } from "../eval/protocol.ts";
import { evaluate } from "../eval/run.ts";
import { type SuiteSummary, summarize } from "../eval/summary.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { summaryRows, tauRows } from "../report/evaluation_page.ts";
import { evaluationReport } from "../report/evaluation_report.ts";
import { renderPage } from "../report/page.ts";
import { peakBytes } from "../report/provenance.ts";
import { type Sample, sampleOf } from "../report/samples.ts";
import type { StoredEvaluation } from "../report/stored_run.ts";
import { formatTable } from "../report/table.ts";
import { PUBLISHED_TEMPLATES, readTemplate } from "../text/published_templates.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
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
const ELSEWHERE = ["out", "answers", "trace", "measure-costs", "costs", "tau", "question"];

/** Options that say what is asked, not how it is answered. */
const ASKED = ["suite", "suite-dir", "count", "turns", "protocol"];

/** The text that `--system` stands for. @throws when it is a family's and the family is not known. */
function systemPrompt(system: string, { folder, chatTemplate }: Tokenizer): string | undefined {
  if (system === "none") return undefined;
  if (system !== "family") return system;
  const found = familyPrompt(chatTemplate);
  if (found !== undefined) return found.system;
  throw new Error(
    `Cannot choose a system prompt for ${folder}: its chat template is of no family that is known; ` +
      "wanted --system none, or a text",
  );
}

/** The file for a suite's answers. @throws when several suites would share one. */
function answerPath(answers: string, suite: string, suites: number): string {
  if (answers.includes("{suite}")) return answers.replaceAll("{suite}", suite);
  if (suites === 1) return answers;
  throw new Error(`--answers is ${answers} for ${suites} suites, wanted {suite} in it`);
}

/** Later turns of which there was no room in the target's positions. */
function turnsLeftOut({ questions }: Suite, results: readonly PromptResult[]): number {
  return results.reduce(
    (n, { speculative }, i) => n + askedIn(questions[i]).length - turnsOf(speculative).length,
    0,
  );
}

await runCommand({
  name: "eval",
  summary: "measure tau, acceptance and speedup of a draft on suites of prompts",
  options: {
    ...DECODING_OPTIONS,
    suite: {
      type: "string",
      default: "ours",
      describe: `ours, ${SUITE_NAMES.join(", ")} (fetched once), or a question file of EAGLE's ` +
        "format; several with commas",
    },
    "suite-dir": {
      type: "string",
      describe: "folder with NAME/question.jsonl, as the authors have it: nothing is fetched",
    },
    count: { type: "integer", minimum: 1, default: 40, describe: "prompts of each suite" },
    turns: { type: "integer", minimum: 1, describe: "turns of each question, at most [all]" },
    system: {
      type: "string",
      default: "none",
      describe: "what conversations open with: none, family (the one of the authors), or a text",
    },
    "chat-template": {
      type: "string",
      describe: `of a target that has none: ${
        Object.keys(PUBLISHED_TEMPLATES).join(", ")
      }, or a file`,
    },
    protocol: {
      type: "string",
      choices: ["none", "paper"],
      default: "none",
      describe: `paper: as the authors measure, where nothing else is given: ${
        Object.entries(PAPER_OPTIONS).map(([name, value]) => `--${name} ${value}`).join(" ")
      }`,
    },
    answers: {
      type: "string",
      describe:
        "file for the answers in FastChat's format, {suite} in it for several suites; one " +
        "that is begun is gone on with",
    },
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
  presets: ({ protocol }) => protocol === "paper" ? PAPER_OPTIONS : {},
}, async (options, { say, result, ran, signal }) => {
  const began = performance.now(), names = options.suite.split(",");
  const { count, turns, "suite-dir": folder } = options, fetching = { signal };
  const suites = await Promise.all(
    names.map((name) => loadSuite(name, { count, turns, folder, fetching })),
  );
  const answerPaths = options.answers === undefined
    ? undefined
    : suites.map(({ name }) => answerPath(options.answers!, name, suites.length));
  const template = options["chat-template"] && await readTemplate(options["chat-template"]);
  using decoding = await openDecoding(options, { say });
  const { backend, draft, costs } = decoding;
  const tokenizer = template === undefined
    ? decoding.tokenizer
    : { ...decoding.tokenizer, chatTemplate: template };
  const environment = await environmentOf(backend); // as it is when the code is read, not at the end
  const system = systemPrompt(options.system, tokenizer);
  const things = {
    target: await targetThing(decoding.target.target),
    ...(draft !== undefined && { draft: await draftThing(options.draft) }),
  };
  const settings = JSON.stringify([
    ...Object.values(things).map((t) => t.hash),
    ran([...ELSEWHERE, ...ASKED, "target", "draft"]).options,
    system,
    template,
  ]);
  const summaries: SuiteSummary[] = [], details: { suite: string; results: PromptResult[] }[] = [];
  const samples: Sample[] = [];
  for (const [i, suite] of suites.entries()) {
    const { questions, name } = suite;
    const answers = answerPaths &&
      await openAnswers(answerPaths[i], { questions, settings, tokenizer });
    const found = new Map<string, PromptResult>(answers?.done);
    if (found.size > 0) say(`${name}: ${found.size} questions were answered before`);
    using progress = new Progress(name);
    const open = { name, questions: questions.filter(({ id }) => !found.has(id)) };
    for await (
      const one of evaluate(decoding.target, open, {
        ...decoding.settings,
        tokenizer,
        system,
        signal,
      })
    ) {
      found.set(one.id, one);
      await answers?.append(questions.find(({ id }) => id === one.id)!, one);
      progress.update(found.size, { total: questions.length });
    }
    if (signal.aborted) return;
    await answers?.finish();
    const results = questions.map(({ id }) => found.get(id)!);
    for (const { id, text: prompt } of questions.slice(0, SAMPLES)) {
      const [first] = turnsOf(found.get(id)!.speculative);
      const decode = (ids: readonly number[]) => tokenizer.decode(ids);
      samples.push(sampleOf(first, { suite: name, id, prompt, decode }));
    }
    const leftOut = turnsLeftOut(suite, results);
    if (leftOut > 0) say(`${name}: ${leftOut} later turns did not fit into the positions`);
    summaries.push(summarize(name, results));
    details.push({ suite: name, results });
  }
  const { out, tau, trace, question } = options;
  const command = ran(ELSEWHERE);
  const { suite: _, ...shown } = command.options;
  const decoded = details.flatMap((d) => d.results.flatMap((r) => [r.plain, r.speculative]));
  const report: StoredEvaluation = {
    ...(question !== undefined && { question }),
    command,
    settings: shown as StoredEvaluation["settings"],
    environment,
    inputs: {
      ...things,
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
  for (const path of answerPaths ?? []) say(path);
  if (trace !== undefined) say(`the trace: deno task inspect ${trace}`);
  // With one suite its numbers stand at the top level.
  result({ ...(summaries.length === 1 ? summaries[0] : {}), ...report });
});
