/** Memory of a step: the fit finds what rows are made of, and a step is really measured. */
import assert from "node:assert/strict";
import { fitMemory } from "../../lib/bench/memory.ts";
import { ROOT, runTask } from "../cli/tasks.ts";

Deno.test("the fit finds the terms that rows are made of", () => {
  const rows = [256, 512, 1024, 2048].flatMap((length) =>
    [1, 2, 3, 4, 5].map((passes) => ({
      passes,
      length,
      ms: 0,
      bytes: 5e7 + 210 * length ** 2 + 9e4 * passes * length + 30 * passes * length ** 2,
    }))
  );
  [5e7, 210, 9e4, 30].forEach((wanted, i) =>
    assert.ok(Math.abs(fitMemory(rows)[i] / wanted - 1) < 1e-6, `term ${i}`)
  );
});

Deno.test("a step is made and its memory seen, in a process of its own", async () => {
  const args = ["memory", "--measure", "2,64", "--json"];
  const { code, stdout, stderr } = await runTask(ROOT, { task: "bench", args });
  assert.equal(code, 0, stderr);
  const { row } = JSON.parse(stdout);
  assert.deepEqual([row.passes, row.length], [2, 64]);
  assert.ok(row.bytes > 1e6 && row.ms > 0, stdout);
});
