/**
 * The question files that EAGLE and GRIFFIN evaluate on, by name: from a folder in the authors' layout, or fetched once
 * into the user's cache folder. No hash of these files is published, so the one of the first fetch is kept, and a
 * file that differs from it later, in the cache or where it came from, is refused. Read by `suites.ts`.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJson } from "../io/json.ts";

/** Names of EAGLE's question files. The tables of GRIFFIN's paper are over the first three. */
export const SUITE_NAMES = ["mt_bench", "humaneval", "gsm8k", "alpaca", "qa", "sum"] as const;

/** Where `NAME/question.jsonl` is fetched from; the variable `GRIFFIN_SUITES_URL` names another place. */
const AUTHORS_URL = "https://github.com/SafeAILab/EAGLE/raw/main/eagle/data";

/** The largest of the files has 0.3 MB: what is longer than this is something else. */
const MOST_BYTES = 32 * 2 ** 20;

const isWindows = process.platform === "win32";

/** Where fetched question files are kept. */
export function suitesFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  const base = XDG_CACHE_HOME ?? (isWindows ? LOCALAPPDATA : undefined);
  return join(base ?? join(homedir(), ".cache"), "griffin-lab", "suites");
}

export const isPublished = (name: string): boolean =>
  (SUITE_NAMES as readonly string[]).includes(name);

/**
 * The question file of a suite in a folder: `NAME/question.jsonl` as the authors have it, or `NAME.jsonl`.
 * @throws when there is neither.
 */
export function suiteFileIn(folder: string, name: string): string {
  const places = [join(folder, name, "question.jsonl"), join(folder, `${name}.jsonl`)];
  const found = places.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Error(`Cannot read suite ${name}: found neither ${places.join(" nor ")}`);
}

/** What is known of a file since it was first fetched. */
interface FirstFetch {
  sha256: string;
  url: string;
  date: string;
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** A failure that another try would not mend; cut connections and answers of 429 or 5xx may pass. */
class Final extends Error {}

async function fetchOnce(url: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const limit = AbortSignal.timeout(60_000);
  const answer = await fetch(url, { signal: signal ? AbortSignal.any([signal, limit]) : limit });
  if (!answer.ok) {
    await answer.body?.cancel();
    const { status } = answer, Kind = status === 429 || status >= 500 ? Error : Final;
    throw new Kind(`the answer was ${status}, wanted the file`);
  }
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const part of answer.body ?? []) {
    length += part.length;
    if (length > MOST_BYTES) throw new Final(`it has more than ${MOST_BYTES} bytes`);
    parts.push(part);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Is every line that is not empty an object with turns? A page of a proxy, say, is not. */
function looksLikeQuestions(bytes: Uint8Array): boolean {
  const lines = new TextDecoder().decode(bytes).split("\n").filter((line) => line.trim() !== "");
  try {
    return lines.length > 0 && lines.every((line) => Array.isArray(JSON.parse(line)?.turns));
  } catch {
    return false;
  }
}

export interface FetchSuiteOptions {
  /** Cache folder. */
  folder?: string;
  /** Folder of the suites on the web. */
  url?: string;
  /** Milliseconds before the second try; doubled before each one more. */
  patience?: number;
  signal?: AbortSignal;
}

const TRIES = 4;

/**
 * The path of a published suite in the cache; fetched if it is not there.
 * @throws when it cannot be fetched, is no question file, or differs from what was fetched first.
 */
export async function fetchSuite(
  name: string,
  { folder = suitesFolder(), url, patience = 1000, signal }: FetchSuiteOptions = {},
): Promise<string> {
  const path = join(folder, name, "question.jsonl"),
    record = join(folder, name, "first_fetch.json");
  const first = existsSync(record) ? await readJson(record) as unknown as FirstFetch : undefined;
  const check = (bytes: Uint8Array, from: string) => {
    const hash = sha256(bytes);
    if (first === undefined || first.sha256 === hash) return hash;
    throw new Error(
      `Cannot use suite ${name} from ${from}: its sha256 is ${hash}, on ${first.date} it was ` +
        `${first.sha256}; numbers of both cannot be compared. To take the new one remove ${record}`,
    );
  };
  if (existsSync(path)) {
    const hash = check(await readFile(path), path);
    // A file that was laid here by hand, or whose record was removed, is the first one.
    if (first === undefined) await remember(record, { sha256: hash, url: path });
    return path;
  }
  const base = url ?? process.env.GRIFFIN_SUITES_URL ?? AUTHORS_URL;
  const from = `${base.replace(/\/+$/, "")}/${name}/question.jsonl`;
  const refuse = (cause: Error) =>
    new Error(
      `Cannot fetch suite ${name} from ${from}: ${cause.message}; where it cannot be reached give ` +
        `--suite-dir DIR with ${name}/question.jsonl, or set GRIFFIN_SUITES_URL`,
      { cause },
    );
  let bytes: Uint8Array | undefined;
  for (let tries = 1; bytes === undefined; tries++) {
    try {
      bytes = await fetchOnce(from, signal);
    } catch (cause) {
      const isFinal = cause instanceof Final || cause instanceof Deno.errors.NotCapable;
      if (isFinal || signal?.aborted || tries === TRIES) {
        throw refuse(cause as Error);
      }
      await setTimeout(patience * 2 ** (tries - 1), undefined, { signal });
    }
  }
  if (!looksLikeQuestions(bytes)) throw refuse(new Error("found something else, wanted questions"));
  const hash = check(bytes, from);
  if (first === undefined) await remember(record, { sha256: hash, url: from });
  await writeFileAtomic(path, bytes);
  return path;
}

const remember = (record: string, found: Omit<FirstFetch, "date">) => {
  const date = new Date().toISOString().slice(0, 10);
  return writeFileAtomic(record, `${JSON.stringify({ ...found, date })}\n`);
};
