/**
 * The cache that Python's huggingface_hub uses: `models--ORG--NAME/blobs/HASH` are files, `snapshots/COMMIT/PATH` links
 * to them, `refs/REVISION` says which commit a branch or tag was. Python finds what is written here and the other way
 * round. Where links cannot be made, the files themselves stand in the snapshot, as Python does it.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { copyFile, link, mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { PARTIAL } from "../io/atomic.ts";
import type { RemoteFile } from "./listing.ts";
import { COMMIT, type ModelName } from "./name.ts";
import { shardNames } from "./needed_files.ts";

/** The places of one model in the cache. */
export interface ModelCache {
  /** Folder of the model. */
  folder: string;
  blob(file: Pick<RemoteFile, "hash">): string;
  /** Python and this project lock the same file while a blob is written. */
  lock(file: Pick<RemoteFile, "hash">): string;
  snapshot(commit: string): string;
}

export function modelCache(cache: string, { id }: Pick<ModelName, "id">): ModelCache {
  const name = `models--${id.replace("/", "--")}`, folder = join(cache, name);
  return {
    folder,
    blob: ({ hash }) => join(folder, "blobs", hash),
    lock: ({ hash }) => join(cache, ".locks", name, `${hash}.lock`),
    snapshot: (commit) => join(folder, "snapshots", commit),
  };
}

/** The commit that a revision is in the cache, as of the last time it was asked for. */
export function cachedCommit(cache: ModelCache, revision: string): string | undefined {
  if (COMMIT.test(revision)) return revision;
  try {
    const commit = readFileSync(join(cache.folder, "refs", revision), "utf8").trim();
    return COMMIT.test(commit) ? commit : undefined;
  } catch {
    return undefined;
  }
}

/** Notes which commit a branch or tag is now. */
export async function noteCommit(
  cache: ModelCache,
  { revision, commit }: { revision: string; commit: string },
): Promise<void> {
  if (revision === commit || cachedCommit(cache, revision) === commit) return;
  const path = join(cache.folder, "refs", revision);
  await mkdir(dirname(path), { recursive: true });
  await replace(path, (temporary) => writeFile(temporary, commit));
}

const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size;

/** Is this file in the snapshot, as long as it should be? Its hash was checked when it came. */
export const isInSnapshot = (snapshot: string, { path, size }: RemoteFile): boolean =>
  sizeOf(join(snapshot, path)) === size;

/** Is this blob complete? */
export const hasBlob = (cache: ModelCache, file: RemoteFile): boolean =>
  sizeOf(cache.blob(file)) === file.size;

/**
 * What a snapshot lacks to be loaded, by name; `undefined` when nothing does. It asks nobody, so it knows what the
 * snapshot itself names: `config.json`, and of the weights one file, or the shards of an index.
 */
export function lackOf(snapshot: string, { weights }: { weights: boolean }): string | undefined {
  const has = (name: string) => existsSync(join(snapshot, name));
  if (!has("config.json")) return "config.json";
  if (!weights) return undefined;
  for (const name of ["model.safetensors", "pytorch_model.bin"]) {
    const index = `${name}.index.json`, path = join(snapshot, index);
    if (has(index)) return shardNames(readFileSync(path, "utf8"), path).find((n) => !has(n));
    if (has(name)) return undefined;
  }
  return "model.safetensors";
}

/**
 * Puts a blob into a snapshot: a link; a second name of the same file where links need more rights than there are; or
 * the file itself. Then a new blob is moved, since large models should not lie there twice; an old one is copied,
 * since other snapshots may count on it.
 */
export async function placeBlob(
  cache: ModelCache,
  { commit, file, isNew, links = { symlink, link } }: {
    commit: string;
    file: RemoteFile;
    isNew: boolean;
    /** What the file system can do. */
    links?: { symlink: typeof symlink; link: typeof link };
  },
): Promise<void> {
  const blob = cache.blob(file), place = join(cache.snapshot(commit), file.path);
  await mkdir(dirname(place), { recursive: true });
  await replace(place, async (temporary) => {
    await links.symlink(relative(dirname(place), blob), temporary)
      .catch(() => links.link(blob, temporary))
      .catch(() => isNew ? rename(blob, temporary) : copyFile(blob, temporary));
  });
}

/** Makes a file under a name of its own, then renames it: several processes may do so at a time. */
async function replace(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}${PARTIAL}`;
  try {
    await make(temporary);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
