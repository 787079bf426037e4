/** `deno task experiment` as a process: the list, tables of results that ship, and what it refuses in one line. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ROOT, runTask } from "./tasks.ts";

const run = (...args: string[]) => runTask(ROOT, { task: "experiment", args });

Deno.test("list: every folder of experiments that has a config", async () => {
  const { code, stdout, stderr } = await run("list", "--json");
  assert.equal(code, 0, stderr);
  const names = JSON.parse(stdout).map((e: { name: string }) => e.name);
  const folders = [...Deno.readDirSync(join(ROOT, "experiments"))]
    .filter((e) => e.isDirectory).map((e) => e.name).sort();
  assert.deepEqual(names, folders);
  for (const { name, arms, base, seeds } of JSON.parse(stdout)) {
    assert.ok(arms.length > 1 && seeds.length > 0, name);
    assert.ok(arms.some((a: { name: string }) => a.name === base), name);
  }
});

Deno.test("show: the table of results that ship; compare --table prints the same", async () => {
  const [show, table] = [
    await run("show", "training_methods"),
    await run("run", "training_methods", "--table"),
  ];
  assert.equal(show.code, 0, show.stderr);
  assert.equal(show.stdout, table.stdout);
  assert.match(show.stdout, /^eagle2 +1 +2\.39 M +386 k +3\.10 \[/m);
  assert.match(show.stdout, /1 seed, 80 prompts/);
  const { stdout } = await run("show", "training_methods", "--json");
  const { arms } = JSON.parse(stdout),
    eagle2 = arms.find((a: { arm: string }) => a.arm === "eagle2");
  assert.equal(eagle2.differences["tau, 8 nodes"].insideNoise, false);
});

Deno.test("what there is not is refused in one line", async () => {
  const wrong: [string[], RegExp][] = [
    [["show", "nothing"], /found nothing, wanted an experiment: attention, /],
    [["run"], /found no name, wanted an experiment/],
    [["frobnicate"], /--do is frobnicate, wanted one of list, run, show/],
    [["show", "passes", "--out", "runs/nowhere"], /has no results in runs\/nowhere; deno task/],
    [["run", "passes", "--seeds", "1,x"], /--seeds is 1,x, wanted whole numbers/],
    [["show", "passes", "mask"], /found show passes mask, wanted 2 words/],
  ];
  for (const [args, message] of wrong) {
    const { code, stderr } = await run(...args);
    assert.equal(code, 1);
    assert.match(stderr, /^error: [^\n]+\n$/);
    assert.match(stderr, message);
  }
});
