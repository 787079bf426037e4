/**
 * Traces: what was drafted, accepted and emitted in every round of some generations, a JSON row a line. The
 * rows, the reader that checks them, and the way back to `Generation`s, so that the metrics of `lib/eval` hold
 * for a trace as for the run that left it. Written by `trace_writer.ts`, shown by `trace_page.ts`.
 */
import { readFile } from "node:fs/promises";
import type { Generation } from "../eval/metrics.ts";
import type { Json } from "../io/json.ts";
import type { EndReason, GenerationEvent, RoundEvent, RoundTrace } from "./events.ts";

/** What is generated: a prompt and how it is decoded. */
export interface TraceSubject {
  id: string;
  category: string;
  /** Token ids. */
  prompt: readonly number[];
  /** Shown as they are; `target` and `draft` name the models' folders. */
  settings: Json;
}

/** The prompt has been read; `tokens` is the first one, chosen by prefill. */
export interface StartRow extends TraceSubject {
  type: "start";
  /** Which generation of the file, from 0; rows of several may alternate. */
  generation: number;
  tokens: number[];
  prefillMs: number;
}

/** One round, numbered from 1. `tokens` are those emitted, cut where the generation ends. */
export interface RoundRow extends RoundEvent {
  generation: number;
  round: number;
}

export interface EndRow {
  type: "end";
  generation: number;
  reason: EndReason;
}

export type TraceRow = StartRow | RoundRow | EndRow;

/** The rows of one generation; without `end` where the run was stopped in its midst. */
export interface TracedGeneration {
  start: StartRow;
  rounds: RoundRow[];
  end?: EndRow;
}

export interface Trace {
  generations: TracedGeneration[];
  /** Number of a last line that was cut off, as by a kill. It is left out. */
  cutLine?: number;
}

/** Six digits: more than a page shows, a third of the file. */
const short = (values: readonly number[]) => values.map((x) => Number(x.toPrecision(6)));

/** The row of an event; `round` counts the rounds of its generation so far, this one included. */
export function traceRow(
  event: GenerationEvent,
  { generation, round, subject }: { generation: number; round: number; subject: TraceSubject },
): TraceRow {
  switch (event.type) {
    case "prefill": {
      const prompt = [...subject.prompt], { tokens, ms: prefillMs } = event;
      return { type: "start", generation, ...subject, prompt, tokens, prefillMs };
    }
    case "round": {
      const { trace, ...rest } = event, row = { generation, round, ...rest };
      if (trace === undefined) return row;
      const { scores, probabilities } = trace;
      return {
        ...row,
        trace: { ...trace, scores: short(scores), probabilities: short(probabilities) },
      };
    }
    case "end":
      return { type: "end", generation, reason: event.reason };
  }
}

type Test = readonly [wanted: string, holds: (value: unknown) => boolean];

const isCount = (v: unknown): v is number => Number.isInteger(v) && (v as number) >= 0;
const isList = (holds: (v: unknown) => boolean) => (v: unknown) =>
  Array.isArray(v) && v.every(holds);
const isObject = (v: unknown): v is Json => typeof v === "object" && v !== null;

const COUNT: Test = ["a whole number from 0", isCount];
const TOKENS: Test = ["a list of token ids", isList(isCount)];
const TEXT: Test = ["a text", (v) => typeof v === "string"];
const TIME: Test = ["milliseconds from 0", (v) => Number.isFinite(v) && (v as number) >= 0];
const OBJECT: Test = ["an object", (v) => isObject(v) && !Array.isArray(v)];

const FIELDS: Record<TraceRow["type"], Record<string, Test>> = {
  start: {
    generation: COUNT,
    id: TEXT,
    category: TEXT,
    prompt: TOKENS,
    tokens: TOKENS,
    prefillMs: TIME,
    settings: OBJECT,
  },
  round: {
    generation: COUNT,
    round: COUNT,
    tokens: TOKENS,
    drafted: COUNT,
    depth: COUNT,
    accepted: COUNT,
    draftMs: TIME,
    verifyMs: TIME,
    sampleMs: TIME,
    hostMs: TIME,
  },
  end: { generation: COUNT, reason: TEXT },
};

/** Scores of minus infinity are null in JSON. */
const isScore = (v: unknown) => v === null || typeof v === "number";
const isProbability = (v: unknown) => typeof v === "number" && v >= 0 && v <= 1 + 1e-6;

/** Tests of a tree; the later ones rely on the earlier. */
const TREE: readonly (readonly [keyof RoundTrace, string, (trace: RoundTrace) => boolean])[] = [
  [
    "tokens",
    "a token id a node, root first",
    ({ tokens }) => isList(isCount)(tokens) && tokens.length > 0,
  ],
  [
    "parents",
    "-1, then the number of an earlier node for each node",
    ({ parents, tokens }) =>
      Array.isArray(parents) && parents.length === tokens.length &&
      parents.every((p, i) => i === 0 ? p === -1 : isCount(p) && p < i),
  ],
  [
    "scores",
    "a number a node",
    ({ scores, tokens }) => isList(isScore)(scores) && scores.length === tokens.length,
  ],
  [
    "choices",
    "a token id a node",
    ({ choices, tokens }) => isList(isCount)(choices) && choices.length === tokens.length,
  ],
  [
    "probabilities",
    "a number from 0 to 1 a node",
    ({ probabilities, tokens }) =>
      isList(isProbability)(probabilities) && probabilities.length === tokens.length,
  ],
  [
    "path",
    "nodes, each the child of the one before",
    ({ path, parents }) =>
      Array.isArray(path) &&
      path.every((node, i) => isCount(node) && parents[node] === (i === 0 ? 0 : path[i - 1])),
  ],
];

