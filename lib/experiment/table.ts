/**
 * The table of an experiment: a row an arm, its measures with intervals, differences from the base arm (grey when
 * inside the noise), the paper's numbers beside them, and below what the reader must know. Numbers: `summary.ts`.
 */
import { formatTable, withInterval } from "../report/table.ts";
import type { Estimate } from "../eval/two_level.ts";
import type { Experiment } from "./experiment.ts";
import type { Results } from "./rows.ts";
import { type ArmSummary, summarizeResults } from "./summary.ts";

export interface Cell {
  text: string;
  /** A difference inside the noise. */
  grey?: boolean;
}

export interface ResultTable {
  heading: string[];
  rows: Cell[][];
  /** Lines to stand below. */
  notes: string[];
}

const signed = (x: number, text: string) => x > 0 ? `+${text}` : text;
const show = ({ value, low, high }: Estimate) => withInterval(value, [low, high]);

/** Columns that would say the same, or nothing, in every row are left out. */
function trainingColumns(arms: readonly ArmSummary[]): [string, (arm: ArmSummary) => string][] {
  if (!arms.some((a) => a.training)) return [];
  return [
    ["passes", ({ training }) => training?.passes.join("+") ?? ""],
    [
      "parameters",
      ({ training }) => training ? `${(training.parameters / 1e6).toFixed(2)} M` : "",
    ],
    ["tokens", ({ training }) => training ? `${Math.round(training.tokens / 1000)} k` : ""],
  ];
}

function measureColumns(
  measure: string,
  base: string,
): [string, (arm: ArmSummary) => Cell][] {
  return [
    [measure, ({ values }) => ({ text: show(values[measure]) })],
    [`against ${base}`, ({ differences }) => {
      const found = differences?.[measure];
      if (found === undefined) return { text: "" };
      return { text: signed(found.value, show(found)), grey: found.insideNoise };
    }],
  ];
}

function paperColumns(
  arms: readonly ArmSummary[],
  base: string,
): [string, (a: ArmSummary) => Cell][] {
  const own = arms.find((a) => a.arm === base)?.paper;
  if (!arms.some((a) => a.paper)) return [];
  return [
    ["paper: tau", ({ paper }) => ({ text: paper?.tau.toFixed(2) ?? "" })],
    [`paper: against ${base}`, ({ arm, paper }) => {
      if (arm === base || own === undefined || paper === undefined) return { text: "" };
      const apart = paper.tau - own.tau;
      return { text: signed(apart, apart.toFixed(2)) };
    }],
  ];
}

const range = (values: readonly number[]) => {
  const [low, high] = [Math.min(...values), Math.max(...values)].map((x) => x.toFixed(2));
  return low === high ? low : `${low} to ${high}`;
};

function notesOf(experiment: Experiment, arms: readonly ArmSummary[]): string[] {
  const { paper } = experiment,
    apart = arms.flatMap(({ differences }) => differences === undefined ? [] : [differences]);
  const missing = experiment.arms.filter((a) => !arms.some((s) => s.arm === a.name));
  const seeds = [...new Set(arms.map((a) => a.seeds))], { prompts } = arms[0];
  const who = seeds.length === 1
    ? `${seeds[0]} seed${seeds[0] === 1 ? "" : "s"}`
    : `${Math.min(...seeds)} to ${Math.max(...seeds)} seeds`;
  const over = Math.max(...seeds) === 1 ? "prompts alone" : "seeds and prompts";
  const smallest = Object.keys(arms[0].values).map((m) => {
    const of = (key: "smallestDetectable" | "smallestOfTwice") =>
      range(apart.map((d) => d[m][key]));
    return `${m} ${of("smallestDetectable")} (${of("smallestOfTwice")} with ${
      2 * prompts
    } prompts)`;
  });
  return [
    `${who}, ${prompts} prompts; brackets: 95 % interval over ${over}, differences paired.`,
    ...(apart.some((d) => Object.values(d).some((x) => x.insideNoise))
      ? ["Grey (in parentheses): the difference is inside the noise."]
      : []),
    ...(apart.length > 0
      ? [`Smallest detectable difference (80 % power at 5 %), by arm: ${smallest.join("; ")}.`]
      : []),
    ...(paper ? [`Paper: ${paper.title}.`] : []),
    ...(missing.length > 0 ? [`Not run: ${missing.map((a) => a.name).join("; ")}.`] : []),
  ];
}

/** The table of the arms that have rows. @throws as `summarizeResults` does. */
export function tabulate(experiment: Experiment, results: Results): ResultTable {
  const arms = summarizeResults(experiment, results), { base } = experiment;
  const columns: [string, (arm: ArmSummary) => Cell | string][] = [
    ["arm", ({ arm }) => arm],
    ...trainingColumns(arms),
    ...Object.keys(arms[0].values).flatMap((m) => measureColumns(m, base)),
    ...paperColumns(arms, base),
  ];
  return {
    heading: columns.map(([name]) => name),
    rows: arms.map((arm) =>
      columns.map(([, of]) => {
        const cell = of(arm);
        return typeof cell === "string" ? { text: cell } : cell;
      })
    ),
    notes: notesOf(experiment, arms),
  };
}

/** The table as text: for a terminal (`dim` greys a cell), for a file, or as Markdown. */
export function formatResults(
  { heading, rows, notes }: ResultTable,
  { markdown = false, dim }: { markdown?: boolean; dim?: (text: string) => string } = {},
): string {
  const cells = [heading, ...rows.map((row) => row.map((c) => c.grey ? `(${c.text})` : c.text))];
  if (markdown) {
    const line = (row: readonly string[]) => `| ${row.join(" | ")} |`;
    const [head, ...body] = cells;
    return [line(head), line(head.map(() => "---")), ...body.map(line), "", ...notes].join("\n");
  }
  const text = formatTable(cells);
  // Dimmed after the columns were measured: codes have no width.
  const shown = dim === undefined ? text : text.replace(/\([-+]?\d[^()]*\)/g, dim);
  return [shown, "", ...notes].join("\n");
}
