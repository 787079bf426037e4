/**
 * Writing so that nothing is lost: to a temporary sibling, flushed, then renamed. A reader sees the old
 * content or the new one, never a part. Used by everything that leaves files behind.
 */
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

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
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}${PARTIAL}`;
  const chunks = typeof content === "string"
    ? [new TextEncoder().encode(content)]
    : content instanceof Uint8Array
    ? [content]
    : content;
  try {
    const file = await open(temporary, "w");
    try {
      for await (const chunk of chunks) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
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
  const temporary = `${path}${PARTIAL}`, old = `${path}.old${PARTIAL}`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  try {
    await write(temporary);
    for (const name of await readdir(temporary)) await flush(join(temporary, name));
    await rm(old, { recursive: true, force: true });
    await rename(path, old).catch((cause) => {
      if (cause.code !== "ENOENT") throw cause;
    });
    await rename(temporary, path);
    await rm(old, { recursive: true, force: true });
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}
