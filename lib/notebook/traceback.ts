/**
 * Where in a cell an error happened. The kernel runs JavaScript made of the cell, and its tracebacks count lines of
 * that; the cell is made into JavaScript once more, with a source map, to find the line that was written. Called by
 * `run.ts` when a cell failed.
 */
import { SourceMap } from "node:module";
import { join } from "node:path";

// deno-lint-ignore no-control-regex
const COLOURS = /\u001b\[[0-9;]*m/g;

/** Text without escape sequences that colour it. */
export const uncoloured = (text: string): string => text.replace(COLOURS, "");

/** Line and column, from 1, of the innermost frame of a traceback that lies within the cell. */
export function innermost(
  traceback: readonly string[],
): [line: number, column: number] | undefined {
  const frame = /<anonymous>:(\d+):(\d+)/.exec(uncoloured(traceback.join("\n")));
  return frame === null ? undefined : [Number(frame[1]), Number(frame[2])];
}

/** The cell's own line of a place in what was made of it; undefined where that cannot be told. */
export async function lineOf(
  code: string,
  [line, column]: [line: number, column: number],
): Promise<number | undefined> {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "cell.ts");
    await Deno.writeTextFile(file, code);
    const { success, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["transpile", "--quiet", "--no-config", "--source-map", "inline", file],
      stderr: "null",
    }).output();
    const map = /base64,([\w+/=]+)/.exec(new TextDecoder().decode(stdout))?.[1];
    if (!success || map === undefined) return undefined;
    const found = new SourceMap(JSON.parse(atob(map))).findEntry(line - 1, column - 1);
    return "originalLine" in found ? found.originalLine + 1 : undefined;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
