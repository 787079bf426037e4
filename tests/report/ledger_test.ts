/**
 * Tests lib/report/ledger.ts on made-up runs of the paper's models: which cell a run fills, verdicts at the edges of an
 * interval, what differs from the authors' protocol; and the commands, whose own runs must fill their cells.
 */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { join } from "node:path";
import { PAPER_OPTIONS, PAPER_SUITES } from "../../lib/eval/protocol.ts";
import {
  type FoundEvaluation,
  isModel,
  ledgerCommands,
  ledgerCount,
  ledgerOf,
  ledgerRows,
  verdictOf,
} from "../../lib/report/ledger.ts";
import { TABLE_1 } from "../../lib/report/paper_results.ts";
import type { OptionValue } from "../../lib/report/provenance.ts";
import { prompt, storedEvaluation } from "./stored_runs.ts";

const { count, suite: _, ...PAPER } = PAPER_OPTIONS;
const LLAMA: Record<string, OptionValue> = {
  ...PAPER,
  method: "tree",
  temperature: 0,
  target: "meta-llama/Llama-2-7b-chat-hf",
  draft: "husj576/GRIFFIN-llama2-chat-7B",
};

/** A run of these options on these suites; each question's rounds emit these numbers of tokens. */
function run(
  options: Record<string, OptionValue>,
  { path = "a", suites = ["mt_bench"], questions = count as number, emitted = [5, 5, 5, 5] } = {},
): FoundEvaluation {
  const results = Array.from({ length: questions }, (_, i) => prompt(`${i}`, emitted));
  const evaluation = storedEvaluation({ a: [2] }, {
    command: { task: "eval", options: { ...LLAMA, ...options }, changed: [] },
    details: suites.map((suite) => ({ suite, results })),
  });
  return { path, evaluation };
}

const filled = (found: FoundEvaluation[]) => ledgerOf(found).filter((c) => c.ours !== undefined);
const nameOf = ({ model, method, temperature, suite }: ReturnType<typeof ledgerOf>[number]) =>
  [model, method, temperature, suite].join(" ");

Deno.test("Table 1 has its 177 cells, all not run before there are runs", () => {
  const cells = ledgerOf([]);
  equal(cells.length, 177);
  ok(cells.every((c) => c.verdicts.tau === "not run" && c.ours === undefined));
  equal(new Set(cells.map(nameOf)).size, 177);
  ok(cells.every(({ paper }) => paper.speedup > 1 && paper.tau > paper.speedup));
  equal(ledgerCount(cells), "0 of 177 cells run");
  // The paper's mean of GRIFFIN on LLaMA2-7B at temperature 0: 3.28 and 5.44.
  const own = cells.filter((c) => nameOf(c).startsWith("LLaMA2-7B GRIFFIN 0"));
  const mean = (of: (c: (typeof own)[number]) => number) =>
    (own.reduce((sum, c) => sum + of(c), 0) / 3).toFixed(2);
  deepEqual([mean((c) => c.paper.speedup), mean((c) => c.paper.tau)], ["3.28", "5.44"]);
});

Deno.test("a run fills the cells of its target, draft, temperature and suites", () => {
  const found = filled([run({}, { suites: ["mt_bench", "gsm8k", "ours"] })]);
  deepEqual(found.map(nameOf), ["LLaMA2-7B GRIFFIN 0 mt_bench", "LLaMA2-7B GRIFFIN 0 gsm8k"]);
  const [{ ours, verdicts }] = found;
  // Every round emits 5: 20 tokens over 3 counted forwards, and 20 tokens in the time of 4.
  deepEqual(ours!.tau, { value: 20 / 3, interval: [20 / 3, 20 / 3] });
  deepEqual(ours!.speedup, { value: 5, interval: [5, 5] });
  deepEqual([ours!.differs, verdicts], [[], { tau: "above", speedup: "above" }]);
  const others: [Record<string, OptionValue>, string[]][] = [
    [{ temperature: 1 }, ["LLaMA2-7B GRIFFIN 1 mt_bench"]],
    [{ temperature: 0.5 }, []],
    [{ draft: "yuhuili/EAGLE-llama2-chat-7B" }, ["LLaMA2-7B EAGLE-2 0 mt_bench"]],
    [{ method: "lookup" }, ["LLaMA2-7B PLD 0 mt_bench"]],
    [{ method: "plain" }, []],
    [{ method: "chain" }, []],
    [{ target: "Qwen/Qwen2-7B-Instruct" }, []],
    [{ tree: "static:eagle1" }, []],
    [{
      target: "meta-llama/Meta-Llama-3-8B-Instruct",
      draft: "yuhuili/EAGLE-LLaMA3-Instruct-8B",
      tree: "static:eagle1",
    }, ["LLaMA3-8B EAGLE 0 mt_bench"]],
  ];
  for (const [options, wanted] of others) {
    deepEqual(filled([run(options)]).map(nameOf), wanted, JSON.stringify(options));
  }
});

