/** Places of errors: the innermost frame of the cell, and the line that was written. */
import assert from "node:assert/strict";
import { innermost, lineOf, uncoloured } from "../../lib/notebook/traceback.ts";

Deno.test("a traceback names a place only where it has one of the cell", () => {
  const frames = [
    "Error: x",
    "    at f (<anonymous>:\u001b[33m7\u001b[39m:3)\n    at <anonymous>:9:1",
  ];
  assert.deepEqual(innermost(frames), [7, 3]);
  assert.equal(innermost(["Error: x", "    at file:///lib/a.ts:7:3"]), undefined);
  assert.equal(uncoloured("\u001b[1m\u001b[31ma\u001b[0m"), "a");
});

Deno.test("types and blank lines that the kernel does not see are counted again", async () => {
  const code = "type X = {\n  a: number;\n};\n\nconsole.log(\n  1,\n  2,\n);\nthrow new Error();";
  assert.equal(await lineOf(code, [2, 1]), 9);
  assert.equal(await lineOf(code, [1, 1]), 5);
  assert.equal(await lineOf("const = ;", [1, 1]), undefined, "nothing can be made of it");
});
