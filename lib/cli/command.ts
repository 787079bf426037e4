/**
 * The frame of every task: options declared once, `--help` made from them, errors as one line, `--json` as
 * one object on standard output, Ctrl-C as a signal. A task file parses with this, calls `lib`, prints.
 */
import process from "node:process";
import { parseArgs, styleText } from "node:util";
import { type RanCommand, ranCommand } from "../report/provenance.ts";
import { type ModelKind, openModels } from "./models.ts";

/** One option of a task. */
export interface Option {
  type: "string" | "number" | "integer" | "boolean";
  describe: string;
  default?: string | number | boolean;
  choices?: readonly string[];
  minimum?: number;
  maximum?: number;
  /** May be given without its name: words go to these options in the order of their declaration. */
  positional?: boolean;
  /** May be given several times, strings only; the last positional one also takes all words that are left. */
  many?: boolean;
  /** A name of one letter. */
  short?: string;
  /** A folder, or a name of the hub, which the task is then given as a folder; texts: without weights. */
  model?: ModelKind;
}

type Value<O extends Option> = O extends { many: true } ? string[]
  : O extends { type: "boolean" } ? boolean
  : O extends { type: "string"; default: string } ? string
  : O extends { type: "string" } ? string | undefined
  : O extends { default: number } ? number
  : number | undefined;

/** Parsed options by name. */
export type Values<S extends Record<string, Option>> = { [K in keyof S]: Value<S[K]> };

export interface Command<S extends Record<string, Option>> {
  name: string;
  summary: string;
  options: S;
  /** Values of options that are not given, where others decide them. */
  presets?(options: Values<S>): Record<string, string | number>;
}

/** What a task prints with. */
export interface Io {
  /** A line for people: standard output, or standard error when `--json` was given. */
  say(line: string): void;
  /** The result as one object; printed with `--json` only. */
  result(value: unknown): void;
  /** This run of the task with its options, for reports; `leaveOut`: options that say where results go. */
  ran(leaveOut?: readonly string[]): RanCommand;
  /** Aborted by the first Ctrl-C. */
  signal: AbortSignal;
}

const JSON_OPTION = {
  type: "boolean",
  describe: "print one JSON object on standard output, everything else on standard error",
} as const;
const HELP_OPTION = { type: "boolean", describe: "print this and stop" } as const;

const OFFLINE_OPTION = {
  type: "boolean",
  describe: "download nothing: models by name come from the cache (as with HF_HUB_OFFLINE=1)",
} as const;

/** Declared options, and those that tasks have in common. */
const allOptions = (options: Record<string, Option>): Record<string, Option> => ({
  ...options,
  ...(Object.values(options).some((o) => o.model !== undefined) && { offline: OFFLINE_OPTION }),
  json: JSON_OPTION,
  help: HELP_OPTION,
});

/** The text of `--help`. */
export function helpText({ name, summary, options }: Command<Record<string, Option>>): string {
  const rows = Object.entries(allOptions(options))
    .map(([key, o]) => {
      const value = o.choices?.join("|") ?? (o.type === "boolean" ? "" : o.type.toUpperCase());
      const fallback = o.default === undefined ? "" : ` [${o.default}]`;
      const short = o.short === undefined ? "" : `-${o.short}, `;
      return [`  ${short}--${key}${value ? ` ${value}` : ""}`, `${o.describe}${fallback}`] as const;
    });
  const wide = Math.max(...rows.map(([left]) => left.length));
  return [
    `deno task ${name}: ${summary}`,
    "",
    ...rows.map(([left, right]) => `${left.padEnd(wide)}  ${right}`),
  ].join("\n");
}

function convert(key: string, option: Option, text: string | boolean): string | number | boolean {
  if (option.type === "boolean") return text;
  if (option.choices !== undefined && !option.choices.includes(String(text))) {
    throw new Error(`--${key} is ${text}, wanted one of ${option.choices.join(", ")}`);
  }
  if (option.type === "string") return text;
  const value = Number(text), { minimum = -Infinity, maximum = Infinity } = option;
  const whole = option.type === "integer";
  if (
    String(text).trim() === "" || !Number.isFinite(value) || (whole && !Number.isInteger(value)) ||
    value < minimum || value > maximum
  ) {
    const from = option.minimum === undefined ? "" : ` from ${minimum}`;
    const to = option.maximum === undefined ? "" : ` to ${maximum}`;
    throw new Error(
      `--${key} is ${text || "empty"}, wanted a ${whole ? "whole " : ""}number${from}${to}`,
    );
  }
  return value;
}

/** `--score -2` as `--score=-2`: the parser takes a dash for an option. */
function joinNegative(args: readonly string[], options: Record<string, Option>): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const last = joined.at(-1) ?? "", option = options[last.slice(2)];
    const takesIt = last.startsWith("--") && option !== undefined && option.type !== "boolean";
    if (takesIt && /^-\.?\d/.test(arg)) joined[joined.length - 1] = `${last}=${arg}`;
    else joined.push(arg);
  }
  return joined;
}

