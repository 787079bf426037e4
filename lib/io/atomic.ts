/**
 * Writing so that nothing is lost: to a temporary sibling, flushed, then renamed. A reader sees the old
 * content or the new one, never a part. Used by everything that leaves files behind.
 */
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

/** Ending of files and folders that are still being written. */
export const PARTIAL = ".partial";

async function flush(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Writes a file as a whole or not at all. Content may come in chunks. */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const temporary = `${path}${PARTIAL}`;
  const chunks = typeof content === "string"
    ? [new TextEncoder().encode(content)]
    : content instanceof Uint8Array
    ? [content]
    : content;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temporary, "w");
    try {
      for await (const chunk of chunks) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {}); // the first error is the one to tell
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Writes a folder as a whole or not at all: `write` fills a temporary one, which then takes the place of
 * the old. A folder of that name is therefore always complete.
 */
export async function writeFolderAtomic(
  path: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  // Resolved, because "a/" would put the temporary inside the folder that is to be moved.
  const place = resolve(path), temporary = `${place}${PARTIAL}`, old = `${place}.old${PARTIAL}`;
  try {
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    await write(temporary);
    for (const entry of await readdir(temporary, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) await flush(join(entry.parentPath, entry.name));
    }
    await rm(old, { recursive: true, force: true });
    const moved = await rename(place, old).then(() => true, (cause) => {
      if (cause.code === "ENOENT") return false;
      throw cause;
    });
    try {
      await rename(temporary, place);
    } catch (cause) {
      if (moved) await rename(old, place);
      throw cause;
    }
    await rm(old, { recursive: true, force: true });
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Removes a folder so that nobody finds a part of it: it is renamed first. No folder of that name is no error.
 */
export async function removeFolderAtomic(path: string): Promise<void> {
  const place = resolve(path), old = `${place}.old${PARTIAL}`;
  try {
    await rm(old, { recursive: true, force: true });
    await rename(place, old).catch((cause) => {
      if (cause.code !== "ENOENT") throw cause;
    });
    await rm(old, { recursive: true, force: true });
  } catch (cause) {
    throw new Error(`Cannot remove ${path}: ${(cause as Error).message}`, { cause });
  }
}
