/**
 * `deno task eval` as a process on questions of two turns: a suite by name from a server on loopback, answers written
 * and gone on with, the same texts plainly and drafted; and what is refused.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { AnswerLine } from "../../lib/eval/answer_file.ts";
import { inFolder, randomDraft, runTask } from "./tasks.ts";

const QUESTIONS = [
  { question_id: 81, category: "sums", turns: ["Tom has 3 apples.", "He buys 4 more."] },
  { question_id: 7, category: "sums", turns: ["How many pens are 2 and 5 pens?"] },
];
const FILE = QUESTIONS.map((q) => `${JSON.stringify(q)}\n`).join("");

Deno.test("a suite by name is answered turn by turn, and gone on with where it was stopped", async () => {
  await inFolder(async (folder) => {
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
      const known = new URL(url).pathname === "/qa/question.jsonl";
      return new Response(known ? FILE : "none", { status: known ? 200 : 404 });
    });
    const env = {
      GRIFFIN_SUITES_URL: `http://127.0.0.1:${server.addr.port}`,
      XDG_CACHE_HOME: join(folder, "cache"),
    };
    try {
      await randomDraft(folder);
      const task = async (...more: string[]) => {
        const args = [
          "--draft",
          "draft",
          "--protocol",
          "paper",
          "--tokens",
          "6",
          "--tree",
          "6/2/2",
        ];
        return await runTask(folder, {
          task: "eval",
          args: [...args, "--suite", "qa", "--answers", "tiny.jsonl", "--json", ...more],
          env,
        });
      };
      const first = await task("--count", "1");
      await server.shutdown(); // nothing is fetched twice
      assert.equal(first.code, 0, first.stderr);
      const all = await task();
      assert.equal(all.code, 0, all.stderr);
      assert.match(all.stderr, /qa: 1 questions were answered before/);
      const { suites: _, inputs, ...summary } = JSON.parse(all.stdout);
      assert.deepEqual([summary.prompts, summary.identical], [2, 2]);
      assert.equal(inputs.suites[0].count, 2);
      const lines = (await Deno.readTextFile(join(folder, "tiny.jsonl"))).trimEnd().split("\n")
        .map((text) => JSON.parse(text) as AnswerLine);
      assert.deepEqual(lines.map((l) => [l.question_id, l.model_id]), [[7, "tiny"], [81, "tiny"]]);
      assert.deepEqual(lines.map((l) => l.choices[0].turns.length), [1, 2]);
      assert.ok(lines.every((l) => l.choices[0].turns.every((t) => t.trim() === t && t !== "")));
      const counted = lines.flatMap((l) => l.choices[0].accept_lengths);
      const tokens = counted.reduce((a, b) => a + b, 0);
      assert.deepEqual([summary.tau_numerator, summary.tau_denominator], [tokens, counted.length]);
      // LLaMA-3's system prompt stands before the question.
      assert.ok(lines[0].result.promptTokens > 150);
    } finally {
      await server.shutdown();
    }
  });
});

Deno.test("one file for the answers of two suites, and a folder without a suite, are refused", async () => {
  await inFolder(async (folder) => {
    const wrong: [string[], RegExp][] = [
      [
        ["--suite", "ours,ours", "--answers", "a.jsonl"],
        /error: --answers is a\.jsonl for 2 suites, wanted \{suite\} in it/,
      ],
      [
        ["--suite", "gsm8k", "--suite-dir", "data"],
        /error: Cannot read suite gsm8k: found neither data.gsm8k.question\.jsonl nor/,
      ],
    ];
    for (const [args, error] of wrong) {
      const { code, stderr } = await runTask(folder, { task: "eval", args });
      assert.equal(code, 1);
      assert.match(stderr, error);
    }
  });
});
