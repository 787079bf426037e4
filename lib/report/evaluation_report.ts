/**
 * The report of a stored evaluation, for `renderPage` and `renderMarkdown`: what was asked, results with intervals and
 * figures, samples, cost, inputs, and the command that makes it again. From stored rows only. The numbers' part is
 * `evaluation_page.ts`; two evaluations side by side: `comparison.ts`.
 */
import { evaluationPage } from "./evaluation_page.ts";
import type { Page } from "./page.ts";
import {
  costSection,
  formatSeconds,
  inputsSection,
  reproduceLine,
  reproduceSection,
} from "./report_sections.ts";
import type { StoredEvaluation } from "./stored_run.ts";

/** Time in decoding, from the prompts' rows. */
function decodingTimes({ details = [] }: StoredEvaluation): [string, string][] {
  const results = details.flatMap((d) => d.results);
  if (results.length === 0) return [];
  const seconds = (kind: "plain" | "speculative") =>
    formatSeconds(results.reduce((s, r) => s + r[kind].prefillMs + r[kind].decodeMs, 0) / 1000);
  return [
    ["of it plain decoding", seconds("plain")],
    ["of it speculative decoding", seconds("speculative")],
  ];
}

/**
 * The line that makes an evaluation again. Trees sized by measured costs are sized by the stored ones, so that they
 * are the same trees.
 */
export function evaluationLine(
  evaluation: StoredEvaluation,
  { path, out }: { path: string; out?: string },
): string | undefined {
  const more: Record<string, string> = evaluation.costs === undefined ? {} : { costs: path };
  return reproduceLine(evaluation, { more, out });
}

/** `path`: of the stored evaluation, as the command line is to name it. */
export function evaluationReport(
  evaluation: StoredEvaluation,
  { path, question = evaluation.question }: { path: string; question?: string },
): Page {
  const { suites, settings, environment, samples = [] } = evaluation;
  const page = evaluationPage(suites, { environment, settings });
  const [result, more, shown, ...rest] = page.sections;
  const greedy = settings.temperature === 0;
  const note = greedy
    ? "Texts, tau and acceptance come out the same; times are the machine's."
    : "With the same seed, texts and tau come out the same on the same machine; times are the machine's.";
  return {
    ...page,
    lead: question ?? page.lead,
    sections: [
      result,
      more,
      ...(samples.length > 0
        ? [{
          heading: "Samples",
          text:
            "The first prompts of each suite. Marked: tokens that the draft proposed and the target accepted, a " +
            "mark a round; unmarked: the target's own.",
          samples,
        }]
        : []),
      costSection(evaluation, { more: decodingTimes(evaluation) }),
      shown,
      inputsSection(evaluation),
      reproduceSection({
        line: evaluationLine(evaluation, { path }),
        note,
        commit: environment.commit,
      }),
      ...rest,
    ],
  };
}
