/**
 * `deno task report` as a process on small real runs: data and training, evaluations. The command line that a report
 * names is run as it stands there, and finds the same numbers; pages, comparison and rows are made of what was stored.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { readRun } from "../../lib/report/run_folder.ts";
import { inFolder, ROOT, runTask } from "./tasks.ts";

const json = async (path: string) => JSON.parse(await Deno.readTextFile(path));

/** Runs a task in the project's folder, as people do, and wants it to succeed. */
async function run(task: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const { code, ...texts } = await runTask(ROOT, { task, args });
  assert.equal(code, 0, texts.stderr);
  return texts;
}

/** The one line of a report, run by a shell in the project's folder, its results in `out`. */
async function runLine(report: string, out: string): Promise<string> {
  const { sections } = await json(join(report, "summary.json"));
  const line: string = sections.find((s: { heading: string }) => s.heading === "How to reproduce")
    .code;
  assert.ok(!line.includes("\n") && line.includes(" --out runs/again"), line);
  const path = `${dirname(Deno.execPath())}:${Deno.env.get("PATH")}`;
  const { success, stderr } = await new Deno.Command("sh", {
    args: ["-c", line.replace("--out runs/again", `--out ${out}`)],
    cwd: ROOT,
    env: { PATH: path },
    stdin: "null",
    stdout: "null",
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return line;
}

/** Costs that are nobody's, so that trees are sized by them and nothing is measured. */
const COSTS = {
  read: [[1, 0.3], [16, 0.6]],
  expand: [[1, 0.2], [8, 0.4]],
  verify: [[1, 3], [8, 4], [64, 12]],
  host: 0.01,
};

Deno.test("the line of an evaluation's report makes the same texts, tau and trees", async () => {
  await inFolder(async (folder) => {
    const at = (...names: string[]) => join(folder, ...names);
    await Deno.writeTextFile(at("costs.json"), JSON.stringify({ costs: COSTS }));
    const question = `Does "it" hold for $1 and it's <b>?`;
    const small = ["--count", "2", "--tokens", "12", "--costs", at("costs.json")];
    await run("eval", ...small, "--question", question, "--out", at("first"));
    await run("report", at("first"), "--out", at("report"));
    const line = await runLine(at("report"), at("again"));
    assert.match(line, /^deno task eval --tokens 12 --count 2 --costs /);
    const [first, again] = [
      await json(at("first/report.json")),
      await json(at("again/report.json")),
    ];
    const numbers = ({ suites: [s], samples, inputs, costs, details }: typeof first) => ({
      tau: [s.tau, s.tau_numerator, s.tau_denominator, s.tau_ci, s.identical],
      depths: s.acceptance_by_depth,
      texts: details[0].results.map((r: { speculative: { tokens: number[] } }) =>
        r.speculative.tokens
      ),
      samples,
      inputs,
      costs,
    });
    assert.deepEqual(numbers(again), numbers(first));
    assert.ok(first.suites[0].tau > 1.5, "trees were drafted and accepted");
    assert.ok(first.cost.tokens > 0 && first.cost.seconds > 0 && first.cost.peakBytes > 1e7);

    const [html, markdown] = await Promise.all(
      ["report.html", "report.md"].map((name) => Deno.readTextFile(at("report", name))),
    );
    assert.ok(html.includes("Does &quot;it&quot; hold for $1 and it&#39;s &lt;b&gt;?"));
    assert.ok(markdown.includes("hold for $1 and it's \\<b\\>?"), markdown.slice(0, 300));
    for (const text of [html, markdown]) {
      for (const hash of [first.inputs.target.hash, first.inputs.draft.hash]) {
        assert.ok(text.includes(hash), hash);
      }
      assert.ok(text.includes(first.environment.lockfile) && text.includes(line.slice(0, 40)));
    }
    assert.match(html, /<mark title="round 1: \d+ drafted">/);

    const { stdout, stderr } = await run(
      "report",
      ...["compare", at("first"), at("again"), "--json", "--out", at("both")],
    );
    const { table, warnings } = JSON.parse(stdout);
    assert.deepEqual([table[1][1], table[1][4]], ["tau", "0.00 [0.00, 0.00]"]);
    // Of one machine, commit and lockfile; only a tree with changes is warned about.
    assert.ok(warnings.every((w: string) => /^commit is .* with changes in both/.test(w)), stderr);
  });
});

Deno.test("the line of a training's report makes its data and the same draft", async () => {
  await inFolder(async (folder) => {
    const at = (...names: string[]) => join(folder, ...names);
    await run("data", "--count", "3", "--validation", "2", "--tokens", "4", "--out", at("data"));
    const small = ["--inner", "16", "--passes", "1", "--epochs", "1", "--rows", "64"];
    const watched = ["--tau-prompts", "2", "--question", "Is it the same?"];
    await run("train", "--data", at("data"), ...small, ...watched, "--out", at("first"));
    await run("report", at("first"), "--out", at("report"));
    await Deno.remove(at("data"), { recursive: true }); // the line makes it again
    const line = await runLine(at("report"), at("again"));
    assert.match(line, /^deno task data .*--out \S+ && deno task train --data \S+ /);
    const [first, again] = [await json(at("first/run.json")), await json(at("again/run.json"))];
    assert.equal(first.question, "Is it the same?");
    assert.deepEqual(again.inputs, first.inputs);
    assert.deepEqual(again.drafts, first.drafts);
    assert.match(first.drafts[0].hash, /^[0-9a-f]{16}$/);
    const events = async (name: string) =>
      (await readRun(at(name))).stages[0].flatMap((e) =>
        e.type === "checkpoint" ? [] : [[e.type, e.step, e.loss, "tau" in e ? e.tau : undefined]]
      );
    assert.deepEqual(await events("again"), await events("first"));
    assert.equal(first.cost.tokens, 170);
    const html = await Deno.readTextFile(at("report/report.html"));
    assert.ok(html.includes("Is it the same?") && html.includes(first.drafts[0].hash));

    const sql = "SELECT kind, COUNT(*) n FROM rows GROUP BY kind ORDER BY kind";
    const found = await run("report", "rows", at("first"), at("again"), "--sql", sql, "--json");
    const updates = (await events("first")).filter(([type]) => type === "step").length;
    assert.deepEqual(JSON.parse(found.stdout), [
      { kind: "update", n: 2 * updates },
      { kind: "validation", n: 2 },
    ]);
  });
});

Deno.test("reports of results and of older files say what was not recorded", async () => {
  await inFolder(async (folder) => {
    const at = (...names: string[]) => join(folder, ...names);
    const old = "data/reports/suites-greedy.json", results = "experiments/training_methods/";
    await run("report", old, "--out", at("old"));
    const page = await Deno.readTextFile(at("old/report.md"));
    assert.match(page, /Hashes of target, draft and data: not recorded/);
    assert.match(page, /The command line is not recorded/);
    assert.match(page, /\| lockfile \| not recorded \|/);
    await run("report", results, "--out", at("results"), "--question", "Which?");
    const found = await Deno.readTextFile(at("results/report.md"));
    assert.match(found, /^# GRIFFIN Lab: experiment training\\_methods\n\nWhich\?\n/);
    assert.match(found, /deno task experiment run training_methods --seeds 0 --epochs 1 /);
    const rows = await run("report", "rows", results + "results.json");
    const lines = rows.stdout.trim().split("\n").map((l) => JSON.parse(l));
    assert.equal(lines.length, 11 * 2 * 80);
    const { code, stderr } = await runTask(ROOT, {
      task: "report",
      args: ["compare", old, results, "--out", at("none")],
    });
    assert.equal(code, 1);
    assert.match(stderr, /^error: Cannot compare .*, of evaluation, with .*, of experiment\n$/);
  });
});

Deno.test("what is no run is refused in one line", async () => {
  const wrong: [string[], RegExp][] = [
    [[], /found no run, wanted folders of runs; see deno task report --help/],
    [["nowhere"], /Cannot report on nowhere: no such file or folder/],
    [["lib"], /Cannot report on lib: it holds no step-1\/metrics.jsonl, report.json or/],
    [["deno.json"], /Cannot report on deno.json: it holds name, version, .*; wanted/],
    [["compare", "data/reports/ours-greedy.json"], /found 1 runs to compare, wanted two/],
    [["data", "--sql", "SELECT 1"], /--sql is for report rows/],
    [
      ["rows", "data/reports/ours-greedy.json", "--sql", "SELECT x FROM nowhere"],
      /Cannot run the query: no such table: nowhere; the table is rows/,
    ],
  ];
  for (const [args, message] of wrong) {
    const { code, stderr } = await runTask(ROOT, { task: "report", args });
    assert.equal(code, 1, args.join(" "));
    assert.match(stderr, /^error: [^\n]+\n$/);
    assert.match(stderr, message);
  }
});
