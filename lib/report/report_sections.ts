/**
 * Sections that every report has, whatever was run: what was asked, what was read, what it cost, how to run it again.
 * What a run did not record is named as such. Sections of one kind: `evaluation_report.ts`, `training_report.ts`.
 */
import { NOT_RECORDED } from "./environment.ts";
import type { Section } from "./page.ts";
import { AGAIN, commandLine, type Cost, type Inputs, type OptionValue } from "./provenance.ts";
import type { RunRecord } from "./stored_run.ts";

/** `1.5 MB`, by thousands. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : 1)} ${units[power]}`;
}

/** `1 h 2 min`, `3 min 20 s`, `12.5 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const count = (n: number | undefined) => n === undefined ? "" : n.toLocaleString("en");

/** A row a thing that was read. */
export function inputsSection({ inputs }: { inputs?: Inputs }): Section {
  const heading = "What it read";
  if (inputs === undefined) {
    return {
      heading,
      text:
        `Hashes of target, draft and data: ${NOT_RECORDED} by this run. A run made anew has them.`,
    };
  }
  const { target, draft, suites = [], data, validation } = inputs;
  const things = [
    ["target", target] as const,
    ["draft", draft] as const,
    ...suites.map((s) => ["suite", s] as const),
    ["training data", data] as const,
    ["validation data", validation] as const,
  ];
  return {
    heading,
    text:
      "Hashes are the first 16 hex digits of SHA-256: of weight files, of the questions asked, of ids and loss masks.",
    table: [
      ["what", "name", "hash", "items", "tokens", "size"],
      ...things.flatMap(([what, thing]) =>
        thing === undefined ? [] : [[
          what,
          thing.name,
          thing.hash,
          count(thing.count),
          count(thing.tokens),
          thing.bytes === undefined ? "" : formatBytes(thing.bytes),
        ]]
      ),
    ],
  };
}

/** `more`: further rows of what it cost. */
export function costSection(
  { cost }: { cost?: Cost },
  { more = [] }: { more?: readonly (readonly [string, string])[] } = {},
): Section {
  const peak = cost === undefined || cost.peakBytes === 0
    ? NOT_RECORDED
    : formatBytes(cost.peakBytes);
  return {
    heading: "Cost",
    table: [
      ["what", "value"],
      ["wall time of the task", cost === undefined ? NOT_RECORDED : formatSeconds(cost.seconds)],
      ["tokens", cost === undefined ? NOT_RECORDED : count(cost.tokens)],
      ["largest memory of the process", peak],
      ...more,
    ],
  };
}

/** The line that makes the run again; undefined where the run did not record its options. */
export function reproduceLine(
  { command }: RunRecord,
  { more = {}, out = AGAIN }: { more?: Record<string, OptionValue>; out?: string } = {},
): string | undefined {
  return command && commandLine(command, { more: { ...more, out } });
}

/** How to make the run again; `line` from {@link reproduceLine}, `note` says what comes out the same. */
export function reproduceSection(
  { line, note, commit }: { line?: string; note: string; commit: string },
): Section {
  const heading = "How to reproduce";
  if (line === undefined) {
    return {
      heading,
      text: `The command line is ${NOT_RECORDED} by this run; its settings stand above.`,
    };
  }
  const dirty = commit.endsWith("with changes");
  return {
    heading,
    text: `${note} Code: commit ${commit.split(" ")[0]}.`,
    ...(dirty && {
      warnings: [
        "The files differed from that commit: what was changed is not recorded, so the numbers may differ.",
      ],
    }),
    code: line,
  };
}
