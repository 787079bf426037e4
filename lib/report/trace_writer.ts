/**
 * Writing a trace while it happens: events pass through and leave a row each, whole lines, so that a run that
 * is killed leaves a file that `trace.ts` reads. It decodes nothing and changes no event.
 */
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
} from "node:fs";
import { dirname } from "node:path";
import type { GenerationEvent } from "./events.ts";
import { parseTrace, traceRow, type TraceSubject } from "./trace.ts";

export interface TraceWriter extends Disposable {
  readonly path: string;
  /** Passes the events on and writes a row for each before it does. Several may run at once. */
  record(
    events: AsyncIterable<GenerationEvent>,
    subject: TraceSubject,
  ): AsyncGenerator<GenerationEvent>;
}

/** Ends the file after its last whole row; how many generations it has. */
function resume(file: number, path: string): number {
  const text = readFileSync(path, "utf8");
  const { generations, cutLine } = parseTrace(text, { name: path });
  if (cutLine !== undefined) {
    ftruncateSync(file, new TextEncoder().encode(text.slice(0, text.lastIndexOf("\n") + 1)).length);
  } else if (text !== "" && !text.endsWith("\n")) appendFileSync(file, "\n");
  return generations.length;
}

/**
 * Opens a trace for writing: a new one in place of the old, or with `append` one that goes on after the last
 * whole row of what is there. @throws naming the path when it cannot be written, or is no trace to go on with.
 */
export function openTrace(
  path: string,
  { append = false }: { append?: boolean } = {},
): TraceWriter {
  let file: number, generations: number;
  try {
    mkdirSync(dirname(path), { recursive: true });
    file = openSync(path, append ? "a" : "w");
  } catch (cause) {
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    generations = append ? resume(file, path) : 0;
  } catch (cause) {
    closeSync(file);
    throw cause;
  }
  return {
    path,
    async *record(events, subject) {
      let round = 0, generation = -1;
      for await (const event of events) {
        // Numbered by its first row, not by its call: another may have begun before this one did.
        if (generation < 0) generation = generations++;
        if (event.type === "round") round++;
        const row = traceRow(event, { generation, round, subject });
        // Synchronous, so that lines of generations that run at once never mix; rounds' times exclude it.
        appendFileSync(file, `${JSON.stringify(row)}\n`);
        yield event;
      }
    },
    [Symbol.dispose]: () => closeSync(file),
  };
}
