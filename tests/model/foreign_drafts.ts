/**
 * Drafts in foreign formats with something changed: copies of the goldens of `tests/golden/own/foreign`. Holds no test;
 * the tests of the checkup use it.
 */
import { join } from "node:path";
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import { type TensorToWrite, writeSafetensors } from "../../lib/io/safetensors.ts";
import { type Checkup, examine, type Finding, openChecked } from "../../lib/model/checkup.ts";
import { checkValues } from "../../lib/model/checkup_values.ts";

export const FOREIGN = join(import.meta.dirname!, "..", "golden", "own", "foreign");

/** What is changed: configuration, tensors added or replaced, tensors left out. */
export interface Changes {
  config?: Record<string, unknown>;
  tensors?: Record<string, TensorToWrite>;
  without?: string[];
}

/** Writes a changed copy of a golden into `folder`, its floats as F32. */
export async function writeChanged(
  folder: string,
  name: string,
  { config = {}, tensors = {}, without = [] }: Changes,
): Promise<void> {
  using file = openCheckpoint(join(FOREIGN, name));
  const all: Record<string, TensorToWrite> = {};
  for (const tensor of file.names) {
    const { dtype, shape } = file.info(tensor);
    if (without.includes(tensor)) continue;
    all[tensor] = {
      shape,
      data: /F/.test(dtype) ? file.readFloat32(tensor) : file.readInt(tensor),
    };
  }
  const json = JSON.parse(await Deno.readTextFile(join(FOREIGN, name, "config.json")));
  await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify({ ...json, ...config }));
  await writeSafetensors(join(folder, "model.safetensors"), { ...all, ...tensors });
}

/** A temporary folder for the time of `use`. */
export async function inTemporary(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The checkup of a path, with what the values tell if asked. */
export async function checkupOf(
  path: string,
  { values = false, layers }: { values?: boolean; layers?: number } = {},
): Promise<{ checkup: Checkup; findings: Finding[] }> {
  const opened = await openChecked(path);
  using source = opened.source;
  const checkup = examine(opened, { layers }), findings = [...checkup.findings];
  if (values) {
    for (const event of checkValues(source, checkup)) {
      findings.push(...event.findings);
    }
  }
  return { checkup, findings };
}

/** Findings as lines, `level tensor what`, without notes. */
export const told = (findings: readonly Finding[]): string[] =>
  findings.filter(({ level }) => level !== "note").map(({ level, tensor, what }) =>
    [level, tensor, what].filter((part) => part !== undefined).join(" ")
  );

/** The same for a changed copy of a golden. */
export async function toldOf(
  name: string,
  changes: Changes,
  options: { values?: boolean; layers?: number } = {},
): Promise<string[]> {
  let lines: string[] = [];
  await inTemporary(async (folder) => {
    await writeChanged(folder, name, changes);
    lines = told((await checkupOf(folder, options)).findings);
  });
  return lines;
}
