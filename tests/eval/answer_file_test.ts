/**
 * Tests lib/eval/answer_file.ts: the fields that judges and scripts of others read, by hand; going on after a stop in
 * the middle of a line; refusals.
 */
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { join } from "node:path";
import { type AnswerLine, choiceOf, openAnswers } from "../../lib/eval/answer_file.ts";
import { joinTurns } from "../../lib/eval/metrics.ts";
import { generation, plainGeneration, promptResult } from "./recordings.ts";

const tokenizer = { decode: (ids: ArrayLike<number>) => ` ${Array.from(ids).join(" ")}\n` };
const TIMES = { prefillMs: 100, roundMs: 500 };
const A = generation([[3, 2, 4], [1, 0, 4]], TIMES), B = generation([[2, 1, 2]], TIMES);
const QUESTIONS = [
  { id: "81", category: "c", text: "one", later: ["two"] },
  { id: "9", category: "c", text: "nine" },
  { id: "x", category: "c", text: "named" },
];
const RESULTS = QUESTIONS.map(({ id }, i) =>
  promptResult(plainGeneration(4, TIMES), i === 0 ? joinTurns([A, B]) : B, { id })
);
const inFile = async () => join(await Deno.makeTempDir(), "model_answer/tiny.jsonl");
const linesOf = async (path: string) =>
  (await Deno.readTextFile(path)).trimEnd().split("\n").map((t) => JSON.parse(t) as AnswerLine);
const options = { questions: QUESTIONS, settings: "these", tokenizer };

Deno.test("a choice has what FastChat, EAGLE and Spec-Bench read", () => {
  deepEqual(choiceOf(RESULTS[0], tokenizer), {
    index: 0,
    turns: ["0 1 2 3 4", "0 1 2"],
    idxs: [1, 0],
    new_tokens: [5, 3],
    wall_time: [1, 0.5],
    accept_lengths: [3, 1, 2],
  });
});

Deno.test("lines are one a question, numbered as FastChat's, and sorted in the end", async () => {
  const path = await inFile(), file = await openAnswers(path, options);
  equal(file.done.size, 0);
  for (const [i, question] of QUESTIONS.entries()) await file.append(question, RESULTS[i]);
  deepEqual((await linesOf(path)).map((l) => l.question_id), [81, 9, "x"]);
  await file.finish();
  const lines = await linesOf(path);
  deepEqual(lines.map((l) => l.question_id), [9, 81, "x"]);
  for (const { model_id, answer_id, tstamp, choices } of lines) {
    equal(model_id, "tiny");
    match(answer_id, /^[0-9a-f]{32}$/);
    ok(tstamp > 1.7e9 && tstamp < 1e11);
    equal(choices.length, 1);
  }
  equal(new Set(lines.map((l) => l.answer_id)).size, 3);
});

Deno.test("a run goes on after the last whole line, whatever it was stopped in", async () => {
  const path = await inFile(), first = await openAnswers(path, options);
  for (const [i, question] of QUESTIONS.entries()) await first.append(question, RESULTS[i]);
  const whole = await Deno.readTextFile(path);
  for (const cut of [whole.length - 1, whole.length - 100, whole.indexOf("\n"), 5]) {
    await Deno.writeTextFile(path, whole.slice(0, cut));
    const again = await openAnswers(path, options), { done } = again;
    const kept = whole.slice(0, cut).split("\n").length - 1;
    deepEqual([...done.values()], RESULTS.slice(0, kept));
    for (const [i, question] of QUESTIONS.entries()) {
      if (!done.has(question.id)) await again.append(question, RESULTS[i]);
    }
    await again.finish();
    deepEqual((await linesOf(path)).map((l) => l.result.id).sort(), ["81", "9", "x"]);
  }
});

Deno.test("answers that something else made are refused; those to other questions are kept", async () => {
  const path = await inFile(), first = await openAnswers(path, options);
  await first.append(QUESTIONS[0], RESULTS[0]);
  await rejects(
    openAnswers(path, { ...options, settings: "others" }),
    /Cannot go on with .*tiny\.jsonl:1: question 81 was answered with other settings \([0-9a-f]{16}\), wanted/,
  );
  const changed = [{ ...QUESTIONS[0], later: ["three"] }];
  await rejects(openAnswers(path, { ...options, questions: changed }), /question 81 was answered/);
  const others = await openAnswers(path, {
    ...options,
    questions: QUESTIONS.slice(1),
    settings: "",
  });
  equal(others.done.size, 0);
  await others.append(QUESTIONS[1], RESULTS[1]);
  await others.finish();
  deepEqual((await linesOf(path)).map((l) => l.question_id), [9, 81]);
  for (
    const [text, message] of [["no\n", /:1: found text that/], ["{}\n", /:1: found an answer w/]]
  ) {
    await Deno.writeTextFile(path, text as string);
    await rejects(openAnswers(path, options), message as RegExp);
  }
  await rejects(openAnswers(join(path, ".."), options), /Cannot read answers from .*model_answer/);
});
