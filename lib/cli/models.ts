/**
 * Options that take a model: a folder, or a name of the hub, which is downloaded before the task begins, with a
 * progress line. The task sees folders only; the record of its run has the name and the commit.
 */
import { join } from "node:path";
import { fetchModel, type HubEvent } from "../hub/model.ts";
import { formatName, type ModelName, modelNameOf } from "../hub/name.ts";
import { hubSettings } from "../hub/settings.ts";
import { readDraftConfig, readTargetConfig } from "../model/config.ts";
import { Progress } from "./progress.ts";

/** What a model is for: a target's or draft's configuration is read before its weights come. */
export type ModelKind = "target" | "draft" | "texts";

/** Declared options. */
export const TARGET_OPTION = {
  type: "string",
  default: "data/target",
  describe: "target: a folder, or ORG/NAME[@REVISION] of the hub",
  model: "target",
} as const;
export const DRAFT_OPTION = {
  type: "string",
  default: "data/draft",
  describe: "draft: a folder, or ORG/NAME[@REVISION] of the hub",
  model: "draft",
} as const;

const CHECKS: Record<ModelKind, ((folder: string) => Promise<unknown>) | undefined> = {
  target: readTargetConfig,
  draft: (folder) => readDraftConfig(join(folder, "config.json")),
  texts: undefined,
};

/** Less than this comes too quickly for a line, bytes. */
const SHOWN = 1e6;
/** Events that the rate is measured over: about five seconds. */
const WINDOW = 50;

/** Bytes per second over the last events. */
export function rateOf(): (done: number, now?: number) => number {
  const seen: [done: number, at: number][] = [];
  return (done, now = performance.now()) => {
    seen.push([done, now]);
    if (seen.length > WINDOW) seen.shift();
    const [before, began] = seen[0];
    return now > began ? (done - before) / ((now - began) / 1000) : 0;
  };
}

/** Shows what a download tells, and gives its end. */
export async function showDownload(
  name: ModelName,
  events: AsyncIterable<HubEvent>,
): Promise<HubEvent & { type: "ready" }> {
  let progress: Progress | undefined, rate = rateOf(), of = 0, whole = false;
  try {
    for await (const event of events) {
      if (event.type === "ready") return event;
      const { done, total, files } = event;
      if (total < SHOWN) continue;
      if (total !== of) { // texts first, then weights
        progress?.[Symbol.dispose]();
        [progress, rate, of, whole] = [new Progress(name.id), rateOf(), total, false];
      }
      if (whole) continue; // its hash is compared, or it is flushed
      whole = done >= total;
      const speed = rate(done), megabytes = (bytes: number) => Math.round(bytes / 1e6);
      progress!.update(megabytes(done), {
        total: megabytes(total),
        secondsLeft: done < total ? (total - done) / speed : 0,
        note: `MB in ${files} file${files === 1 ? "" : "s"}, ${(speed / 1e6).toFixed(1)} MB/s`,
      });
    }
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotCapable)) throw cause;
    const [what] = cause.message.split(","), model = formatName(name);
    throw new Error(
      `Cannot download ${model}: ${what}, which this task does not have; deno task fetch ${model} can`,
      { cause },
    );
  } finally {
    progress?.[Symbol.dispose]();
  }
  throw new Error(`Cannot load ${formatName(name)}: the download ended early`);
}

/**
 * Of the options that take models, those that name one of the hub: by the folder it is in now, and by
 * `ORG/NAME@COMMIT`. `--offline` is among the values.
 * @throws as `fetchModel` does.
 */
export async function openModels(
  declared: Record<string, { model?: ModelKind; default?: unknown }>,
  values: Record<string, unknown>,
  { signal }: { signal: AbortSignal },
): Promise<{ folders: Record<string, string>; names: Record<string, string> }> {
  const folders: Record<string, string> = {}, names: Record<string, string> = {};
  for (const [key, { model, default: fallback }] of Object.entries(declared)) {
    const given = values[key];
    // What ships is a folder, also where it is missing.
    if (model === undefined || typeof given !== "string" || given === fallback) continue;
    const name = modelNameOf(given);
    if (name === undefined) continue;
    const settings = hubSettings();
    settings.offline ||= values.offline === true;
    const weights = model !== "texts", check = CHECKS[model];
    const events = fetchModel(name, { weights, check, settings, signal });
    const { folder, name: found, unreachable } = await showDownload(name, events);
    if (unreachable !== undefined) console.error(`${unreachable}; the copy in the cache is used`);
    [folders[key], names[key]] = [folder, formatName(found)];
  }
  return { folders, names };
}
