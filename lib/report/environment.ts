/** What a report says about where it was made: enough to repeat it, nothing that names a person or a path. */
import { readFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";

export interface Environment {
  date: string;
  commit: string;
  deno: string;
  platform: string;
  cpu: string;
  cores: number;
  memory: string;
  backend: string;
}

async function commit(): Promise<string> {
  const git = async (...args: string[]) => {
    const { success, stdout } = await new Deno.Command("git", { args, stderr: "null" }).output();
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

/** Reads the environment; parts that cannot be read are "unknown". */
export async function readEnvironment({ backend }: { backend: string }): Promise<Environment> {
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
  };
}
