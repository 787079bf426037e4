/**
 * The report of an experiment's results, for `renderPage` and `renderMarkdown`: its table with intervals over seeds
 * and prompts, tau by arm as a figure, cost, and the command that makes it again. From stored rows only. Numbers:
 * `summary.ts`; the table: `table.ts`.
 */
import { type Environment, NOT_RECORDED, UNKNOWN_PLACE } from "../report/environment.ts";
import { axis, COLORS, layout, round } from "../report/figure_layout.ts";
import type { Figure } from "../report/figures.ts";
import type { Page } from "../report/page.ts";
import { AGAIN } from "../report/provenance.ts";
import {
  costSection,
  formatSeconds,
  reproduceSection,
  settingsSection,
} from "../report/report_sections.ts";
import { settingRows } from "../report/training_page.ts";
import type { Experiment } from "./experiment.ts";
import type { Results, Row } from "./rows.ts";
import { summarizeResults } from "./summary.ts";
import { tabulate } from "./table.ts";

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

/** Dots with whiskers, an arm a line. */
function armFigure(experiment: Experiment, results: Results, measure: string): Figure {
  const rows = summarizeResults(experiment, results).map(({ arm, values }) => ({
    arm,
    ...values[measure],
  }));
  return {
    title: `${measure} by arm, 95 % interval`,
    data: [{
      type: "scatter",
      mode: "markers",
      x: rows.map((r) => r.value),
      y: rows.map((r) => r.arm),
      marker: { color: COLORS[0], size: 9 },
      error_x: {
        type: "data",
        symmetric: false,
        array: rows.map((r) => r.high - r.value),
        arrayminus: rows.map((r) => r.value - r.low),
        color: "#999999",
        thickness: 2,
      },
    }],
    layout: layout({
      xaxis: axis(measure),
      yaxis: axis("", { autorange: "reversed", type: "category", ticksuffix: " " }),
    }, { height: 120 + 28 * rows.length }),
    table: [
      ["arm", measure, "low", "high"],
      ...rows.map((r) => [r.arm, round(r.value), round(r.low), round(r.high)]),
    ],
  };
}

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

/** `environment` where the experiment recorded one; its rows hold date, commit and target. */
export function experimentReport(
  experiment: Experiment,
  results: Results,
  { question = experiment.question }: { question?: string } = {},
): Page {
  const { rows, settings } = results, table = tabulate(experiment, results);
  const environment = resultsPlace(results);
  const cells = [
    table.heading,
    ...table.rows.map((row) => row.map((c) => c.grey ? `(${c.text})` : c.text)),
  ];
  const seeds = [...new Set(rows.map((r) => r.seed))];
  const commits = valuesOf(rows, "commit");
  const own = Object.keys(rows[0].counts);
  return {
    title: `GRIFFIN Lab: experiment ${results.experiment}`,
    lead: question,
    environment,
    sections: [
      {
        heading: "Result",
        text: table.notes.join(" "),
        ...(commits.length > 1 && {
          warnings: [`Rows are of several commits: ${commits.join(", ")}.`],
        }),
        table: cells,
        figures: own.map((measure) => armFigure(experiment, results, measure)),
      },
      costOf(rows),
      settingsSection({
        ...Object.fromEntries(settingRows({ ...settings })),
        seeds: seeds.join(", "),
        target: valuesOf(rows, "target").join(", "),
      }),
      reproduceSection({
        line: `deno task experiment run ${results.experiment} --seeds ${seeds.join(",")} ` +
          `--epochs ${settings.epochs} --out ${AGAIN}`,
        note: "Arms that exist in the folder are skipped.",
        commit: environment.commit,
      }),
    ],
  };
}
