/** The environment of a report: complete, and free of what names a person or a place on a disk. */
import assert from "node:assert/strict";
import { hostname, userInfo } from "node:os";
import { readEnvironment } from "../../lib/report/environment.ts";

Deno.test("every part is there", async () => {
  const environment = await readEnvironment({ backend: "reference" });
  assert.deepEqual(Object.keys(environment).sort(), [
    "backend",
    "commit",
    "cores",
    "cpu",
    "date",
    "deno",
    "memory",
    "platform",
  ]);
  assert.match(environment.date, /^\d{4}-\d\d-\d\d \d\d:\d\d$/);
  assert.match(environment.commit, /^(unknown|[0-9a-f]{7,}( with changes)?)$/);
  assert.equal(environment.deno, Deno.version.deno);
  assert.match(environment.memory, /^\d+ GiB$/);
  assert.ok(environment.cores >= 1);
  assert.notEqual(environment.cpu, "");
  assert.equal(environment.backend, "reference");
});

Deno.test("it names no host, no folder, no person", async () => {
  const text = JSON.stringify(Object.values(await readEnvironment({ backend: "reference" })));
  assert.ok(!text.includes(Deno.cwd()), text);
  const { username, homedir } = userInfo(), words = text.split(/[^a-z0-9_-]+/i);
  assert.ok(!text.includes(homedir), text);
  assert.ok(!words.includes(username) && !words.includes(hostname()), text);
});
