/** The environment of a report: complete, and free of what names a person or a place on a disk. */
import assert from "node:assert/strict";
import { hostname, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { environmentRows, readEnvironment, UNKNOWN_PLACE } from "../../lib/report/environment.ts";
import { readThing } from "../../lib/report/provenance.ts";

const ROOT = resolve(import.meta.dirname!, "../..");

Deno.test("every part is there", async () => {
  const environment = await readEnvironment({ backend: "reference" });
  assert.deepEqual(Object.keys(environment).sort(), [
    "backend",
    "commit",
    "cores",
    "cpu",
    "date",
    "deno",
    "lockfile",
    "memory",
    "packages",
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

Deno.test("packages are the pinned ones, the lockfile is told by its hash, an adapter stands where one is", async () => {
  const environment = await readEnvironment({ backend: "webgpu", adapter: "a card" });
  assert.equal(environment.adapter, "a card");
  assert.match(environment.packages!, /(^|, )onnxruntime-node \d+\.\d+\.\d+(,|$)/);
  assert.equal(environment.lockfile, (await readThing(join(ROOT, "deno.lock"))).hash);
});

Deno.test("the commit is the project's, wherever a task was started", async () => {
  const here = await readEnvironment({ backend: "reference" }), before = Deno.cwd();
  const elsewhere = await Deno.makeTempDir();
  try {
    Deno.chdir(elsewhere);
    const there = await readEnvironment({ backend: "reference" });
    assert.deepEqual([there.commit, there.lockfile], [here.commit, here.lockfile]);
  } finally {
    Deno.chdir(before);
    await Deno.remove(elsewhere);
  }
});

Deno.test("rows: all that is there, and not recorded for the rest", () => {
  const rows = Object.fromEntries(environmentRows({ ...UNKNOWN_PLACE, cpu: "abacus" }));
  assert.equal(rows.cpu, "abacus");
  for (const name of ["cores", "commit", "packages", "lockfile"]) {
    assert.equal(rows[name], "not recorded", name);
  }
  assert.ok(!("adapter" in rows));
});
