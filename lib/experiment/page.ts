/**
 * An experiment as a page: question, table, a figure a measure, and with what its rows were made. A value that
 * `lib/report/page.ts` renders; the table is the one of `table.ts`.
 */
import type { Environment } from "../report/environment.ts";
import { valuesWithIntervals } from "../report/figures.ts";
import type { Page } from "../report/page.ts";
import type { Experiment } from "./experiment.ts";
import type { Results } from "./rows.ts";
import { summarizeResults } from "./summary.ts";
import { tabulate } from "./table.ts";

const unique = (values: readonly string[]) => [...new Set(values)].sort().join(", ");

/** The page of an experiment's rows; `environment` is where the page is made, rows name their own date and commit. */
export function experimentPage(
  experiment: Experiment,
  results: Results,
  { environment }: { environment: Environment },
): Page {
  const arms = summarizeResults(experiment, results), { settings } = results;
  const { heading, rows, notes } = tabulate(experiment, arms);
  const figures = Object.keys(arms[0].values).map((measure) =>
    valuesWithIntervals(
      arms.map(({ arm, values: { [measure]: { value, low, high } } }) => ({
        name: arm,
        value,
        interval: [low, high] as const,
      })),
      { title: measure, values: measure, base: experiment.base },
    )
  );
  const cells = rows.map((row) => row.map((c) => c.grey ? `(${c.text})` : c.text));
  return {
    title: experiment.question,
    lead: notes.join(" "),
    sections: [
      { heading: "Result", table: [heading, ...cells], figures },
      {
        heading: "Made with",
        table: [
          ["what", "value"],
          ["experiment", experiment.name],
          ["dates of rows", unique(results.rows.map((r) => r.date))],
          ["commits of rows", unique(results.rows.map((r) => r.commit))],
          ["target", unique(results.rows.map((r) => r.target))],
          ...Object.entries(settings).map(([key, value]) => [key, JSON.stringify(value)]),
        ],
      },
    ],
    environment,
  };
}
