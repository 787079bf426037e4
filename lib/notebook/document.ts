/**
 * A notebook file: its cells, its parameters, its outputs (nbformat 4.5). Reading, changing and writing; nothing runs
 * here. Next on the walk: `run.ts`.
 */
import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "../io/atomic.ts";

/** What a cell showed: MIME types to content; texts may be lists of lines. */
export type MimeBundle = Record<string, unknown>;

/** One output of a cell. */
export type Output =
  | { output_type: "stream"; name: "stdout" | "stderr"; text: string | string[] }
  | { output_type: "display_data"; data: MimeBundle; metadata: Record<string, unknown> }
  | {
    output_type: "execute_result";
    data: MimeBundle;
    metadata: Record<string, unknown>;
    execution_count: number | null;
  }
  | { output_type: "error"; ename: string; evalue: string; traceback: string[] };

export interface Cell {
  cell_type: "code" | "markdown" | "raw";
  id?: string;
  source: string | string[];
  metadata: { tags?: string[] } & Record<string, unknown>;
  outputs?: Output[];
  execution_count?: number | null;
}

export interface Notebook {
  cells: Cell[];
  metadata: Record<string, unknown>;
  nbformat: number;
  nbformat_minor: number;
}

/** Text that may be stored as a list of lines. */
export const textOf = (source: string | string[]): string => [source].flat().join("");

/** Reads a notebook. @throws when the file is missing, is no JSON, or no notebook of format 4. */
export async function readNotebook(path: string): Promise<Notebook> {
  let notebook: Notebook;
  try {
    notebook = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    const missing = (cause as { code?: string }).code === "ENOENT";
    throw new Error(
      `Cannot read ${path}: ${
        missing ? "no such file" : `it is not JSON (${(cause as Error).message})`
      }`,
      { cause },
    );
  }
  if (notebook?.nbformat !== 4 || !Array.isArray(notebook.cells)) {
    throw new Error(
      `Cannot read ${path}: found nbformat ${notebook?.nbformat}, wanted a notebook of format 4`,
    );
  }
  return notebook;
}

/** Writes a notebook, outputs and all. */
export async function writeNotebook(path: string, notebook: Notebook): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(notebook, null, 1)}\n`);
}

/** The notebook without outputs and counts: what is worth comparing between versions. */
export function strip(notebook: Notebook): Notebook {
  const cells = notebook.cells.map((cell) =>
    cell.cell_type === "code" ? { ...cell, outputs: [], execution_count: null } : cell
  );
  return { ...notebook, cells };
}

const PARAMETERS = "parameters", GIVEN = "injected-parameters";
const has = (tag: string) => ({ metadata }: Cell) => metadata.tags?.includes(tag) === true;

/** Names that the cell tagged `parameters` declares with `let`. */
export function parameterNames({ cells }: Notebook): string[] {
  const cell = cells.find(has(PARAMETERS));
  if (cell === undefined) return [];
  return [...textOf(cell.source).matchAll(/^\s*let\s+([A-Za-z_$][\w$]*)/gm)].map(([, name]) =>
    name
  );
}

/** A value from the command line: JSON where it is that, else a text. */
function valueOf(given: string): unknown {
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
}

/**
 * The notebook with parameters of the command line set behind the cell that declares them.
 * @throws naming those that it has when it has no such one.
 */
export function withParameters(
  notebook: Notebook,
  given: Record<string, string>,
  { path }: { path: string },
): Notebook {
  const cells = notebook.cells.filter((cell) => !has(GIVEN)(cell)),
    names = parameterNames(notebook);
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    const there = names.length === 0 ? "none" : names.join(", ");
    throw new Error(`Cannot set ${unknown} in ${path}: its parameters are ${there}`);
  }
  if (Object.keys(given).length === 0) return { ...notebook, cells };
  const source = Object.entries(given)
    .map(([name, value]) => `void (${name} = ${JSON.stringify(valueOf(value))});`).join("\n");
  const cell: Cell = {
    ...{ cell_type: "code", id: GIVEN, source, outputs: [], execution_count: null },
    metadata: { tags: [GIVEN] },
  };
  return { ...notebook, cells: cells.toSpliced(cells.findIndex(has(PARAMETERS)) + 1, 0, cell) };
}
