/**
 * Runs a notebook from top to bottom in a kernel of its own and yields what each cell did; the first error ends it, with
 * the cell and the line. Next: `check.ts` looks at cells without running them, `html.ts` shows them.
 */
import { dirname } from "node:path";
import { type Cell, type Notebook, textOf } from "./document.ts";
import { Kernel } from "./kernel.ts";
import { innermost, lineOf, uncoloured } from "./traceback.ts";

/** What running yields. */
export type NotebookEvent =
  | { type: "cell"; index: number; total: number; ms: number }
  | { type: "failed"; index: number; line: number | undefined; message: string }
  | { type: "finished"; notebook: Notebook; ms: number };

/** Runs a notebook that lies at `path`; its cells see that folder. Break off to stop the kernel. */
export async function* runNotebook(
  notebook: Notebook,
  { path, timeout, signal }: { path: string; timeout?: number; signal?: AbortSignal },
): AsyncGenerator<NotebookEvent> {
  const began = performance.now(), cells: Cell[] = [];
  await using kernel = await Kernel.start(dirname(path));
  const total = notebook.cells.filter((cell) => cell.cell_type === "code").length;
  let done = 0;
  for (const [index, cell] of notebook.cells.entries()) {
    if (signal?.aborted) return;
    const code = textOf(cell.source);
    if (cell.cell_type !== "code" || code.trim() === "") {
      cells.push(cell);
      continue;
    }
    const before = performance.now();
    let message: string | undefined, line: number | undefined;
    try {
      const { outputs, count, ok } = await kernel.execute(code, { timeout });
      cells.push({ ...cell, outputs, execution_count: count });
      const error = outputs.find((output) => output.output_type === "error");
      if (error !== undefined) {
        message = uncoloured(`${error.ename}: ${error.evalue}`).split("\n")[0];
        const place = innermost(error.traceback);
        line = place && await lineOf(code, place);
      } else if (!ok) message = "the kernel reports an error without saying which";
    } catch (cause) {
      message = (cause as Error).message;
    }
    if (message !== undefined) {
      yield { type: "failed", index, line, message };
      return;
    }
    yield { type: "cell", index: ++done, total, ms: performance.now() - before };
  }
  yield { type: "finished", notebook: { ...notebook, cells }, ms: performance.now() - began };
}
