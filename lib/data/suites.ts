/**
 * What drafts are evaluated on: our own held-out prompts, or question files in the format that FastChat, EAGLE and
 * GRIFFIN use (JSON lines with `question_id`, `category`, `turns`), by name or by path. Named ones come from
 * `published_suites.ts`; evaluated by `lib/eval/run.ts`.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { takePrompts } from "./prompts.ts";
import {
  fetchSuite,
  type FetchSuiteOptions,
  isPublished,
  SUITE_NAMES,
  suiteFileIn,
} from "./published_suites.ts";

/** One question. */
export interface Question {
  id: string;
  category: string;
  /** What is asked first. */
  text: string;
  /** What is asked after each answer, in the same conversation; absent where nothing is. */
  later?: string[];
}

/** All that is asked, in order. */
export const askedIn = ({ text, later = [] }: Question): string[] => [text, ...later];

export interface Suite {
  name: string;
  questions: Question[];
}

export interface LoadSuiteOptions {
  /** Questions: the first ones of a file. */
  count?: number;
  /** Turns of each question, at most. */
  turns?: number;
  seed?: number;
  /** Folder that all names but `ours` are looked up in: `NAME/question.jsonl` or `NAME.jsonl`. */
  folder?: string;
  /** How named suites are fetched where there is no folder. */
  fetching?: FetchSuiteOptions;
}

/**
 * Loads `ours` (held-out prompts of the generator), a published suite by its name, or a question file.
 * @throws naming file, line, found and wanted.
 */
export async function loadSuite(
  nameOrFile: string,
  { count = Infinity, turns = Infinity, seed = 0, folder, fetching }: LoadSuiteOptions = {},
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
  const isName = !/[/\\]|\.jsonl?$/.test(nameOrFile);
  const file = folder !== undefined && isName
    ? suiteFileIn(folder, nameOrFile)
    : isPublished(nameOrFile)
    ? await fetchSuite(nameOrFile, fetching)
    : nameOrFile;
  const questions: Question[] = [];
  for (const [i, line] of (await readText(file)).split("\n").entries()) {
    if (line.trim() !== "" && questions.length < count) {
      questions.push(parseQuestion(line, { place: `${file}:${i + 1}`, turns }));
    }
  }
  if (questions.length === 0) throw new Error(`Cannot evaluate on ${file}: it holds no questions`);
  return {
    name: file === nameOrFile ? basename(file).replace(/\.jsonl$/, "") : nameOrFile,
    questions,
  };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const found = code === "ENOENT" ? "no such file" : code === "EISDIR" ? "a folder" : message;
    throw new Error(
      `Cannot read suite ${file}: ${found}, wanted "ours", ${SUITE_NAMES.join(", ")}, or a file ` +
        "of JSON lines",
      { cause },
    );
  }
}

function parseQuestion(
  line: string,
  { place, turns: most }: { place: string; turns: number },
): Question {
  let row: { question_id?: unknown; category?: unknown; turns?: unknown };
  try {
    row = JSON.parse(line);
  } catch {
    throw new Error(
      `Cannot read ${place}: found text that is not JSON, wanted an object with turns`,
    );
  }
  const { turns } = row ?? {};
  const isText = (turn: unknown) => typeof turn === "string" && turn.trim() !== "";
  if (!Array.isArray(turns) || turns.length === 0 || !turns.every(isText)) {
    throw new Error(
      `Cannot read ${place}: turns is ${JSON.stringify(turns)}, wanted a list of texts`,
    );
  }
  const [text, ...later] = turns.slice(0, most);
  return {
    id: String(row.question_id ?? place),
    category: String(row.category ?? "none"),
    text,
    ...(later.length > 0 && { later }),
  };
}
