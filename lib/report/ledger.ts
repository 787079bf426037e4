/**
 * The ledger: every cell of the paper's Table 1 with our number beside it, where a stored evaluation is of that target,
 * draft, question set and temperature. The paper's numbers are in `paper_results.ts`, evaluations in `stored_run.ts`;
 * `deno task report ledger` finds the runs and prints it.
 */
import { type PromptResult, speedup, tauUpstream } from "../eval/metrics.ts";
import { PAPER_OPTIONS, PAPER_SUITES } from "../eval/protocol.ts";
import { bootstrap } from "../eval/stats.ts";
import { type PaperModel, TABLE_1 } from "./paper_results.ts";
import type { OptionValue } from "./provenance.ts";
import type { StoredEvaluation } from "./stored_run.ts";
import { withInterval } from "./table.ts";

/** How the paper's number stands to the 95 % interval of ours; both rounded as the paper prints. */
export type Verdict = "match" | "below" | "above" | "not run";

/** Our number and its 95 % interval over questions. */
export interface Measured {
  value: number;
  interval: [number, number];
}

export interface LedgerCell {
  model: string;
  method: string;
  temperature: number;
  suite: string;
  paper: { speedup: number; tau: number };
  /** The run that fills it. */
  ours?: {
    run: string;
    /** As the published script counts it, whose numbers the paper's are; griffin.md section 7. */
    tau: Measured;
    speedup: Measured;
    /** In what it is not as the authors measure; where it ran is always another place. */
    differs: string[];
  };
  verdicts: { tau: Verdict; speedup: Verdict };
}

/** Published methods that `--method` and `--tree` name; the others are told apart by their drafts. */
const LOOKUP = "PLD", STATIC = "EAGLE";

/** An evaluation and where it is stored. */
export interface FoundEvaluation {
  path: string;
  evaluation: StoredEvaluation;
}

/**
 * Is what was given on a command line this published model? Its name on the hub, with a revision or without, a folder
 * of its snapshots in a cache, or a folder of the same last name.
 */
export function isModel(given: OptionValue | undefined, published: string): boolean {
  const name = String(given ?? "").replace(/\/+$/, "").replace(/@[^/]*$/, "").toLowerCase();
  const wanted = published.toLowerCase(), last = wanted.split("/")[1];
  return name === wanted || name.split("/").at(-1) === last ||
    name.includes(`models--${wanted.replace("/", "--")}/snapshots/`);
}

const optionsOf = ({ command, settings }: StoredEvaluation): Record<string, OptionValue> =>
  command?.options ?? settings;

/** Is this evaluation of that row of Table 1? */
function isOf(
  evaluation: StoredEvaluation,
  { target, drafts }: PaperModel,
  { method, temperature }: { method: string; temperature: number },
): boolean {
  const options = optionsOf(evaluation), draft = drafts[method];
  if (!isModel(options.target, target) || options.temperature !== temperature) return false;
  if (method === LOOKUP) return options.method === "lookup";
  const isStatic = String(options.tree).startsWith("static:");
  return draft !== undefined && options.method === "tree" && isStatic === (method === STATIC) &&
    isModel(options.draft, draft);
}

/** What of an evaluation is not as the authors measure, as options would name it. */
function differencesOf(evaluation: StoredEvaluation, method: string, questions: number): string[] {
  const options = optionsOf(evaluation);
  const names = ["tokens", "system", ...(method === LOOKUP || method === STATIC ? [] : ["tree"])];
  const found = names.flatMap((name) => {
    const wanted = PAPER_OPTIONS[name as keyof typeof PAPER_OPTIONS], value = options[name];
    return value === wanted ? [] : [`--${name} ${value ?? "not recorded"}`];
  });
  if (options["target-bits"] === "8") found.push("--target-bits 8");
  return questions === PAPER_OPTIONS.count ? found : [`${questions} questions`, ...found];
}

function measure(
  results: readonly PromptResult[],
  statistic: (results: readonly PromptResult[]) => number,
): Measured {
  const { low, high } = bootstrap(results, statistic);
  return { value: statistic(results), interval: [low, high] };
}

const rounded = (x: number) => Number(x.toFixed(2));

/** Ours against the paper's: the paper's inside our interval is a match. */
export function verdictOf({ interval }: Measured, paper: number): Verdict {
  const [low, high] = interval.map(rounded);
  return high < paper ? "below" : low > paper ? "above" : "match";
}

/** What an evaluation has of one question set; nothing where its prompts were not stored. */
function resultsOf({ details = [] }: StoredEvaluation, suite: string): PromptResult[] {
  return details.find((d) => d.suite === suite)?.results ?? [];
}

