/**
 * The notebooks that ship: each carries the outputs of a whole run without errors, has its figures as pictures that need
 * no script, and stays small. That they pass their checks and run is seen by `deno task notebooks --ci`.
 */
import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { parameterNames, readNotebook, textOf } from "../../lib/notebook/document.ts";

const names = readdirSync("notebooks").filter((name) => name.endsWith(".ipynb")).sort();

Deno.test("there are the eight that the README names", () => {
  const readme = Deno.readTextFileSync("README.md");
  assert.equal(names.length, 8);
  for (const name of names) assert.ok(readme.includes(name.replace(".ipynb", "")), name);
});

for (const name of names) {
  Deno.test(`${name} carries its outputs, in pictures and texts that show anywhere`, async () => {
    const path = `notebooks/${name}`, notebook = await readNotebook(path);
    assert.ok(statSync(path).size < 1e6, "a code host does not show larger ones");
    assert.ok(parameterNames(notebook).includes("quick"), "it cannot be run quickly");
    let shown = 0, counted = 0;
    for (const cell of notebook.cells) {
      if (cell.cell_type !== "code" || textOf(cell.source).trim() === "") continue;
      assert.ok(typeof cell.execution_count === "number", `not run: ${textOf(cell.source)}`);
      assert.ok(cell.execution_count > counted, "cells were not run from top to bottom");
      counted = cell.execution_count;
      for (const output of cell.outputs ?? []) {
        assert.notEqual(output.output_type, "error");
        if (!("data" in output)) continue;
        shown++;
        const types = Object.keys(output.data);
        assert.ok(types.includes("text/plain"), types.join());
        if (types.includes("application/vnd.plotly.v1+json")) {
          assert.ok(types.includes("image/svg+xml"), "a figure without a picture");
        }
      }
    }
    assert.ok(shown >= 2, `${shown} outputs`);
  });
}
