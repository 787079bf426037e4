/**
 * Which files of a model are needed: configuration, tokenizer, and the weights in one format; never both formats, no
 * other runtimes' files. Weights of many shards are those that the index names.
 */
import type { Listing, RemoteFile } from "./listing.ts";

const TEXTS = new Set([
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "chat_template.json",
  "special_tokens_map.json",
  "added_tokens.json",
]);
/** Indices and single files, the better first, as `lib/io/checkpoint.ts` prefers them. */
const WEIGHTS = [
  "model.safetensors.index.json",
  "model.safetensors",
  "pytorch_model.bin.index.json",
  "pytorch_model.bin",
];

/** What is needed of a model. */
export interface NeededFiles {
  /** Configuration, tokenizer, and the index of the weights where there is one. */
  texts: RemoteFile[];
  /** The weights as one file, or what to read their names from. */
  weights: { single: RemoteFile } | { index: RemoteFile } | undefined;
}

export function neededFiles({ files }: Listing): NeededFiles {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const texts = files.filter(({ path }) => TEXTS.has(path));
  const found = WEIGHTS.map((path) => byPath.get(path)).find((file) => file !== undefined);
  if (found === undefined) return { texts, weights: undefined };
  return found.path.endsWith(".index.json")
    ? { texts: [...texts, found], weights: { index: found } }
    : { texts, weights: { single: found } };
}

/**
 * The files that the text of an index names.
 * @throws when it is no index, or names a file that is not in the listing: such a name could be a path to anywhere.
 */
export function shardNames(text: string, path: string): string[] {
  let placed: unknown;
  try {
    placed = JSON.parse(text).weight_map;
  } catch {
    placed = undefined;
  }
  if (typeof placed !== "object" || placed === null) {
    throw new Error(`Cannot read ${path}: wanted a JSON object with a weight_map`);
  }
  return [...new Set(Object.values(placed as Record<string, string>))].sort();
}

/** The shards of an index among the files of a model. @throws naming one that is not there. */
export function shardFiles({ files }: Listing, names: readonly string[]): RemoteFile[] {
  return names.map((name) => {
    const file = files.find(({ path }) => path === name);
    if (file === undefined) {
      throw new Error(`Cannot find ${name}: the index of the weights names it`);
    }
    return file;
  });
}
