/**
 * A model by name: asks the hub which commit it is, downloads what the cache lacks, and gives the folder of the
 * snapshot, which is then as good as any other model folder. A copy in the cache is enough where nothing may be asked
 * (offline), nothing can be asked (no connection), or nothing has to be (a commit). How its files come: `bring.ts`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bring, type DownloadEvent } from "./bring.ts";
import { cachedCommit, lackOf, type ModelCache, modelCache, noteCommit } from "./cache.ts";
import { type Listing, listModel, type RemoteFile } from "./listing.ts";
import { COMMIT, formatName, type ModelName, modelNameOf } from "./name.ts";
import { neededFiles, shardFiles, shardNames } from "./needed_files.ts";
import { type Asking, HubUnreachable } from "./request.ts";
import { type HubSettings, hubSettings } from "./settings.ts";

/** What the download of a model tells. */
export type HubEvent =
  | DownloadEvent
  /** The end. `unreachable` says why the hub was not asked, and that the copy may be old. */
  | { type: "ready"; folder: string; name: ModelName; unreachable?: string };

export interface FetchOptions {
  /** False: configuration, tokenizer and index only. */
  weights?: boolean;
  /** Looks at the folder with configuration and tokenizer before the weights come; what it throws stops the download. */
  check?: (folder: string) => Promise<unknown>;
  settings?: HubSettings;
  signal?: AbortSignal;
}

/** The files of the weights; the index must be in the snapshot if there is one. */
function weightFiles(
  listing: Listing,
  { id, snapshot }: { id: string; snapshot: string },
): RemoteFile[] {
  const { weights } = neededFiles(listing);
  if (weights === undefined) {
    const names = listing.files.map(({ path }) => path).join(", ");
    throw new Error(
      `Cannot use ${id}: it has no model.safetensors or pytorch_model.bin, found ${
        names || "nothing"
      }`,
    );
  }
  if ("single" in weights) return [weights.single];
  const path = join(snapshot, weights.index.path);
  return shardFiles(listing, shardNames(readFileSync(path, "utf8"), path));
}

/** The copy in the cache. @throws saying what it lacks. */
function fromCache(
  { model, cache, weights, reason }: {
    model: ModelName;
    cache: ModelCache;
    weights: boolean;
    reason: string;
  },
): { folder: string; name: ModelName } {
  const commit = cachedCommit(cache, model.revision);
  const folder = commit === undefined ? undefined : cache.snapshot(commit);
  const lack = folder === undefined || !existsSync(folder) ? "all" : lackOf(folder, { weights });
  if (lack === undefined) return { folder: folder!, name: { id: model.id, revision: commit! } };
  const there = lack === "all"
    ? `${cache.folder} holds no copy of revision ${model.revision}`
    : `the copy ${folder} lacks ${lack}`;
  throw new Error(`Cannot load ${model.id}: ${reason}, and ${there}`);
}

/**
 * Brings a model into the cache, and tells on the way; the last event has the folder. Files that are there are used,
 * those of Python's huggingface_hub too.
 * @throws when there is no such model or revision, a licence was not accepted, the disk is full, bytes are wrong, the
 * connection breaks again and again, or, offline, when the copy in the cache lacks something.
 */
export async function* fetchModel(
  model: ModelName,
  { weights = true, check, settings = hubSettings(), signal }: FetchOptions = {},
): AsyncGenerator<HubEvent> {
  const cache = modelCache(settings.cache, model), asking: Asking = { model, settings, signal };
  const { revision } = model;
  const stored = (reason: string) => fromCache({ model, cache, weights, reason });
  if (settings.offline) {
    yield { type: "ready", ...stored("nothing may be downloaded (offline)") };
    return;
  }
  // A commit never changes, so a whole copy of it needs no question.
  const pinned = cache.snapshot(revision);
  if (COMMIT.test(revision) && existsSync(pinned) && lackOf(pinned, { weights }) === undefined) {
    yield { type: "ready", folder: pinned, name: model };
    return;
  }
  let listing: Listing;
  try {
    listing = await listModel(asking);
  } catch (cause) {
    if (!(cause instanceof HubUnreachable)) throw cause;
    yield { type: "ready", ...stored(cause.message), unreachable: cause.message };
    return;
  }
  const { commit } = listing, folder = cache.snapshot(commit);
  const { texts } = neededFiles(listing);
  if (!texts.some(({ path }) => path === "config.json")) {
    throw new Error(`Cannot use ${formatName(model)}: it has no config.json`);
  }
  yield* bring(texts, { asking, cache, commit });
  await check?.(folder);
  if (weights) {
    yield* bring(weightFiles(listing, { id: model.id, snapshot: folder }), {
      asking,
      cache,
      commit,
    });
  }
  // Last, so that a revision in the cache leads to a whole snapshot wherever possible.
  await noteCommit(cache, { revision, commit });
  yield { type: "ready", folder, name: { id: model.id, revision: commit } };
}

/**
 * The folder of a model that was given as a folder or a name; names are downloaded if the cache lacks them.
 * @throws as {@link fetchModel} does.
 */
export async function modelFolder(given: string, options: FetchOptions = {}): Promise<string> {
  const name = modelNameOf(given);
  if (name === undefined) return given;
  for await (const event of fetchModel(name, options)) {
    if (event.type === "ready") return event.folder;
  }
  throw new Error(`Cannot load ${given}: the download ended early`);
}

/**
 * The files that {@link fetchModel} brings, with sizes in bytes; the index of the weights is downloaded for it.
 * @throws as {@link fetchModel} does.
 */
export async function remoteFiles(
  model: ModelName,
  { settings = hubSettings(), signal }: FetchOptions = {},
): Promise<RemoteFile[]> {
  const asking: Asking = { model, settings, signal }, listing = await listModel(asking);
  const { commit } = listing, cache = modelCache(settings.cache, model);
  const { texts } = neededFiles(listing);
  for await (const _ of bring(texts, { asking, cache, commit }));
  return [...texts, ...weightFiles(listing, { id: model.id, snapshot: cache.snapshot(commit) })];
}

/** `ORG/NAME@COMMIT` of a snapshot's folder in a cache; other folders as they are. */
export function nameOfFolder(folder: string): string {
  const found = /models--([^\\/]+?)--([^\\/]+)[\\/]snapshots[\\/]([0-9a-f]{40})$/.exec(folder);
  return found === null ? folder : `${found[1]}/${found[2]}@${found[3]}`;
}
