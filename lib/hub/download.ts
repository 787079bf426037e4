/**
 * One file of the hub into a blob of the cache: what an earlier run left of it is kept and the rest asked for, a cut
 * connection is taken up where it broke, the whole is checked by its hash before it gets its name. What is needed of a
 * model: `model.ts`.
 */
import { createHash, type Hash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RemoteFile } from "./listing.ts";
import { lockFile } from "./lock.ts";
import { type Asking, backoff, HubUnreachable, request } from "./request.ts";

/** Where a file goes, and who is told of its bytes. */
export interface Destination {
  blob: string;
  lock: string;
  /** Bytes that are there more than before; negative where some had to be thrown away. */
  onBytes?: (bytes: number) => void;
}

/** Address of a file at a commit. */
export const fileUrl = (
  { model: { id }, settings: { endpoint } }: Asking,
  { commit, path }: { commit: string; path: string },
) => `${endpoint}/${id}/resolve/${commit}/${encodeURIComponent(path)}`;

/** The hash of a whole file, begun: git counts the length in. */
function beginHash({ algorithm, size }: RemoteFile): Hash {
  const hash = createHash(algorithm);
  return algorithm === "sha1" ? hash.update(`blob ${size}\0`) : hash;
}

/** A file on its way: what is on disk, and its hash so far. */
interface Arriving {
  handle: FileHandle;
  hash: Hash;
  have: number;
}

/** Empties it. */
async function restart(partial: Arriving, file: RemoteFile, onBytes: (n: number) => void) {
  await partial.handle.truncate(0);
  onBytes(-partial.have);
  Object.assign(partial, { hash: beginHash(file), have: 0 });
}

/** Takes up what an earlier run left. */
async function takeUp(
  partial: Arriving,
  { file, onBytes, signal }: {
    file: RemoteFile;
    onBytes: (n: number) => void;
    signal?: AbortSignal;
  },
): Promise<void> {
  const { size } = await partial.handle.stat(), buffer = new Uint8Array(1 << 20);
  if (size > file.size) return await restart(partial, file, onBytes);
  while (partial.have < size) {
    signal?.throwIfAborted();
    const { bytesRead } = await partial.handle.read(buffer, 0, buffer.length, partial.have);
    if (bytesRead === 0) break;
    partial.hash.update(buffer.subarray(0, bytesRead));
    partial.have += bytesRead;
    onBytes(bytesRead);
  }
}

async function append({ handle, have }: Arriving, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) {
    at += (await handle.write(chunk, at, chunk.length - at, have + at)).bytesWritten;
  }
}

/** A chunk of a body, within `patience`. */
async function readChunk(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  patience: number,
): Promise<Uint8Array | undefined> {
  let clock: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    clock = setTimeout(() => reject(new Error(`no byte in ${patience / 1000} s`)), patience);
  });
  try {
    return (await Promise.race([reader.read(), late])).value;
  } finally {
    clearTimeout(clock);
  }
}

/**
 * Asks for what is missing and appends what comes. Ends early when the connection breaks, and says why.
 * @throws when the disk does, when the hub refuses, or when `signal` aborts.
 */
async function receive(
  partial: Arriving,
  { url, file, onBytes, asking }: {
    url: string;
    file: RemoteFile;
    onBytes: (n: number) => void;
    asking: Asking;
  },
): Promise<string | undefined> {
  const { signal, settings: { patience } } = asking;
  const headers: Record<string, string> = partial.have > 0
    ? { range: `bytes=${partial.have}-` }
    : {};
  const response = await request(url, { ...asking, headers });
  const from = response.status === 206
    ? Number(/^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1])
    : 0;
  // A server without ranges sends the whole.
  if (from !== partial.have) await restart(partial, file, onBytes);
  if (from !== partial.have) {
    await response.body?.cancel();
    return `it sent bytes from ${from}`;
  }
  const reader = response.body!.getReader();
  try {
    for (;;) {
      signal?.throwIfAborted();
      let chunk: Uint8Array | undefined;
      try {
        chunk = await readChunk(reader, patience);
      } catch (cause) {
        signal?.throwIfAborted();
        return (cause as Error).message;
      }
      if (chunk === undefined) return undefined;
      if (partial.have + chunk.length > file.size) return `it sent more than ${file.size} bytes`;
      await append(partial, chunk);
      partial.hash.update(chunk);
      partial.have += chunk.length;
      onBytes(chunk.length);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Until all bytes are there and are the right ones. */
async function complete(
  partial: Arriving,
  options: { url: string; file: RemoteFile; onBytes: (n: number) => void; asking: Asking },
): Promise<void> {
  const { file, onBytes, asking } = options, { settings, signal } = asking;
  const resumed = partial.have > 0;
  let idle = 0, wrong = 0;
  for (;;) {
    const before = partial.have;
    let why = before < file.size ? await receive(partial, options) : undefined;
    if (partial.have === file.size) {
      const found = partial.hash.digest("hex");
      if (found === file.hash) return;
      await restart(partial, file, onBytes);
      // What an earlier run left may be at fault: without it, once more.
      if (++wrong > (resumed ? 1 : 0)) {
        throw new Error(
          `Cannot download ${options.url}: its ${file.algorithm} is ${found}, wanted ${file.hash}; ` +
            "what came was thrown away",
        );
      }
      continue;
    }
    why ??= `it ended after ${partial.have} of ${file.size} bytes`;
    idle = partial.have > before ? 1 : idle + 1;
    if (idle >= settings.tries) {
      throw new HubUnreachable(
        `Cannot download ${options.url}: cut ${idle} times without a new byte (${why}); ` +
          "the same command goes on from there",
      );
    }
    await sleep(backoff(idle, settings), undefined, { signal });
  }
}

/** The same under the lock of the blob. */
async function write(
  url: string,
  { file, to: { blob, onBytes = () => {} }, asking, alone }: {
    file: RemoteFile;
    to: Destination;
    asking: Asking;
    alone: boolean;
  },
): Promise<boolean> {
  // Another process may have brought it.
  if (statSync(blob, { throwIfNoEntry: false })?.size === file.size) return false;
  const own = alone ? "" : `.${crypto.randomUUID().slice(0, 8)}`;
  const path = `${blob}${own}.incomplete`;
  const handle = await open(path, existsSync(path) ? "r+" : "w+");
  const partial: Arriving = { handle, hash: beginHash(file), have: 0 };
  try {
    await takeUp(partial, { file, onBytes, signal: asking.signal });
    await complete(partial, { url, file, onBytes, asking });
    await handle.sync();
    await rename(path, blob);
    return true;
  } catch (cause) {
    // Without a lock nobody could take it up.
    if (!alone || partial.have === 0) await rm(path, { force: true }).catch(() => {});
    throw cause;
  } finally {
    await handle.close();
  }
}

/**
 * Downloads a file, unless its blob is there. Another process that downloads it is waited for.
 * @returns true when the blob is new.
 * @throws naming the file when bytes are wrong, the disk refuses, or the connection breaks again and again.
 */
export async function downloadFile(
  url: string,
  what: { file: RemoteFile; to: Destination; asking: Asking },
): Promise<boolean> {
  const { to: { blob, lock }, asking: { signal } } = what;
  try {
    await mkdir(dirname(blob), { recursive: true });
    using held = await lockFile(lock, signal);
    return await write(url, { ...what, alone: held.alone });
  } catch (cause) {
    // Errors of the disk have a code.
    const { code, message } = cause as { code?: unknown; message: string };
    if (typeof code !== "string" || signal?.aborted) throw cause;
    throw new Error(`Cannot write ${blob}: ${message}`, { cause });
  }
}
