/** Notebook files: read, stripped, written, parameters named; what is none is refused. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  parameterNames,
  readNotebook,
  strip,
  withParameters,
  writeNotebook,
} from "../../lib/notebook/document.ts";
import { notebookOf, withFolder } from "./cells.ts";

Deno.test("a notebook is written and read as it is, and stripped of outputs alone", () =>
  withFolder(async (folder) => {
    const path = join(folder, "a.ipynb"), notebook = notebookOf(["markdown", "a"], ["code", "1"]);
    notebook.cells[1].outputs = [{ output_type: "stream", name: "stdout", text: "x" }];
    notebook.cells[1].execution_count = 4;
    await writeNotebook(path, notebook);
    const read = await readNotebook(path);
    assert.deepEqual(read, notebook);
    assert.deepEqual(strip(read), notebookOf(["markdown", "a"], ["code", "1"]));
  }));

Deno.test("files that are no notebooks are refused by name", () =>
  withFolder(async (folder) => {
    const path = join(folder, "a.ipynb");
    await assert.rejects(readNotebook(path), /a\.ipynb: no such file/);
    for (
      const [text, message] of [["{", /is not JSON/], ["{}", /found nbformat undefined/]] as const
    ) {
      await Deno.writeTextFile(path, text);
      await assert.rejects(readNotebook(path), message);
    }
  }));

Deno.test("parameters are the names that their cell declares; others are refused with those that there are", () => {
  const notebook = notebookOf(
    ["code:parameters", "let passes = 3;\nconst no = 1;\nlet tree: string = 'auto';"],
    ["code", "let other = 2;"],
  );
  assert.deepEqual(parameterNames(notebook), ["passes", "tree"]);
  const path = "a.ipynb",
    given = withParameters(notebook, { passes: "[1,2]", tree: "60/6" }, { path });
  assert.equal(given.cells[1].source, 'void (passes = [1,2]);\nvoid (tree = "60/6");');
  assert.deepEqual(withParameters(given, {}, { path }), notebook, "what was set before is dropped");
  assert.throws(() => withParameters(notebook, { other: "1" }, { path }), /are passes, tree/);
  const none = notebookOf(["code", "1"]);
  assert.throws(() => withParameters(none, { a: "1" }, { path }), /its parameters are none/);
});
