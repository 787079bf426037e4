/**
 * What drafts are evaluated on: our own held-out prompts, or a question file in the format that EAGLE and
 * GRIFFIN use (JSON lines with `question_id`, `category`, `turns`). Evaluated by `lib/eval/run.ts`.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { takePrompts } from "./prompts.ts";

/** One question; later turns of the file are not asked. */
export interface Question {
  id: string;
  category: string;
  text: string;
}

export interface Suite {
  name: string;
  questions: Question[];
}

/**
 * Loads `ours` (held-out prompts of the generator) or a question file, the first `count` questions of it.
 * @throws naming file, line, found and wanted.
 */
export async function loadSuite(
  nameOrFile: string,
  { count = Infinity, seed = 0 }: { count?: number; seed?: number } = {},
): Promise<Suite> {
  if (nameOrFile === "ours") {
    const prompts = takePrompts("evaluation", { count: Number.isFinite(count) ? count : 80, seed });
    const questions = prompts.map(({ id, kind, messages }) => ({
      id,
      category: kind,
      text: messages[0].content,
    }));
    return { name: "ours", questions };
  }
  let text: string;
  try {
    text = await readFile(nameOrFile, "utf8");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const found = code === "ENOENT" ? "no such file" : code === "EISDIR" ? "a folder" : message;
    throw new Error(
      `Cannot read suite ${nameOrFile}: ${found}, wanted "ours" or a file of JSON lines`,
      { cause },
    );
  }
  const questions: Question[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() !== "" && questions.length < count) {
      questions.push(parseQuestion(line, `${nameOrFile}:${i + 1}`));
    }
  }
  if (questions.length === 0) {
    throw new Error(`Cannot evaluate on ${nameOrFile}: it holds no questions`);
  }
  return { name: basename(nameOrFile).replace(/\.jsonl$/, ""), questions };
}

function parseQuestion(line: string, place: string): Question {
  let row: { question_id?: unknown; category?: unknown; turns?: unknown };
  try {
    row = JSON.parse(line);
  } catch {
    throw new Error(
      `Cannot read ${place}: found text that is not JSON, wanted an object with turns`,
    );
  }
  const [first] = Array.isArray(row?.turns) ? row.turns : [];
  if (typeof first !== "string" || first.trim() === "") {
    throw new Error(
      `Cannot read ${place}: turns is ${
        JSON.stringify(row?.turns)
      }, wanted an array whose first entry is a text`,
    );
  }
  return {
    id: String(row.question_id ?? place),
    category: String(row.category ?? "none"),
    text: first,
  };
}
