/** `deno task demo`: the main job on the shipped model: decode plainly and with the draft, compare, show. */
import { join } from "node:path";
import { loadSuite } from "../data/suites.ts";
import { evaluate } from "../eval/run.ts";
import { isIdentical, type PromptResult, tau } from "../eval/metrics.ts";
import { summarize } from "../eval/summary.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { readEnvironment } from "../report/environment.ts";
import { evaluationPage } from "../report/evaluation_page.ts";
import { renderPage } from "../report/page.ts";
import { formatTable, withInterval } from "../report/table.ts";
import { runCommand } from "./command.ts";
import { DECODING_OPTIONS, openDecoding } from "./decoding_options.ts";

function promptRow({ id, promptTokens, plain, speculative }: PromptResult): (string | number)[] {
  const rate = (g: typeof plain) => ((g.tokens.length - 1) / (g.decodeMs / 1000)).toFixed(1);
  return [
    id,
    promptTokens,
    speculative.tokens.length,
    rate(plain),
    rate(speculative),
    tau([speculative]).value.toFixed(2),
    (plain.decodeMs / speculative.decodeMs).toFixed(2),
    isIdentical({ plain, speculative } as PromptResult) ? "yes" : "no",
  ];
}

await runCommand({
  name: "demo",
  summary: "decode prompts with the shipped model, plainly and with its GRIFFIN draft",
  options: {
    ...DECODING_OPTIONS,
    count: { type: "integer", minimum: 1, default: 8, describe: "prompts" },
    out: { type: "string", default: "runs/demo", describe: "folder for the page" },
  },
}, async (options, { say, result, signal }) => {
  const suite = await loadSuite("ours", { count: options.count });
  using decoding = await openDecoding(options, { say });
  const { tokenizer } = decoding, results: PromptResult[] = [];
  for await (const one of evaluate(decoding.target, suite, { ...decoding.settings, signal })) {
    const question = suite.questions[results.length].text;
    if (results.length < 2) {
      say(
        `> ${question.replaceAll("\n", "\n> ")}\n\n${tokenizer.decode(one.speculative.tokens)}\n`,
      );
    }
    results.push(one);
  }
  if (signal.aborted) return;
  const heading = [
    "prompt",
    "tokens in",
    "out",
    "plain tok/s",
    "GRIFFIN tok/s",
    "tau",
    "speedup",
    "identical",
  ];
  const rows = [heading, ...results.map(promptRow)];
  say(formatTable(rows));
  const s = summarize(suite.name, results);
  say("");
  say(formatTable([
    ["", "tokens/s", "tau", "speedup", "identical"],
    ["plain", s.plain_tokens_per_second.toFixed(1), "1.00", "1.00", ""],
    [
      "GRIFFIN",
      s.tokens_per_second.toFixed(1),
      withInterval(s.tau, s.tau_ci),
      withInterval(s.speedup, s.speedup_ci),
      `${s.identical}/${s.prompts}`,
    ],
  ]));
  const environment = await readEnvironment({ backend: decoding.backend.name });
  const { maxTokens, sampling } = decoding.settings, { method, tree } = options;
  const settings = { method, tree, maxTokens, temperature: sampling.temperature };
  const path = join(options.out, "report.html");
  const page = evaluationPage([s], { environment, settings, prompts: rows });
  await writeFileAtomic(path, await renderPage(page));
  say(`\nThe page with pictures: ${path}`);
  result({ ...s, settings, environment });
});
