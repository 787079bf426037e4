/**
 * Tasks as processes in a folder of their own, on the shipped target and with random drafts. Holds no test;
 * the tests of `lib/cli` use it.
 */
import { join, resolve } from "node:path";
import { type DraftConfig, readTargetConfig } from "../../lib/model/config.ts";
import { writeDraft } from "../../lib/model/load.ts";
import { initialDraft } from "../../lib/train/initial.ts";

/** The repository, and the target that ships. */
export const ROOT = resolve(import.meta.dirname!, "../..");
export const TARGET = join(ROOT, "data/target");

/** Runs a task in `folder` to its end. */
export async function runTask(
  folder: string,
  { task, args, env }: { task: string; args: string[]; env?: Record<string, string> },
): Promise<{ code: number; stdout: string; stderr: string }> {
  const run = ["run", "-A", "--quiet", "--config", join(ROOT, "deno.json")];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...run, join(ROOT, "lib/cli", `${task}.ts`), ...args],
    cwd: folder,
    env,
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** A folder with `data/target` in it, removed afterwards. */
export async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(folder, "data"));
    await Deno.symlink(TARGET, join(folder, "data/target"));
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A random draft with the target's sizes in `folder/draft`. */
export async function randomDraft(
  folder: string,
  changes: Partial<DraftConfig> = {},
): Promise<void> {
  const { layers: _, family: __, tied: ___, bos: ____, eos: _____, ...sizes } =
    await readTargetConfig(TARGET);
  const config: DraftConfig = { ...sizes, inner: 16, fusion: "linear", head: "single", ...changes };
  await Deno.mkdir(join(folder, "draft"));
  await writeDraft(join(folder, "draft"), initialDraft(config, { seed: 0 }));
}