/** Parses arguments against declared options. @throws naming the option, found and wanted. */
export function parseOptions<S extends Record<string, Option>>(
  options: S,
  args: readonly string[],
): Values<S> & { json: boolean; help: boolean } {
  const all = allOptions(options);
  const worded = Object.keys(all).filter((key) => all[key].positional === true);
  const { values, positionals } = parseArgs({
    // A lone -- comes from task runners that separate their own options.
    args: joinNegative(args.filter((a) => a !== "--"), all),
    options: Object.fromEntries(
      Object.entries(all).map(([k, o]) => [k, {
        type: o.type === "boolean" ? "boolean" : "string",
        multiple: o.many === true,
        ...(o.short !== undefined && { short: o.short }),
      }]),
    ),
    strict: true,
    allowPositionals: worded.length > 0,
  });
  const open = all[worded.at(-1) ?? ""]?.many === true;
  if (positionals.length > worded.length && !open) {
    const wanted = worded.length === 1 ? "one word" : `${worded.length} words`;
    throw new Error(`found ${positionals.join(" ")}, wanted ${wanted} besides the options`);
  }
  const parsed = Object.entries(all).map(([key, option]) => {
    if (option.many === true) {
      const given = (values[key] ?? []) as string[], at = worded.indexOf(key);
      return [key, at < 0 ? given : [...given, ...positionals.slice(at)]];
    }
    const word = positionals[worded.indexOf(key)];
    const given = (values[key] ?? word) as string | boolean | undefined;
    if (given === undefined) {
      return [key, option.default ?? (option.type === "boolean" ? false : undefined)];
    }
    return [key, convert(key, option, given)];
  });
  return Object.fromEntries(parsed);
}

/** Options with presets in place of defaults; what is given stays. */
export function withPresets<V extends object>(
  options: V,
  { presets, args }: { presets: Record<string, string | number>; args: readonly string[] },
): V {
  const isGiven = (name: string) => args.some((arg) => arg.split("=")[0] === `--${name}`);
  const free = Object.entries(presets).filter(([name]) => !isGiven(name));
  return { ...options, ...Object.fromEntries(free) };
}

/** What went wrong as one line; paths relative to where the task was started. */
export function errorLine(cause: unknown, { name, folder }: { name: string; folder: string }) {
  const message = cause instanceof Error ? cause.message : String(cause);
  const line = message.replaceAll(`file://${folder}/`, "").replaceAll(`${folder}/`, "");
  const isUsage = cause instanceof TypeError && "code" in cause &&
    String(cause.code).startsWith("ERR_PARSE_ARGS");
  // The parser's advice after its first sentence is about things that tasks do not have.
  if (isUsage) return `${line.split(/\. |\n/)[0]}; see deno task ${name} --help`;
  return line.trim().replace(/\s*\n\s*/g, " ");
}

/**
 * Runs a task: the last statement of each task's file. Exit code 0, 1 after one line of error, 130 after
 * Ctrl-C. `GRIFFIN_STACK=1` adds the error's stack, for those who look for its cause.
 */
export async function runCommand<S extends Record<string, Option>>(
  command: Command<S>,
  action: (options: Values<S>, io: Io) => Promise<void>,
): Promise<never> {
  const abort = new AbortController();
  Deno.addSignalListener("SIGINT", () => {
    if (abort.signal.aborted) Deno.exit(130);
    abort.abort();
    console.error("\nstopping after the item in work; press Ctrl-C again to stop at once");
  });
  try {
    const args = Deno.args, parsed = parseOptions(command.options, args);
    if (parsed.help) {
      console.log(helpText(command));
      Deno.exit(0);
    }
    const options = withPresets(parsed, { presets: command.presets?.(parsed) ?? {}, args });
    const { folders, names } = await openModels(command.options, options, abort);
    await action({ ...options, ...folders }, {
      say: (line) => options.json ? console.error(line) : console.log(line),
      result: (value) => options.json && console.log(JSON.stringify(value)),
      ran: (leaveOut = []) =>
        ranCommand(command.name, { ...options, ...names }, { declared: command.options, leaveOut }),
      signal: abort.signal,
    });
  } catch (cause) {
    const { reason, aborted } = abort.signal;
    if (aborted && (cause === reason || (cause as Error).cause === reason)) Deno.exit(130);
    const label = styleText("red", "error", { stream: process.stderr });
    console.error(`${label}: ${errorLine(cause, { name: command.name, folder: Deno.cwd() })}`);
    if (Deno.env.get("GRIFFIN_STACK") === "1" && cause instanceof Error) console.error(cause.stack);
    Deno.exit(1);
  }
  Deno.exit(abort.signal.aborted ? 130 : 0);
}