const shown = (value: unknown) => {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
};

/** Everything wrong with one row by itself. */
function rowFault(row: unknown): string | undefined {
  const type = isObject(row) ? row.type : undefined;
  if (!isObject(row) || typeof type !== "string" || !Object.hasOwn(FIELDS, type)) {
    return `found ${shown(row)}, wanted a row of type start, round or end`;
  }
  for (const [name, [wanted, holds]] of Object.entries(FIELDS[type as TraceRow["type"]])) {
    if (!holds(row[name])) return `found ${name} ${shown(row[name])}, wanted ${wanted}`;
  }
  if (type !== "round") return undefined;
  const emitted = (row.tokens as number[]).length, { drafted, accepted } = row;
  if (emitted > (accepted as number) + 1) {
    return `found ${emitted} tokens and ${accepted} accepted, wanted at most one token more`;
  }
  if (row.trace === undefined) return undefined;
  if (!isObject(row.trace)) return `found trace ${shown(row.trace)}, wanted an object`;
  const trace = row.trace as unknown as RoundTrace;
  for (const [name, wanted, holds] of TREE) {
    if (!holds(trace)) return `found trace.${name} ${shown(trace[name])}, wanted ${wanted}`;
  }
  if (trace.tokens.length - 1 !== drafted || trace.path.length !== accepted) {
    return `found ${drafted} drafted and ${accepted} accepted, wanted ` +
      `${trace.tokens.length - 1} and ${trace.path.length} as in its trace`;
  }
  return undefined;
}

/** Takes a sound row to its generation; says what is wrong with its place in the file. */
function place(row: TraceRow, generations: TracedGeneration[]): string | undefined {
  const of = generations[row.generation];
  if (row.type === "start") {
    if (row.generation !== generations.length) {
      return `found the start of generation ${row.generation}, wanted ${generations.length}`;
    }
    generations.push({ start: row, rounds: [] });
    return undefined;
  }
  if (of === undefined || of.end !== undefined) {
    return `found a row of generation ${row.generation}, wanted one that has begun and not ended`;
  }
  if (row.type === "end") of.end = row;
  else if (row.round !== of.rounds.length + 1) {
    return `found round ${row.round} of generation ${row.generation}, wanted ${
      of.rounds.length + 1
    }`;
  } else of.rounds.push(row);
  return undefined;
}

/** Minus infinity again where JSON has null. */
function revive(row: TraceRow): TraceRow {
  if (row.type !== "round" || row.trace === undefined) return row;
  const scores = row.trace.scores.map((s) => s ?? -Infinity);
  return { ...row, trace: { ...row.trace, scores } };
}

/**
 * The generations of a trace's text. A last line that was cut off is left out and named in `cutLine`.
 * @throws with `name`, the line's number from 1, what was found and what was wanted.
 */
export function parseTrace(text: string, { name = "the trace" } = {}): Trace {
  const generations: TracedGeneration[] = [], lines = text.split("\n");
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const isLast = i === lines.length - 1; // what follows the last line break: a whole row, or a part
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch {
      if (isLast && line.startsWith("{")) return { generations, cutLine: i + 1 };
      row = undefined;
    }
    const fault = row === undefined
      ? `found ${shown(line)}, wanted a JSON object`
      : rowFault(row) ?? place(revive(row as TraceRow), generations);
    if (fault !== undefined) throw new Error(`Cannot read ${name}, line ${i + 1}: ${fault}`);
  }
  return { generations };
}

/** Reads a trace. @throws as `parseTrace` does, and when there is no such file. */
export async function readTrace(path: string): Promise<Trace> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const found = code === "ENOENT" ? "no such file" : code === "EISDIR" ? "a folder" : message;
    throw new Error(`Cannot read ${path}: found ${found}, wanted a trace (--trace of a task)`, {
      cause,
    });
  }
  return parseTrace(text, { name: path });
}

/** The generation as the metrics know it; equal to the record of the run, times included. */
export function toGeneration({ start, rounds }: TracedGeneration): Generation {
  return {
    tokens: [...start.tokens, ...rounds.flatMap((r) => r.tokens)],
    prefillMs: start.prefillMs,
    decodeMs: rounds.reduce((sum, r) => sum + (r.draftMs + r.verifyMs + r.sampleMs + r.hostMs), 0),
    rounds: rounds.map(({ type: _, generation: __, round: ___, trace: ____, tokens, ...rest }) => ({
      emitted: tokens.length,
      ...rest,
    })),
  };
}