/** All cells of Table 1 that hold a number, in its order. Of several runs of a cell the one of most questions, then the newest. */
export function ledgerOf(
  found: readonly FoundEvaluation[],
  { models = TABLE_1 }: { models?: readonly PaperModel[] } = {},
): LedgerCell[] {
  return models.flatMap((paper) =>
    Object.entries(paper.rows).flatMap(([method, byTemperature]) =>
      byTemperature.flatMap((cells, temperature) => {
        const runs = found.filter(({ evaluation }) =>
          isOf(evaluation, paper, { method, temperature })
        );
        return PAPER_SUITES.flatMap((suite, s) =>
          cells === null ? [] : [cellOf(runs, {
            model: paper.model,
            method,
            temperature,
            suite,
            paper: { speedup: cells[s][0], tau: cells[s][1] },
          })]
        );
      })
    )
  );
}

function cellOf(
  runs: readonly FoundEvaluation[],
  cell: Omit<LedgerCell, "ours" | "verdicts">,
): LedgerCell {
  const [best] = runs
    .map((run) => ({ ...run, results: resultsOf(run.evaluation, cell.suite) }))
    .filter(({ results }) => results.some(({ speculative }) => speculative.rounds.length > 1))
    .sort((a, b) =>
      b.results.length - a.results.length ||
      b.evaluation.environment.date.localeCompare(a.evaluation.environment.date)
    );
  if (best === undefined) return { ...cell, verdicts: { tau: "not run", speedup: "not run" } };
  const { path, evaluation, results } = best;
  const tau = measure(results, (drawn) => tauUpstream(drawn.map((r) => r.speculative)).value);
  const gain = measure(results, (drawn) => speedup(drawn).withoutPrefill);
  const differs = differencesOf(evaluation, cell.method, results.length);
  return {
    ...cell,
    ours: { run: path, tau, speedup: gain, differs },
    verdicts: {
      tau: verdictOf(tau, cell.paper.tau),
      speedup: verdictOf(gain, cell.paper.speedup),
    },
  };
}

/** The ledger as a table, heading first. */
export function ledgerRows(cells: readonly LedgerCell[]): (string | number)[][] {
  const shown = (measured: Measured | undefined) =>
    measured === undefined ? "-" : withInterval(measured.value, measured.interval);
  return [
    [
      ...["model", "method", "T", "suite", "paper: tau", "ours", "tau is"],
      ...["paper: speedup", "ours", "speedup is", "differs in"],
    ],
    ...cells.map(({ model, method, temperature, suite, paper, ours, verdicts }) => [
      ...[model, method, temperature, suite],
      ...[paper.tau.toFixed(2), shown(ours?.tau), verdicts.tau],
      ...[paper.speedup.toFixed(2), shown(ours?.speedup), verdicts.speedup],
      ours?.differs.join(", ") ?? "",
    ]),
  ];
}

/** `12 of 180 cells run: tau 3 match, 9 below, 0 above; speedup ...`. */
export function ledgerCount(cells: readonly LedgerCell[]): string {
  const run = cells.filter((c) => c.ours !== undefined);
  const of = (what: "tau" | "speedup") =>
    (["match", "below", "above"] as const).map((verdict) =>
      `${run.filter((c) => c.verdicts[what] === verdict).length} ${verdict}`
    ).join(", ");
  const counts = run.length === 0 ? "" : `; tau: ${of("tau")}; speedup: ${of("speedup")}`;
  return `${run.length} of ${cells.length} cells run${counts}`;
}

/** What a row of Table 1 needs: the command that fills its three cells, or why there is none. */
export interface LedgerCommand {
  model: string;
  method: string;
  temperature: number;
  command?: string;
  /** Why there is none. */
  missing?: string;
}

const slug = (text: string) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-");

/** Commands of all rows of Table 1 whose drafts are published under a name that is known. */
export function ledgerCommands(models: readonly PaperModel[] = TABLE_1): LedgerCommand[] {
  return models.flatMap(({ model, target, template, drafts, rows }) =>
    Object.entries(rows).flatMap(([method, byTemperature]) =>
      byTemperature.flatMap((cells, temperature): LedgerCommand[] => {
        if (cells === null) return [];
        const row = { model, method, temperature }, draft = drafts[method];
        const how = method === LOOKUP
          ? ["--method lookup"]
          : draft === undefined
          ? undefined
          : [`--draft ${draft}`, ...(method === STATIC ? ["--tree static:eagle1"] : [])];
        if (how === undefined) return [{ ...row, missing: missingOf(method) }];
        const out = `runs/ledger/${slug(model)}-${slug(method)}-t${temperature}`;
        const warm = temperature === 0 ? [] : [`--temperature ${temperature}`];
        const chat = template === undefined ? [] : [`--chat-template ${template}`];
        const words = [
          "deno task eval --protocol paper",
          `--target ${target}`,
          ...how,
          ...chat,
          ...warm,
        ];
        const kept = [`--out ${out}`, `--answers ${out}/{suite}.jsonl`];
        return [{ ...row, command: [...words, ...kept].join(" ") }];
      })
    )
  );
}

function missingOf(method: string): string {
  const others = ["Lookahead", "SPS", "Medusa"];
  if (others.includes(method)) return "this method is not among those that run here";
  return "no published draft of it is known by name";
}