Deno.test("of several runs the one of most questions counts, and it is said what differs", () => {
  const few = run({ tokens: 64, tree: "auto" }, { path: "few", questions: 3 });
  const [cell] = filled([few, run({ system: "none" }, { path: "most" }), few]);
  deepEqual([cell.ours!.run, cell.ours!.differs], ["most", ["--system none"]]);
  const [alone] = filled([few]);
  deepEqual(alone.ours!.differs, ["3 questions", "--tokens 64", "--tree auto"]);
  deepEqual(filled([run({}, { emitted: [4] })]), [], "one forward has no tau by their count");
  const [head, row] = ledgerRows([alone]);
  equal(head.length, row.length);
  deepEqual(row.slice(0, 7), [
    "LLaMA2-7B",
    "GRIFFIN",
    0,
    "mt_bench",
    "5.11",
    "6.67 [6.67, 6.67]",
    "above",
  ]);
  match(ledgerCount([alone]), /^1 of 1 cells run; tau: 0 match, 0 below, 1 above; speedup: 0 /);
});

Deno.test("a number inside the interval is a match, edges as they are printed", () => {
  const verdict = (low: number, high: number) =>
    verdictOf({ value: 5, interval: [low, high] }, 5.11);
  deepEqual(
    [verdict(4.9, 5.2), verdict(4, 5.106), verdict(4, 5.104), verdict(5.114, 6), verdict(5.12, 6)],
    ["match", "match", "below", "match", "above"],
  );
});

Deno.test("models are known by name, revision, cache folder and folder name", () => {
  const name = "husj576/GRIFFIN-llama2-chat-7B";
  for (
    const given of [
      name,
      `${name}@main`,
      name.toLowerCase(),
      "models/GRIFFIN-llama2-chat-7B/",
      "cache/models--husj576--GRIFFIN-llama2-chat-7B/snapshots/0123abc",
    ]
  ) ok(isModel(given, name), given);
  for (const given of [undefined, "", "data/draft", `${name}-v2`, "x/GRIFFIN-llama2-chat-13B"]) {
    ok(!isModel(given, name), `${given}`);
  }
});

Deno.test("the run of each command fills the three cells of its row", () => {
  const commands = ledgerCommands();
  equal(commands.length, 177 / 3);
  for (const { model, method, temperature, command, missing } of commands) {
    equal(command === undefined, missing !== undefined);
    if (command === undefined) continue;
    const words = command.split(" "), at = (name: string) => words[words.indexOf(`--${name}`) + 1];
    const given = Object.fromEntries(
      ["target", "draft", "method", "tree"].filter((n) => words.includes(`--${n}`))
        .map((n) => [n, at(n)]),
    );
    const options = { ...given, temperature: words.includes("--temperature") ? 1 : 0 };
    const found = filled([run(options, { suites: [...PAPER_SUITES], questions: 2 })]);
    deepEqual(
      found.map(nameOf),
      PAPER_SUITES.map((s) => [model, method, temperature, s].join(" ")),
    );
    deepEqual(found[0].ours!.differs, ["2 questions"]);
  }
  equal(new Set(commands.map((c) => c.command)).size, commands.filter((c) => c.command).length + 1);
});

Deno.test("README.md has the commands of GRIFFIN's rows", async () => {
  const readme = await Deno.readTextFile(join(import.meta.dirname!, "../../README.md"));
  for (const { target, template, drafts: { GRIFFIN } } of TABLE_1) {
    if (GRIFFIN === undefined) continue;
    const chat = template === undefined ? "" : ` --chat-template ${template}`,
      words = `${GRIFFIN}${chat}`;
    ok(readme.includes(`deno task eval --protocol paper --target ${target} --draft ${words}\n`));
  }
});
