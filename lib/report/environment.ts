/**
 * What a report says about where it was made: enough to repeat it, nothing that names a person or a path. What was
 * run there, on what data, is `provenance.ts`.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";

export interface Environment {
  date: string;
  /** Of this project's files; "with changes" where they differ from it. */
  commit: string;
  deno: string;
  platform: string;
  cpu: string;
  cores: number;
  memory: string;
  backend: string;
  /** GPU, where one computed; runs before there was this field lack it and the two below. */
  adapter?: string;
  /** Pinned packages of deno.json. */
  packages?: string;
  /** First 16 hex digits of the SHA-256 of deno.lock. */
  lockfile?: string;
}

/** The project's own folder: a task may be started from anywhere. */
const ROOT = import.meta.dirname === undefined ? undefined : join(import.meta.dirname, "../..");

async function commit(): Promise<string> {
  if (ROOT === undefined) return "unknown";
  const git = async (...args: string[]) => {
    const command = new Deno.Command("git", { args, cwd: ROOT, stderr: "null" });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  };
  try {
    const head = await git("rev-parse", "--short", "HEAD");
    if (head === undefined) return "unknown";
    const changed = await git("status", "--porcelain", "--untracked-files=no");
    return changed === "" ? head : `${head} with changes`;
  } catch {
    return "unknown";
  }
}

/** A text of the project; undefined where it is not there, as in a program that was bundled. */
const ownFile = (name: string) =>
  ROOT === undefined
    ? Promise.resolve(undefined)
    : readFile(join(ROOT, name), "utf8").catch(() => undefined);

/** `apache-arrow 21.2.0, ...`: what deno.json pins. */
async function packages(): Promise<string> {
  const text = await ownFile("deno.json");
  if (text === undefined) return "unknown";
  const { imports = {} } = JSON.parse(text) as { imports?: Record<string, string> };
  const pinned = Object.values(imports).map((from) => /^npm:(.+)@([^@]+)$/.exec(from));
  return pinned.flatMap((found) => found === null ? [] : [`${found[1]} ${found[2]}`]).join(", ");
}

async function lockfile(): Promise<string> {
  const text = await ownFile("deno.lock");
  if (text === undefined) return "unknown";
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** Reads the environment; parts that cannot be read are "unknown". */
export async function readEnvironment(
  { backend, adapter }: { backend: string; adapter?: string },
): Promise<Environment> {
  const info = await readFile("/proc/cpuinfo", "utf8").catch(() => "");
  const model = /model name\s*:\s*(.+)/.exec(info)?.[1] ?? cpus()[0]?.model ?? "unknown";
  return {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    commit: await commit(),
    deno: Deno.version.deno,
    platform: `${Deno.build.os} ${Deno.build.arch}`,
    cpu: model,
    cores: navigator.hardwareConcurrency,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    backend,
    ...(adapter !== undefined && { adapter }),
    packages: await packages(),
    lockfile: await lockfile(),
  };
}

/** Stands where a run says nothing. */
export const NOT_RECORDED = "not recorded";

/** The place of a run that did not record it; what is known is put over it. */
export const UNKNOWN_PLACE: Environment = {
  date: NOT_RECORDED,
  commit: NOT_RECORDED,
  deno: NOT_RECORDED,
  platform: NOT_RECORDED,
  cpu: NOT_RECORDED,
  cores: NaN,
  memory: NOT_RECORDED,
  backend: NOT_RECORDED,
};

/** Rows of a table, without a heading: every field, and of runs before there were packages and lockfile that too. */
export function environmentRows(environment: Environment): [string, string][] {
  const { packages = NOT_RECORDED, lockfile = NOT_RECORDED, ...rest } = environment;
  return Object.entries({ ...rest, packages, lockfile }).map(([key, value]) => [
    key,
    Number.isNaN(value) ? NOT_RECORDED : String(value),
  ]);
}
