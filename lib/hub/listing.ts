/**
 * What a model on the hub consists of: its commit and files with sizes and hashes, through npm:@huggingface/hub. Which
 * of them are needed: `needed_files.ts`.
 */
import type { Asking } from "./request.ts";
import { request } from "./request.ts";
import { COMMIT } from "./name.ts";

/** A file of a model. */
export interface RemoteFile {
  /** Relative to the model. */
  path: string;
  /** Bytes. */
  size: number;
  /** Its name among the blobs of the cache: SHA-256 of a large file, git's SHA-1 of a small one. */
  hash: string;
  algorithm: "sha256" | "sha1";
}

/** A model at one commit. */
export interface Listing {
  commit: string;
  files: RemoteFile[];
}

/** Only plain names of the top folder: others are not needed, and could lead outside the cache. */
const isPlain = (path: string) => !/[\\/]|^\.\.?$/.test(path);

const HASH = { sha256: /^[0-9a-f]{64}$/, sha1: /^[0-9a-f]{40}$/ };

/** @throws when the listing tells no hash to check the file by, and to name it by in the cache. */
function checked(file: RemoteFile, { model }: Asking): RemoteFile {
  const { path, hash, size, algorithm } = file;
  if (HASH[algorithm].test(hash) && Number.isSafeInteger(size) && size >= 0) return file;
  throw new Error(`Cannot use the listing of ${model.id}: ${path} has hash ${hash}, size ${size}`);
}

/** The answer of the hub as it was asked for. @throws when it is something else: a page of a portal, for one. */
async function answered<T>(answer: Promise<T>, { model, settings }: Asking): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new Error(`Cannot download ${model.id}: ${settings.endpoint} did not answer in JSON`, {
      cause,
    });
  }
}

/** Commit and files (of the top folder) of a model. @throws when there is none, or the hub cannot be reached. */
export async function listModel(asking: Asking): Promise<Listing> {
  // Loaded when a model is asked for by name, which most runs never do.
  const { listFiles, modelInfo } = await import("@huggingface/hub");
  const { model: { id, revision }, settings: { endpoint: hubUrl } } = asking;
  // Tokens, retries and errors are ours: the package takes tokens of one form only and tries nothing again.
  const ask = (input: RequestInfo | URL, init?: RequestInit) =>
    request(String(input), { ...asking, headers: init?.headers as Record<string, string> });
  let commit = revision;
  if (!COMMIT.test(revision)) {
    const fetch = ask as typeof globalThis.fetch;
    const { sha } = await answered(
      modelInfo({ ...{ name: id, revision, hubUrl, fetch }, additionalFields: ["sha"] }),
      asking,
    );
    if (!COMMIT.test(sha)) throw new Error(`Cannot use ${id}: its commit is ${sha}`);
    commit = sha;
  }
  const files: RemoteFile[] = [];
  const entries = listFiles({ repo: id, revision: commit, hubUrl, fetch: ask as typeof fetch });
  for (
    const { type, path, size, oid = "", lfs } of await answered(Array.fromAsync(entries), asking)
  ) {
    if (type !== "file" || !isPlain(path)) continue;
    files.push(checked(
      lfs === undefined
        ? { path, size, hash: oid, algorithm: "sha1" }
        : { path, size: lfs.size, hash: lfs.oid, algorithm: "sha256" },
      asking,
    ));
  }
  return { commit, files };
}
