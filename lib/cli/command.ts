/**
 * The frame of every task: options declared once, `--help` made from them, errors as one line, `--json` as
 * one object on standard output, Ctrl-C as a signal. A task file parses with this, calls `lib`, prints.
 */
import { basename } from "node:path";
import { parseArgs, styleText } from "node:util";

/** One option of a task. */
export interface Option {
  type: "string" | "number" | "integer" | "boolean";
  describe: string;
  default?: string | number | boolean;
  choices?: readonly string[];
  minimum?: number;
}

type Value<O extends Option> = O extends { type: "boolean" } ? boolean
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
}

/** What a task prints with. */
export interface Io {
  /** A line for people: standard output, or standard error when `--json` was given. */
  say(line: string): void;
  /** The result as one object; printed with `--json` only. */
  result(value: unknown): void;
  /** Aborted by the first Ctrl-C. */
  signal: AbortSignal;
}

const JSON_OPTION = {
  type: "boolean",
  describe: "print one JSON object on standard output, everything else on standard error",
} as const;
const HELP_OPTION = { type: "boolean", describe: "print this and stop" } as const;

/** The text of `--help`. */
export function helpText({ name, summary, options }: Command<Record<string, Option>>): string {
  const rows = Object.entries(
    { ...options, json: JSON_OPTION, help: HELP_OPTION } as Record<string, Option>,
  )
    .map(([key, o]) => {
      const value = o.choices?.join("|") ?? (o.type === "boolean" ? "" : o.type.toUpperCase());
      const fallback = o.default === undefined ? "" : ` [${o.default}]`;
      return [`  --${key}${value ? ` ${value}` : ""}`, `${o.describe}${fallback}`] as const;
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
  const value = Number(text);
  const wanted = option.type === "integer" ? "a whole number" : "a number";
  if (
    text === "" || !Number.isFinite(value) ||
    (option.type === "integer" && !Number.isInteger(value))
  ) {
    throw new Error(`--${key} is ${text}, wanted ${wanted}`);
  }
  if (option.minimum !== undefined && value < option.minimum) {
    throw new Error(`--${key} is ${text}, wanted ${wanted} from ${option.minimum}`);
  }
  return value;
}

/** Parses arguments against declared options. @throws naming the option, found and wanted. */
export function parseOptions<S extends Record<string, Option>>(
  options: S,
  args: readonly string[],
): Values<S> & { json: boolean; help: boolean } {
  const all: Record<string, Option> = { ...options, json: JSON_OPTION, help: HELP_OPTION };
  const { values } = parseArgs({
    // A lone -- comes from task runners that separate their own options.
    args: args.filter((a) => a !== "--"),
    options: Object.fromEntries(
      Object.entries(all).map((
        [k, o],
      ) => [k, { type: o.type === "boolean" ? "boolean" : "string" }]),
    ),
    strict: true,
  });
  const parsed = Object.entries(all).map(([key, option]) => {
    const given = values[key] as string | boolean | undefined;
    if (given === undefined) {
      return [key, option.default ?? (option.type === "boolean" ? false : undefined)];
    }
    return [key, convert(key, option, given)];
  });
  return Object.fromEntries(parsed);
}

/** Paths in messages relative to where the task was started. */
function readable(message: string): string {
  return message.replaceAll(`${Deno.cwd()}/`, "");
}

/** Runs a task: the last statement of each task's file. Exit code 0, or 1 after one line of error. */
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
    const options = parseOptions(command.options, Deno.args);
    if (options.help) {
      console.log(helpText(command));
      Deno.exit(0);
    }
    await action(options, {
      say: (line) => options.json ? console.error(line) : console.log(line),
      result: (value) => options.json && console.log(JSON.stringify(value)),
      signal: abort.signal,
    });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    console.error(`${styleText("red", "error")}: ${readable(message)}`);
    if (
      cause instanceof TypeError && "code" in cause &&
      String(cause.code).startsWith("ERR_PARSE_ARGS")
    ) {
      console.error(`see deno task ${basename(command.name)} --help`);
    }
    if (Deno.env.get("GRIFFIN_STACK") === "1" && cause instanceof Error) console.error(cause.stack);
    Deno.exit(1);
  }
  Deno.exit(abort.signal.aborted ? 130 : 0);
}
