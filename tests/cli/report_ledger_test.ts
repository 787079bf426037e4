/** `deno task report ledger` as a process: found runs, what it writes, commands, and what is no run of it. */
import { deepEqual, equal, match } from "node:assert/strict";
import { join } from "node:path";
import { storedEvaluation } from "../report/stored_runs.ts";
import { inFolder, runTask } from "./tasks.ts";

Deno.test("runs are found below runs, other files of their name are passed over", async () => {
  await inFolder(async (folder) => {
    const stored = storedEvaluation({ a: [3, 4], b: [5, 4] }, { suite: "gsm8k" });
    stored.command!.options = {
      target: "Qwen/Qwen2-7B-Instruct",
      draft: "husj576/GRIFFIN-qwen2-instruct-7B",
      method: "tree",
      tree: "60/6/10",
      temperature: 1,
    };
    for (const [name, value] of [["ledger/q", stored], ["tree", { x: 1 }]] as const) {
      await Deno.mkdir(join(folder, "runs", name), { recursive: true });
      await Deno.writeTextFile(join(folder, "runs", name, "report.json"), JSON.stringify(value));
    }
    const ledger = (...args: string[]) =>
      runTask(folder, { task: "report", args: ["ledger", ...args] });
    const { code, stdout, stderr } = await ledger();
    equal(code, 0, stderr);
    match(stdout, /Qwen2-7B +GRIFFIN +1 +gsm8k +4\.71 +8\.00 \[7\.00, 9\.00\] +above/);
    match(stdout, /2 questions, --tokens not recorded, --system not recorded/);
    match(stdout, /1 of 177 cells run; tau: 0 match, 0 below, 1 above/);
    const cells = JSON.parse(
      await Deno.readTextFile(join(folder, "runs/reports/ledger/ledger.json")),
    );
    deepEqual(
      cells.filter((c: { ours?: unknown }) => c.ours).map((c: { suite: string }) => c.suite),
      [
        "gsm8k",
      ],
    );
    const page = await Deno.readTextFile(join(folder, "runs/reports/ledger/ledger.md"));
    match(page, /^# Table 1 of the paper and our runs\n\nThe paper ran on an A100/);
    const named = await ledger("runs/tree");
    equal(named.code, 1);
    match(named.stderr, /^error: Cannot report on runs.tree.report\.json: it holds x; wanted/);
  });
});

Deno.test("commands are printed by model, with the methods that have none", async () => {
  await inFolder(async (folder) => {
    const { stdout } = await runTask(folder, { task: "report", args: ["ledger", "--commands"] });
    match(stdout, /^# LLaMA2-7B\ndeno task eval --protocol paper --target meta-llama/);
    match(stdout, /# Mixtral-8x7B\n(.*\n)*# GRIFFIN: no published draft of it is known by name\n/);
    const { code, stderr } = await runTask(folder, { task: "report", args: ["x", "--commands"] });
    equal(code, 1);
    match(stderr, /^error: --commands is for report ledger\n$/);
  });
});
