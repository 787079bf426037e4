/**
 * Checks the code of a notebook without running it: all code cells as one module through `deno check` and `deno lint`,
 * which read no notebooks themselves. Messages name cell and line. Nothing is left behind.
 */
import { basename, dirname, join } from "node:path";
import { type Notebook, textOf } from "./document.ts";
import { uncoloured } from "./traceback.ts";

/** Rules that cells may break: parameters are `let` so that they can be set, a last line shows a value. */
const EXCUSED = "prefer-const,no-unused-vars,no-import-prefix,no-unused-labels";

/** The code cells as one module, and the first line and number of each, from 1. */
export function moduleOf(
  { cells }: Notebook,
): { code: string; starts: [line: number, cell: number][] } {
  const parts: string[] = [], starts: [number, number][] = [];
  let line = 1;
  cells.forEach((cell, i) => {
    if (cell.cell_type !== "code") return;
    const source = textOf(cell.source);
    starts.push([line, i + 1]);
    parts.push(source);
    line += source.split("\n").length;
  });
  // A module even where nothing is imported, so that cells may await.
  return { code: `${parts.join("\n")}\nexport {};\n`, starts };
}

/** Text in which places in the module are places in the notebook. */
export function placed(
  message: string,
  { file, name, starts }: { file: string; name: string; starts: [number, number][] },
): string {
  const escaped = file.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const place = new RegExp(`(?:file://)?[^\\s'"()]*${escaped}:(\\d+)(?::(\\d+))?`, "g");
  return message.replace(place, (_, at: string) => {
    const [line, cell] = starts.findLast(([start]) => start <= Number(at)) ?? [1, 1];
    return `${name}, cell ${cell}, line ${Number(at) - line + 1}`;
  });
}

/** What is wrong with a notebook's code, as text for people; undefined where nothing is. */
export async function checkNotebook(notebook: Notebook, path: string): Promise<string | undefined> {
  const { code, starts } = moduleOf(notebook), name = basename(path);
  const file = `.${name.replace(/\.ipynb$/, "")}.check.ts`, module = join(dirname(path), file);
  await Deno.writeTextFile(module, code);
  try {
    const commands = [["check", "--quiet", module], [
      "lint",
      "--quiet",
      `--rules-exclude=${EXCUSED}`,
      module,
    ]];
    for (const args of commands) {
      const { success, stderr, stdout } = await new Deno.Command(Deno.execPath(), {
        args,
        env: { NO_COLOR: "1" },
      }).output();
      if (success) continue;
      const decode = (bytes: Uint8Array) => uncoloured(new TextDecoder().decode(bytes));
      return placed(`${decode(stdout)}${decode(stderr)}`.trim(), { file, name, starts });
    }
    return undefined;
  } finally {
    await Deno.remove(module);
  }
}
