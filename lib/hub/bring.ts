/**
 * Files of one commit into its snapshot: those that are missing, several at a time, after a look at the room on the
 * disk. Which ones, and of which commit: `model.ts`. One file: `download.ts`.
 */
import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hasBlob, isInSnapshot, type ModelCache, placeBlob } from "./cache.ts";
import { downloadFile, fileUrl } from "./download.ts";
import type { RemoteFile } from "./listing.ts";
import type { Asking } from "./request.ts";

/** Bytes that are there, of those that were missing at first. */
export interface DownloadEvent {
  type: "download";
  done: number;
  total: number;
  /** Files that were missing at first. */
  files: number;
}

/** Files that are downloaded at a time: one connection alone is rarely as fast as the line. */
const AT_A_TIME = 4;
/** Milliseconds between events. */
const PERIOD = 100;

const gigabytes = (bytes: number) =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;

/** @throws when the disk has less room than is needed. */
async function checkRoom(bytes: number, { asking, cache }: { asking: Asking; cache: ModelCache }) {
  if (bytes === 0) return;
  let place = cache.folder;
  while (!existsSync(place) && dirname(place) !== place) place = dirname(place);
  const free = await asking.settings.room(place);
  if (bytes <= free) return;
  const missing = `${gigabytes(bytes)} (${bytes} bytes)`,
    room = `${gigabytes(free)} (${free} bytes)`;
  throw new Error(
    `Cannot download ${asking.model.id}: ${missing} are missing, ${place} has room for ${room}; ` +
      "HF_HOME names another place",
  );
}

/** Bytes of a file that an earlier run left. */
const leftOf = (cache: ModelCache, file: RemoteFile) =>
  Math.min(
    file.size,
    statSync(`${cache.blob(file)}.incomplete`, { throwIfNoEntry: false })?.size ?? 0,
  );

/** Brings files into the snapshot of a commit. */
export async function* bring(
  files: readonly RemoteFile[],
  { asking, cache, commit }: { asking: Asking; cache: ModelCache; commit: string },
): AsyncGenerator<DownloadEvent> {
  const lacking = files.filter((file) => !isInSnapshot(cache.snapshot(commit), file));
  const missing = lacking.filter((file) => !hasBlob(cache, file));
  const total = missing.reduce((n, file) => n + file.size, 0);
  await checkRoom(missing.reduce((n, file) => n - leftOf(cache, file), total), { asking, cache });
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...asking.signal ? [asking.signal] : []]);
  let done = 0, open = true, failure: unknown;
  const waiting = [...lacking];
  const work = async () => {
    try {
      for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
        const size = file.size, url = fileUrl(asking, { commit, path: file.path });
        const to = {
          blob: cache.blob(file),
          lock: cache.lock(file),
          onBytes: (n: number) => void (done += n),
        };
        const isNew = await downloadFile(url, { file, to, asking: { ...asking, signal } });
        if (!isNew && missing.includes(file)) done += size; // another process has brought it
        await placeBlob(cache, { commit, file, isNew });
      }
    } catch (cause) {
      failure ??= cause;
      stop.abort(cause);
    }
  };
  const all = Promise.all(Array.from({ length: AT_A_TIME }, work)).finally(() => open = false);
  const clock = new AbortController();
  try {
    while (open) {
      const period = sleep(PERIOD, undefined, { signal: clock.signal }).catch(() => {});
      await Promise.race([all, period]);
      if (total > 0) yield { type: "download", done, total, files: missing.length };
    }
    if (failure !== undefined) throw failure;
  } finally {
    clock.abort();
    stop.abort();
    await all;
  }
}
