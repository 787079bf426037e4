/** Results files: what is written is read, a line a row; files that are none are refused. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readResults, writeResults } from "../../lib/experiment/rows.ts";
import { rowsOf } from "./tiny_experiment.ts";

async function inFolder(use: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(join(folder, "results.json"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("what is written is read, and a row is a line", async () => {
  await inFolder(async (path) => {
    const results = rowsOf({ base: [[1, 2, 3], [2, 2, 2]], "no mask": [[3, 3, 4]] });
    await writeResults(path, results);
    assert.deepEqual(await readResults(path), results);
    const lines = (await Deno.readTextFile(path)).split("\n").filter((l) => l.includes('"arm"'));
    assert.deepEqual(lines.map((l) => JSON.parse(l.replace(/,$/, ""))), results.rows);
    await writeResults(path, { ...results, rows: [] });
    assert.deepEqual((await readResults(path)).rows, []);
  });
});

Deno.test("files without rows, and rows without counts, are refused with their place", async () => {
  await inFolder(async (path) => {
    await assert.rejects(readResults(path), /no such file/);
    await Deno.writeTextFile(path, "{}");
    await assert.rejects(readResults(path), /wanted experiment, settings and rows/);
    const results = rowsOf({ base: [[1, 2, 3], [2, 2, 2]] }), [first, second] = results.rows;
    const wrong = [{}, { tau: [] }, { tau: [[1]] }, { tau: [[1, null]] }] as never[];
    for (const counts of wrong) {
      await writeResults(path, { ...results, rows: [first, { ...second, counts }] });
      await assert.rejects(readResults(path), /results.json: row 2 has no arm or no counts/);
    }
  });
});
