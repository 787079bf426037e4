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
import { countRemoteValues } from "./remote_weights.ts";
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

/** How the hub is asked where the answer could be done without. */
const HASTE = { tries: 1, patience: 10_000 };

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

interface Copy {
  folder: string;
  name: ModelName;
}

/** The copy of a model in the cache, or in words what it lacks. */
function copyOf(
  { id, revision }: ModelName,
  { cache, weights }: { cache: ModelCache; weights: boolean },
): Copy | string {
  const commit = cachedCommit(cache, revision);
  const folder = commit === undefined ? undefined : cache.snapshot(commit);
  if (commit === undefined || folder === undefined || !existsSync(folder)) {
    return `${cache.folder} holds no copy of revision ${revision}`;
  }
  const lack = lackOf(folder, { weights });
  return lack === undefined
    ? { folder, name: { id, revision: commit } }
    : `the copy ${folder} lacks ${lack}`;
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
  const { id, revision } = model, copy = copyOf(model, { cache, weights });
  const isWhole = typeof copy !== "string";
  if (settings.offline) {
    if (!isWhole) {
      throw new Error(`Cannot load ${id}: nothing may be downloaded (offline), and ${copy}`);
    }
    return yield { type: "ready", ...copy };
  }
  // A commit never changes. (Drafts have no tokenizer; where somebody else left it out, the hub is asked.)
  if (isWhole && COMMIT.test(revision) && existsSync(join(copy.folder, "tokenizer.json"))) {
    return yield { type: "ready", ...copy };
  }
  let listing: Listing;
  try {
    // Where there is a copy, nobody waits long for an answer.
    listing = await listModel(
      isWhole ? { ...asking, settings: { ...settings, ...HASTE } } : asking,
    );
  } catch (cause) {
    if (!(cause instanceof HubUnreachable)) throw cause;
    if (!isWhole) throw new Error(`${cause.message}; and ${copy}`, { cause });
    return yield { type: "ready", ...copy, unreachable: cause.message };
  }
  const { commit } = listing, folder = cache.snapshot(commit);
  const { texts } = neededFiles(listing);
  if (!texts.some(({ path }) => path === "config.json")) {
    throw new Error(`Cannot use ${formatName(model)}: it has no config.json`);
  }
  yield* bring(texts, { asking, cache, commit });
  await check?.(folder);
  if (weights) {
    const files = weightFiles(listing, { id, snapshot: folder });
    yield* bring(files, { asking, cache, commit });
  }
  // Last, and not instead of a commit whose weights are there, so that a revision leads to a whole copy.
  if (weights || cachedCommit(cache, revision) === undefined) {
    await noteCommit(cache, { revision, commit });
  }
  yield { type: "ready", folder, name: { id, revision: commit } };
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

/** What a download would bring, before it does. */
export interface RemoteModel {
  commit: string;
  /** With sizes in bytes: all that {@link fetchModel} brings. */
  files: RemoteFile[];
  /** How many values of which type (`BF16` ...) the weights hold; `undefined` of PyTorch's files. */
  values: Record<string, number> | undefined;
}

/**
 * Asks what the download of a model would bring; for the answer its index and the headers of its weights are read.
 * @throws as {@link fetchModel} does.
 */
export async function remoteModel(
  model: ModelName,
  { settings = hubSettings(), signal }: FetchOptions = {},
): Promise<RemoteModel> {
  const asking: Asking = { model, settings, signal }, listing = await listModel(asking);
  const { commit } = listing, cache = modelCache(settings.cache, model);
  const { texts } = neededFiles(listing);
  for await (const _ of bring(texts, { asking, cache, commit }));
  const weights = weightFiles(listing, { id: model.id, snapshot: cache.snapshot(commit) });
  const values = weights.every(({ path }) => path.endsWith(".safetensors"))
    ? await countRemoteValues(weights, { asking, commit })
    : undefined;
  return { commit, files: [...texts, ...weights], values };
}

/** `ORG/NAME@COMMIT` of a snapshot's folder in a cache; other folders as they are. */
export function nameOfFolder(folder: string): string {
  const found = /models--([^\\/]+?)--([^\\/]+)[\\/]snapshots[\\/]([0-9a-f]{40})$/.exec(folder);
  return found === null ? folder : `${found[1]}/${found[2]}@${found[3]}`;
}
