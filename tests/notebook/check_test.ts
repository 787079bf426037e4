/** Cells checked as one module: types and lint, with the place in the notebook; nothing is left behind. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { checkNotebook, moduleOf, placed } from "../../lib/notebook/check.ts";
import { notebookOf, withFolder } from "./cells.ts";

Deno.test("the module holds the code cells; places in it are places in the notebook", () => {
  const { code, starts } = moduleOf(notebookOf(["code", "a\nb"], ["markdown", "x"], ["code", "c"]));
  assert.equal(code, "a\nb\nc\nexport {};\n");
  assert.deepEqual(starts, [[1, 1], [3, 3]]);
  const where = { file: ".n.check.ts", name: "n.ipynb", starts };
  assert.equal(placed("at file:///x/.n.check.ts:2:5", where), "at n.ipynb, cell 1, line 2");
  assert.equal(placed("--> some/.n.check.ts:3:1 !", where), "--> n.ipynb, cell 3, line 1 !");
});

Deno.test("what does not type-check or lint is told with cell and line", () =>
  withFolder(async (folder) => {
    const path = join(folder, "a.ipynb"),
      check = (...cells: [string, string][]) => checkNotebook(notebookOf(...cells), path);
    assert.equal(
      await check(["code", "const x = await 1;\nconsole.log(x);"], ["code", "x + 1"]),
      undefined,
    );
    const types = await check(["code", "const x = 1;"], ["code", "\nconst y: string = x;"]);
    assert.match(types!, /not assignable to type 'string'[\s\S]*a\.ipynb, cell 2, line 2/);
    const lint = await check([
      "code",
      "// deno-lint-ignore no-debugger\nconsole.log(1);\ndebugger;",
    ]);
    assert.match(lint!, /a\.ipynb, cell 1, line 3/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  }));
