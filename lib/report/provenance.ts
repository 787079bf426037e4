/**
 * What a run says about how it was made: the task with its options as typed values, hashes of what it read, what it
 * cost. Stored beside its numbers by the tasks themselves, so that a report reads rows and never prose, and so that
 * one command line makes the run again. Where it was made: `environment.ts`; next on the walk: `stored_run.ts`.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import process from "node:process";

export type OptionValue = string | number | boolean | readonly string[];

/** A task as it was run. Options that were not given and have no default are absent. */
export interface RanCommand {
  task: string;
  options: Record<string, OptionValue>;
  /** Options whose values were not the defaults: the ones that a command line must name. */
  changed: string[];
}

/** Something that was read, with the first 16 hex digits of its SHA-256. */
export interface ReadThing {
  /** As it was named on the command line. */
  name: string;
  hash: string;
  bytes?: number;
  /** Questions or examples in it. */
  count?: number;
  tokens?: number;
}

/** What a run read, by its role: target, draft, suites, training data. */
export interface Inputs {
  target: ReadThing;
  draft?: ReadThing;
  suites?: ReadThing[];
  data?: ReadThing;
  validation?: ReadThing;
}

export interface Cost {
  /** Wall time of the task. */
  seconds: number;
  /** Tokens decoded, or read while training. */
  tokens: number;
  /** Largest resident memory of the process; 0 where it is not known. */
  peakBytes: number;
}

/** Where a command line lets a run be written, so that running it again leaves the first one alone. */
export const AGAIN = "runs/again";

/**
 * The record of a run task. `values` are all parsed options; those of `leaveOut` say where results go, not what they
 * are, and are not recorded.
 */
export function ranCommand(
  task: string,
  values: Record<string, unknown>,
  { declared, leaveOut = [] }: {
    declared: Record<string, { default?: OptionValue; type: string }>;
    leaveOut?: readonly string[];
  },
): RanCommand {
  const options: Record<string, OptionValue> = {}, changed: string[] = [];
  for (const [name, { type, default: fallback }] of Object.entries(declared)) {
    const value = values[name] as OptionValue | undefined;
    if (value === undefined || leaveOut.includes(name)) continue;
    options[name] = value;
    if (value !== (fallback ?? (type === "boolean" ? false : undefined))) changed.push(name);
  }
  return { task, options, changed };
}

/** A word of a command line for a POSIX shell. */
export const shellWord = (word: string) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** The line that runs a task again; `more` are options added to, or in place of, those that it had. */
export function commandLine(
  { task, options, changed }: RanCommand,
  { more = {} }: { more?: Record<string, OptionValue> } = {},
): string {
  const given = { ...Object.fromEntries(changed.map((name) => [name, options[name]])), ...more };
  const words = Object.entries(given).filter(([, value]) => value !== false).flatMap(
    ([name, value]) => {
      if (value === true) return [`--${name}`];
      // A value that begins with a dash would be taken for an option.
      return `${value}`.startsWith("-") ? [`--${name}=${value}`] : [`--${name}`, `${value}`];
    },
  );
  return ["deno", "task", task, ...words.map(shellWord)].join(" ");
}

/** The first 16 hex digits of the SHA-256 of parts, one after the other. */
export function hashOf(parts: Iterable<string | Uint8Array>): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 16);
}

/** Hash and size of a file. @throws when it cannot be read. */
export async function readThing(path: string, { name = path } = {}): Promise<ReadThing> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return { name, hash: hash.digest("hex").slice(0, 16), bytes: (await stat(path)).size };
}

/** The largest resident memory of this process so far, in bytes; 0 where the system does not say. */
export function peakBytes(): number {
  try {
    return process.resourceUsage().maxRSS * 1024;
  } catch {
    return 0;
  }
}
