/**
 * The events of a run, read from its folder while it is written or afterwards: `step-1/metrics.jsonl`,
 * `step-2/metrics.jsonl` and so on, one event a line. A line that a killed run left unfinished is passed over;
 * where a resumed run repeats updates, the later rows count. Only reads. Shown by `training_page.ts`.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Json, readJson } from "../io/json.ts";
import type { Environment } from "./environment.ts";
import type { TrainingEvent } from "./events.ts";

/** What a run folder holds. */
export interface TrainingRun {
  /** Events of stage 1, 2, 3 ...; empty for a stage without a folder before one that has one. */
  stages: TrainingEvent[][];
  /** Settings of the run; empty when they are not recorded. */
  settings: Json;
  /** Where it was trained, if recorded. */
  environment?: Environment;
}

/** Optional file of a run: an object with `settings` and `environment`. */
export const RUN_FILE = "run.json";
const METRICS = "metrics.jsonl", OPENING = '{"type":';

const isEvent = (value: unknown): value is TrainingEvent =>
  typeof value === "object" && value !== null && "step" in value &&
  ["step", "validation", "checkpoint"].includes((value as { type?: string }).type ?? "");

function parse(line: string): TrainingEvent | undefined {
  try {
    const value = JSON.parse(line);
    return isEvent(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The events of a metrics file, in order of updates. The last line may be torn; one in between may be a torn
 * one and the first of the resumed run, of which the second is taken.
 * @throws with the line's number (from 1) when a line in between is none of ours.
 */
export function parseEvents(text: string): TrainingEvent[] {
  const lines = text.split("\n"), events: TrainingEvent[] = [];
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const event = parse(line) ?? parse(line.slice(line.lastIndexOf(OPENING)));
    if (event === undefined) {
      if (i === lines.length - 1) break;
      throw new Error(`line ${i + 1} is not an event of a training: ${line.slice(0, 60)}`);
    }
    // An update that is not after the newest: the run went back to a checkpoint, what follows it is void.
    // A validation after update n stays when update n + 1 is repeated.
    if (event.type === "step") {
      while (events.length > 0 && events.at(-1)!.step >= event.step) events.pop();
    } else {
      const same = events.findLastIndex((e) => e.type === event.type && e.step === event.step);
      if (same >= 0) events.splice(same, 1);
    }
    events.push(event);
  }
  return events;
}

const ignoreMissing = (cause: NodeJS.ErrnoException) => {
  if (cause.code === "ENOENT" || cause.code === "ENOTDIR") return undefined;
  throw cause;
};

/** Numbers and folders of the stages that have metrics. */
async function stageFolders(folder: string): Promise<{ stage: number; path: string }[]> {
  const names = await readdir(folder).catch(ignoreMissing) ?? [], found = [];
  for (const name of names) {
    const stage = Number(/^step-(\d+)$/.exec(name)?.[1]), path = join(folder, name);
    if (stage > 0 && await stat(join(path, METRICS)).catch(ignoreMissing)) {
      found.push({ stage, path });
    }
  }
  return found.sort((a, b) => a.stage - b.stage);
}

/** Settings as the newest checkpoint of a stage records them. */
async function stageSettings(path: string): Promise<Json> {
  const folder = join(path, "checkpoints"),
    names = await readdir(folder).catch(ignoreMissing) ?? [];
  const newest = names.filter((n) => /^update-\d+$/.test(n)).sort().at(-1);
  if (newest === undefined) return {};
  try {
    return JSON.parse(String((await readJson(join(folder, newest, "state.json"))).settings));
  } catch {
    return {}; // removed in the meantime, or of another version: a page can do without
  }
}

/** @throws when the folder holds no metrics, or a metrics file is damaged, naming the file. */
export async function readRun(folder: string): Promise<TrainingRun> {
  const found = await stageFolders(folder);
  if (found.length === 0) {
    throw new Error(
      `Cannot read a run from ${folder}: it holds no step-1/${METRICS}; wanted the --out folder of deno task train`,
    );
  }
  const stages: TrainingEvent[][] = Array.from({ length: found.at(-1)!.stage }, () => []);
  const settings: Json = {};
  for (const { stage, path } of found) {
    const file = join(path, METRICS);
    try {
      stages[stage - 1] = parseEvents(await readFile(file, "utf8"));
    } catch (cause) {
      throw new Error(`Cannot read ${file}: ${(cause as Error).message}`, { cause });
    }
    const of = await stageSettings(path);
    if (Object.keys(of).length > 0) settings[`stage ${stage}`] = of;
  }
  const file = join(folder, RUN_FILE);
  if (!await stat(file).catch(ignoreMissing)) return { stages, settings };
  const run = await readJson(file);
  return {
    stages,
    settings: run.settings as Json ?? settings,
    environment: run.environment as Environment | undefined,
  };
}

/** The run now, and again whenever it has grown, until the signal. Waits for a run that has not begun. */
export async function* followRun(
  folder: string,
  { signal, every = 1000 }: { signal: AbortSignal; every?: number },
): AsyncGenerator<TrainingRun> {
  for (let seen = ""; !signal.aborted;) {
    const folders = await stageFolders(folder);
    const sizes = await Promise.all(
      folders.map(async ({ path }) => `${path} ${(await stat(join(path, METRICS))).size}`),
    );
    if (sizes.length > 0 && sizes.join() !== seen) {
      seen = sizes.join();
      yield await readRun(folder);
    }
    await sleep(every, undefined, { signal }).catch(() => {}); // aborted: the loop ends
  }
}
