/**
 * Rows of many runs as one flat table, for SQL: a row a prompt of an evaluation, an update or validation of a
 * training, a prompt of an experiment's arm. Every row has every column, null where it has no such thing, so that the
 * lines become one table in any reader of JSON lines. Queried without more by `query.ts`.
 */
import type { Environment } from "./environment.ts";
import type { Inputs } from "./provenance.ts";
import type { TrainingRun } from "./run_folder.ts";
import type { StoredEvaluation, TrainingRecord } from "./stored_run.ts";
import { offsetsOf } from "./training_figures.ts";

/** Columns in order, with their SQL type. */
export const COLUMNS = {
  /** Name of the run, and what a row is: prompt, update, validation, arm. */
  run: "TEXT",
  kind: "TEXT",
  question: "TEXT",
  /** Where and how. */
  date: "TEXT",
  commit_id: "TEXT",
  cpu: "TEXT",
  backend: "TEXT",
  lockfile: "TEXT",
  target: "TEXT",
  draft: "TEXT",
  data: "TEXT",
  seed: "INTEGER",
  /** The task's options as a JSON object. */
  options: "TEXT",
  /** Of prompts. */
  suite: "TEXT",
  prompt: "TEXT",
  category: "TEXT",
  prompt_tokens: "INTEGER",
  tokens: "INTEGER",
  emitted: "INTEGER",
  forwards: "INTEGER",
  accepted: "INTEGER",
  drafted: "INTEGER",
  plain_ms: "REAL",
  speculative_ms: "REAL",
  plain_prefill_ms: "REAL",
  speculative_prefill_ms: "REAL",
  identical: "INTEGER",
  /** Of updates and validations; `update_number` counts on from stage to stage, `pass` is the last one. */
  stage: "INTEGER",
  update_number: "INTEGER",
  pass: "INTEGER",
  loss: "REAL",
  top1: "REAL",
  top3: "REAL",
  top10: "REAL",
  misaligned: "REAL",
  kept: "REAL",
  tau: "REAL",
  learning_rate: "REAL",
  gradient_norm: "REAL",
  ms: "REAL",
  memory_megabytes: "REAL",
  /** Of experiments. */
  experiment: "TEXT",
  arm: "TEXT",
  measure: "TEXT",
} as const;

export type Column = keyof typeof COLUMNS;
export type RunRow = Record<Column, string | number | null>;

const EMPTY = Object.fromEntries(Object.keys(COLUMNS).map((c) => [c, null])) as RunRow;

/** A number, or null: JSON knows no NaN. */
const finite = (value: number | undefined) => Number.isFinite(value) ? value! : null;

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** What all rows of a run share. */
function shared(
  run: string,
  { environment, inputs, question, options }: {
    environment?: Partial<Environment>;
    inputs?: Inputs;
    question?: string;
    options?: Record<string, unknown>;
  },
): RunRow {
  const seed = options?.seed;
  return {
    ...EMPTY,
    run,
    question: question ?? null,
    date: environment?.date ?? null,
    commit_id: environment?.commit ?? null,
    cpu: environment?.cpu ?? null,
    backend: environment?.backend ?? null,
    lockfile: environment?.lockfile ?? null,
    target: inputs?.target.hash ?? null,
    draft: inputs?.draft?.hash ?? null,
    data: inputs?.data?.hash ?? null,
    seed: typeof seed === "number" ? seed : null,
    options: options === undefined ? null : JSON.stringify(options),
  };
}

/** A row a prompt; none of an evaluation that did not store its prompts. */
export function evaluationRows(run: string, evaluation: StoredEvaluation): RunRow[] {
  const { environment, inputs, question, command, settings, details = [] } = evaluation;
  const base = shared(run, {
    environment,
    inputs,
    question,
    options: command?.options ?? settings,
  });
  return details.flatMap(({ suite, results }) =>
    results.map(({ id, category, promptTokens, plain, speculative }) => {
      const { rounds, tokens } = speculative;
      return {
        ...base,
        kind: "prompt",
        suite,
        prompt: id,
        category,
        prompt_tokens: promptTokens,
        tokens: tokens.length,
        emitted: sum(rounds.map((r) => r.emitted)),
        forwards: rounds.length,
        accepted: sum(rounds.map((r) => r.accepted)),
        drafted: sum(rounds.map((r) => r.drafted)),
        plain_ms: plain.decodeMs,
        speculative_ms: speculative.decodeMs,
        plain_prefill_ms: plain.prefillMs,
        speculative_prefill_ms: speculative.prefillMs,
        identical: `${plain.tokens}` === `${tokens}` ? 1 : 0,
      };
    })
  );
}

/** A row an update, a row a validation, in order. */
export function trainingRows(
  name: string,
  { run, record }: { run: TrainingRun; record: Partial<TrainingRecord> },
): RunRow[] {
  const { inputs, question, command } = record;
  const environment = record.environment ?? run.environment;
  const base = shared(name, { environment, inputs, question, options: command?.options });
  const offsets = offsetsOf(run.stages);
  return run.stages.flatMap((events, s) =>
    events.flatMap((event): RunRow[] => {
      if (event.type === "checkpoint") return [];
      const last = event.passes.at(-1);
      const row: RunRow = {
        ...base,
        kind: event.type === "step" ? "update" : "validation",
        stage: s + 1,
        update_number: offsets[s] + event.step,
        pass: event.passes.length,
        loss: finite(event.loss),
        top1: finite(last?.top1),
        top3: finite(last?.top3),
        top10: finite(last?.top10),
        misaligned: finite(last?.misaligned),
        kept: finite(last?.kept),
      };
      if (event.type === "validation") {
        const { emitted = null, forwards = null, value = null } = event.tau ?? {};
        return [{ ...row, tau: value, emitted, forwards }];
      }
      return [{
        ...row,
        tokens: event.tokens,
        learning_rate: finite(event.learningRate),
        gradient_norm: finite(event.gradientNorm),
        ms: finite(event.ms),
        memory_megabytes: finite(event.memoryMegabytes),
      }];
    })
  );
}

/** One arm with one seed, as a results file holds it. */
export interface ArmCounts {
  arm: string;
  seed: number;
  counts: Record<string, readonly (readonly [numerator: number, denominator: number])[]>;
  target?: string;
  date?: string;
  commit?: string;
}

/** A row a prompt, arm, seed and measure: `emitted` over `forwards` is its ratio. */
export function experimentRows(
  run: string,
  { experiment, settings, rows }: {
    experiment: string;
    settings: object;
    rows: readonly ArmCounts[];
  },
): RunRow[] {
  return rows.flatMap(({ arm, seed, counts, target = null, date = null, commit = null }) =>
    Object.entries(counts).flatMap(([measure, pairs]) =>
      pairs.map(([emitted, forwards], i) => ({
        ...EMPTY,
        run,
        kind: "arm",
        date,
        commit_id: commit,
        target,
        seed,
        options: JSON.stringify(settings),
        prompt: String(i),
        emitted,
        forwards,
        experiment,
        arm,
        measure,
      }))
    )
  );
}

/** Rows as JSON lines, without the ends of lines. */
export function* jsonLines(rows: Iterable<RunRow>): Generator<string> {
  for (const row of rows) yield JSON.stringify(row);
}
