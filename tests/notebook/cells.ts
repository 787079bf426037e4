/** Notebooks made up for tests. Not a test itself. */
import type { Cell, Notebook } from "../../lib/notebook/document.ts";

/** A notebook of cells given as kind and source, tags behind a colon. */
export function notebookOf(...cells: [kind: string, source: string][]): Notebook {
  return {
    cells: cells.map(([kind, source], i): Cell => {
      const [type, tag] = kind.split(":");
      const common = {
        id: `cell-${i}`,
        source,
        metadata: tag === undefined ? {} : { tags: [tag] },
      };
      return type === "code"
        ? { cell_type: "code", ...common, outputs: [], execution_count: null }
        : { cell_type: "markdown", ...common };
    }),
    metadata: { kernelspec: { name: "deno", display_name: "Deno", language: "typescript" } },
    nbformat: 4,
    nbformat_minor: 5,
  };
}

/** Calls `use` with a folder that is removed afterwards. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
