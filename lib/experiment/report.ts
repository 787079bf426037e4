/**
 * The report of an experiment's results, for `renderPage` and `renderMarkdown`: the page of
 * `page.ts` with what it cost and the command that makes it again. From stored rows only. Two results side by side:
 * `comparison.ts`.
 */
import { type Environment, NOT_RECORDED, UNKNOWN_PLACE } from "../report/environment.ts";
import type { Page } from "../report/page.ts";
import { AGAIN } from "../report/provenance.ts";
import { costSection, formatSeconds, reproduceSection } from "../report/report_sections.ts";
import type { Experiment } from "./experiment.ts";
import { experimentPage } from "./page.ts";
import type { Results, Row } from "./rows.ts";

/** An experiment as far as its results tell, where its `config.ts` is not at hand: the first arm is the base. */
export function experimentOf({ experiment: name, settings, rows }: Results): Experiment {
  const arms = [...new Set(rows.map((r) => r.arm))].map((arm) => ({ name: arm }));
  const seeds = [...new Set(rows.map((r) => r.seed))];
  const question = `What distinguishes the arms of ${name}?`;
  return { name, question, arms, base: arms[0]?.name ?? "", seeds, settings };
}

/** Every value of a key among the rows, in order of appearance. */
const valuesOf = (
  rows: readonly Row[],
  key: "commit" | "date" | "target",
) => [...new Set(rows.map((r) => r[key]))];

/** What the rows say of where they were made. */
export function resultsPlace({ rows }: Pick<Results, "rows">): Environment {
  const date = valuesOf(rows, "date").join(", "), commit = valuesOf(rows, "commit").join(", ");
  return { ...UNKNOWN_PLACE, ...(date && { date }), ...(commit && { commit }) };
}

/** Seconds of training and measuring and tokens read, over all rows. */
function costOf(rows: readonly Row[]) {
  const sum = (of: (row: Row) => number | undefined) =>
    rows.reduce((n, row) => n + (of(row) ?? 0), 0);
  const training = sum((r) => r.training?.seconds), measuring = sum((r) => r.seconds);
  const section = costSection({}, {
    more: [
      ["updates", sum((r) => r.training?.updates).toLocaleString("en")],
      ["tokens of training data read", sum((r) => r.training?.tokens).toLocaleString("en")],
      ["time in updates", training > 0 ? formatSeconds(training) : NOT_RECORDED],
      ["time of measuring", measuring > 0 ? formatSeconds(measuring) : NOT_RECORDED],
    ],
  });
  // A sum of rows has no wall time and no process of its own.
  return { ...section, table: [section.table![0], ...section.table!.slice(4)] };
}

/** The report: the experiment's page, with what it cost and how to run it again. */
export function experimentReport(
  experiment: Experiment,
  results: Results,
  { question = experiment.question }: { question?: string } = {},
): Page {
  const { rows, settings } = results, environment = resultsPlace(results);
  const page = experimentPage(experiment, results, { environment });
  const [result, made] = page.sections, commits = valuesOf(rows, "commit");
  const seeds = [...new Set(rows.map((r) => r.seed))];
  return {
    title: `GRIFFIN Lab: experiment ${results.experiment}`,
    lead: question,
    environment,
    sections: [
      {
        ...result,
        text: page.lead,
        ...(commits.length > 1 && {
          warnings: [`Rows are of several commits: ${commits.join(", ")}.`],
        }),
      },
      costOf(rows),
      made,
      reproduceSection({
        line: `deno task experiment run ${results.experiment} --seeds ${seeds.join(",")} ` +
          `--epochs ${settings.epochs} --out ${AGAIN}`,
        note:
          "On the same machine the counts come out the same. Arms that exist in the folder are skipped.",
        commit: environment.commit,
      }),
    ],
  };
}
