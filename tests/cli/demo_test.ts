/** A whole task on the shipped target, with a random draft: what it prints and leaves behind. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { inFolder, randomDraft, ROOT, runTask } from "./tasks.ts";

Deno.test("demo --json prints one object and writes a page", async () => {
  await inFolder(async (folder) => {
    await randomDraft(folder);
    const small = ["--count", "1", "--tokens", "5", "--draft", "draft"];
    const tree = ["--tree", "4/2/2"];
    const args = [...small, ...tree, "--out", "out", "--json"];
    const { code, stdout, stderr } = await runTask(folder, { task: "demo", args });
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim().split("\n").length, 1);
    const result = JSON.parse(stdout);
    assert.deepEqual([result.suite, result.prompts, result.identical], ["ours", 1, 1]);
    assert.ok(result.tokens <= 5 && result.tau >= 1 && result.speedup > 0, stdout);
    assert.equal(result.settings.tree, "4/2/2");
    // What people read goes to standard error then.
    assert.match(stderr, /plain +\d/);
    const page = await Deno.readTextFile(join(folder, "out/report.html"));
    assert.match(page, /^<!doctype html>/);
    for (const path of [folder, ROOT]) assert.ok(!page.includes(path) && !stdout.includes(path));
  });
});
