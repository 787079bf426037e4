/**
 * Answers in FastChat's JSON lines (`model_answer/MODEL.jsonl`), so that its judges read them, with the fields that
 * EAGLE's and Spec-Bench's scripts add for their numbers, and with what was measured: a run that was stopped goes on
 * after the last answer, and reports of it are of all answers. Made by `run.ts`.
 */
import { createHash } from "node:crypto";
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { askedIn, type Question } from "../data/suites.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type PromptResult, turnsOf } from "./metrics.ts";
import { answerText } from "./run.ts";

/** The speculative answers to all turns of a question. */
export interface Choice {
  index: number;
  /** A text a turn. */
  turns: string[];
  /** Index of the last target forward of each turn after its prefill, from 0 as EAGLE has it. */
  idxs: number[];
  /** Tokens of each turn, the end token included. */
  new_tokens: number[];
  /** Seconds of each turn, prefill excluded. */
  wall_time: number[];
  /** Tokens that each target forward gave, over all turns, as Spec-Bench has it. */
  accept_lengths: number[];
}

/** One line. */
export interface AnswerLine {
  question_id: string | number;
  answer_id: string;
  model_id: string;
  choices: Choice[];
  /** Seconds since 1970. */
  tstamp: number;
  /** What made it: settings, models and question, as a hash. */
  made_by: string;
  result: PromptResult;
}

/** FastChat looks answers up by the ids of its questions, and those are numbers. */
const numbered = (id: string) => /^(0|[1-9]\d{0,14})$/.test(id) ? Number(id) : id;

/** What FastChat's judges and EAGLE's scripts read of a result. */
export function choiceOf(
  { speculative }: PromptResult,
  tokenizer: Pick<Tokenizer, "decode">,
): Choice {
  const turns = turnsOf(speculative);
  return {
    index: 0,
    turns: turns.map((turn) => answerText(turn, tokenizer)),
    idxs: turns.map(({ rounds }) => Math.max(0, rounds.length - 1)),
    new_tokens: turns.map(({ tokens }) => tokens.length),
    wall_time: turns.map(({ decodeMs }) => decodeMs / 1000),
    accept_lengths: speculative.rounds.map((r) => r.emitted),
  };
}

/** Answers of one suite while they are made. */
export interface AnswerFile {
  /** What was measured of questions that were answered before, by their ids. */
  done: Map<string, PromptResult>;
  /** Adds an answer at the end of the file. */
  append(question: Question, result: PromptResult): Promise<void>;
  /** Sorts the file by question, as FastChat leaves it. */
  finish(): Promise<void>;
}

/** Lines with their text; a last line without an end was cut off while it was written, and is left out. */
async function readLines(path: string): Promise<{ text: string; line: AnswerLine }[]> {
  const text = await readFile(path, "utf8").catch((cause) => {
    if (cause.code === "ENOENT") return "";
    throw new Error(`Cannot read answers from ${path}: ${cause.message}`, { cause });
  });
  return text.split("\n").slice(0, -1).map((text, i) => {
    const place = `${path}:${i + 1}`;
    let line: Partial<AnswerLine>;
    try {
      line = JSON.parse(text);
    } catch {
      throw new Error(`Cannot go on with ${place}: found text that is not JSON, wanted an answer`);
    }
    if (line?.made_by === undefined || line.result === undefined) {
      throw new Error(
        `Cannot go on with ${place}: found an answer without made_by and result, wanted one of this ` +
          "task; name another file",
      );
    }
    return { text, line: line as AnswerLine };
  });
}

/**
 * Opens a file of answers, new or begun. `settings` says all that decides an answer beside its question. The file's
 * name without its ending is the model's id, as FastChat wants it.
 * @throws when it holds an answer to one of the questions that other settings made, naming the line.
 */
export async function openAnswers(
  path: string,
  { questions, settings, tokenizer }: {
    questions: readonly Question[];
    settings: string;
    tokenizer: Pick<Tokenizer, "decode">;
  },
): Promise<AnswerFile> {
  const madeBy = (question: Question) =>
    createHash("sha256").update(JSON.stringify([settings, askedIn(question)])).digest("hex")
      .slice(0, 16);
  const known = await readLines(path), done = new Map<string, PromptResult>();
  const asked = new Map(questions.map((question) => [question.id, question]));
  for (const [i, { line }] of known.entries()) {
    const id = String(line.question_id), question = asked.get(id);
    if (question === undefined) continue;
    const wanted = madeBy(question);
    if (line.made_by !== wanted) {
      throw new Error(
        `Cannot go on with ${path}:${i + 1}: question ${id} was answered with other settings ` +
          `(${line.made_by}), wanted ${wanted}; name another file`,
      );
    }
    done.set(id, line.result);
  }
  // Also cuts off what was not written to its end.
  const write = (texts: string[]) => writeFileAtomic(path, texts.map((t) => `${t}\n`).join(""));
  await mkdir(dirname(path), { recursive: true });
  await write(known.map(({ text }) => text));
  return {
    done,
    async append(question, result) {
      const line: AnswerLine = {
        question_id: numbered(question.id),
        answer_id: crypto.randomUUID().replaceAll("-", ""),
        model_id: basename(path).replace(/\.jsonl$/, ""),
        choices: [choiceOf(result, tokenizer)],
        tstamp: Date.now() / 1000,
        made_by: madeBy(question),
        result,
      };
      await appendFile(path, `${JSON.stringify(line)}\n`, { flush: true });
    },
    async finish() {
      const lines = await readLines(path);
      const last = new Map(lines.map(({ text, line }) => [line.question_id, text]));
      const ids = [...last.keys()].sort((a, b) =>
        typeof a === "number" && typeof b === "number" ? a - b : `${a}` < `${b}` ? -1 : 1
      );
      await write(ids.map((id) => last.get(id)!));
    },
  };
}
