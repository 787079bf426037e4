/** JSON objects from files: read, or refused in one sentence that names the file. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readJson } from "../../lib/io/json.ts";

Deno.test("an object is read; anything else is refused by name", async () => {
  const folder = await Deno.makeTempDir(), path = join(folder, "a.json");
  try {
    await Deno.writeTextFile(path, '{"a": [1, null]}');
    assert.deepEqual(await readJson(path), { a: [1, null] });
    for (const text of ["", "{", "[1]", "null", "3", '"a"']) {
      await Deno.writeTextFile(path, text);
      await assert.rejects(readJson(path), /Cannot read .*a\.json: found text that is not a JSON/);
    }
    await assert.rejects(readJson(join(folder, "b.json")), /Cannot read .*b\.json: no such file/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
