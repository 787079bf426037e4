/**
 * One process at a time writes a blob: the lock of its lock file, the same that Python's huggingface_hub takes. Where a
 * file system has no locks, several may write, each to a file of its own.
 */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** How often a lock that another process holds is asked for, in milliseconds. */
const PERIOD = 100;

/** A lock that is held until it is disposed. */
export interface Lock extends Disposable {
  /** False where the file system has no locks. */
  alone: boolean;
}

/** Waits for the lock of a file. @throws when `signal` aborts the wait. */
export async function lockFile(path: string, signal?: AbortSignal): Promise<Lock> {
  await mkdir(dirname(path), { recursive: true });
  const file = await Deno.open(path, { create: true, write: true });
  try {
    for (;;) {
      const alone = await file.tryLock(true).catch(() => undefined);
      if (alone !== false) {
        return { alone: alone === true, [Symbol.dispose]: () => file.close() }; // which unlocks it
      }
      await sleep(PERIOD, undefined, { signal });
    }
  } catch (cause) {
    file.close();
    throw cause;
  }
}
