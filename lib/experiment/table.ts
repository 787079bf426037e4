/**
 * The table of an experiment: a row an arm, its measures with intervals, differences from the base arm (grey when
 * inside the noise), the paper's numbers beside them, and below what the reader must know. Numbers: `summary.ts`.
 */
import { formatTable } from "../report/table.ts";
import type { Estimate } from "../eval/two_level.ts";
import type { Experiment } from "./experiment.ts";
import type { ArmSummary } from "./summary.ts";

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

/** Decimals that a column needs: two, more where its intervals are narrower than a hundredth. */
function decimalsFor(estimates: readonly Estimate[]): number {
  const widest = Math.max(...estimates.map(({ low, high }) => (high - low) / 2));
  return widest > 0 ? Math.min(6, Math.max(2, 1 + Math.floor(-Math.log10(widest)))) : 2;
}

/** A number without a minus before nothing but zeros. */
const fixed = (x: number, decimals: number) => x.toFixed(decimals).replace(/^-(?=[0.]+$)/, "");

/** `3.21 [3.05, 3.40]`. */
const show = ({ value, low, high }: Estimate, decimals: number) =>
  `${fixed(value, decimals)} [${fixed(low, decimals)}, ${fixed(high, decimals)}]`;

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

const differencesOf = (arms: readonly ArmSummary[], measure: string) =>
  arms.flatMap(({ differences }) => differences === undefined ? [] : [differences[measure]]);

function measureColumns(
  measure: string,
  { arms, base }: { arms: readonly ArmSummary[]; base: string },
): [string, (arm: ArmSummary) => Cell][] {
  const decimals = decimalsFor(arms.map((a) => a.values[measure]));
  const apart = decimalsFor(differencesOf(arms, measure));
  return [
    [measure, ({ values }) => ({ text: show(values[measure], decimals) })],
    [`against ${base}`, ({ differences }) => {
      const found = differences?.[measure];
      if (found === undefined) return { text: "" };
      return { text: signed(found.value, show(found, apart)), grey: found.insideNoise };
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

/** `0.08 to 0.18`. */
function range(values: readonly number[], decimals: number): string {
  const [low, high] = [Math.min(...values), Math.max(...values)].map((x) => fixed(x, decimals));
  return low === high ? low : `${low} to ${high}`;
}

/** Of each measure: what these prompts could show, and twice as many. */
function smallestOf(arms: readonly ArmSummary[]): string {
  const { values, prompts } = arms[0];
  return Object.keys(values).map((measure) => {
    const apart = differencesOf(arms, measure), decimals = decimalsFor(apart);
    const now = range(apart.map((d) => d.smallestDetectable), decimals);
    const twice = range(apart.map((d) => d.smallestOfTwice), decimals);
    return `${measure} ${now} (${twice} with ${2 * prompts} prompts)`;
  }).join("; ");
}

function notesOf(experiment: Experiment, arms: readonly ArmSummary[]): string[] {
  const { paper } = experiment;
  const apart = arms.flatMap(({ differences }) => Object.values(differences ?? {}));
  const missing = experiment.arms.filter((a) => !arms.some((s) => s.arm === a.name));
  const seeds = [...new Set(arms.map((a) => a.seeds))], { prompts } = arms[0];
  const who = seeds.length === 1
    ? `${seeds[0]} seed${seeds[0] === 1 ? "" : "s"}`
    : `${Math.min(...seeds)} to ${Math.max(...seeds)} seeds`;
  const alone = Math.min(...seeds) === 1 ? ", of one seed over prompts alone" : "";
  const over = Math.max(...seeds) === 1 ? "prompts alone" : `seeds and prompts${alone}`;
  return [
    `${who}, ${prompts} prompts; brackets: 95 % interval over ${over}, differences paired.`,
    ...(apart.some((d) => d.insideNoise)
      ? ["Grey (in parentheses): the difference is inside the noise."]
      : []),
    ...(apart.length > 0
      ? [`Smallest detectable difference (80 % power at 5 %), by arm: ${smallestOf(arms)}.`]
      : []),
    ...(paper ? [`Paper: ${paper.title}.`] : []),
    ...(missing.length > 0 ? [`Not run: ${missing.map((a) => a.name).join("; ")}.`] : []),
  ];
}

/** The table of an experiment's arms, one or more, as `summarizeResults` found them. */
export function tabulate(experiment: Experiment, arms: readonly ArmSummary[]): ResultTable {
  const { base } = experiment;
  const columns: [string, (arm: ArmSummary) => Cell | string][] = [
    ["arm", ({ arm }) => arm],
    ...trainingColumns(arms),
    ...Object.keys(arms[0].values).flatMap((m) => measureColumns(m, { arms, base })),
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
