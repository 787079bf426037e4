/**
 * The weights of a Hugging Face folder: one `model.safetensors`, or several listed in `model.safetensors.index.json`,
 * or the same as PyTorch saves them (`pytorch_model.bin`), read as one {@link TensorSource}. Next: `lib/model/load.ts`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openSafetensors, type TensorSource } from "./safetensors.ts";
import { openTorchBin } from "./torch_bin.ts";

/** Opens one file of weights, by its ending. @throws when it is damaged, or of another kind. */
export const openWeights = (path: string): TensorSource =>
  path.endsWith(".safetensors") ? openSafetensors(path) : openTorchBin(path);

/**
 * Opens the weights of a folder; where both formats are there, safetensors.
 * @throws naming the missing file, shard or tensor.
 */
export function openCheckpoint(folder: string): TensorSource {
  const has = (name: string) => existsSync(join(folder, name));
  const safe = has("model.safetensors.index.json") || has("model.safetensors");
  const torch = has("pytorch_model.bin.index.json") || has("pytorch_model.bin");
  const name = !safe && torch ? "pytorch_model.bin" : "model.safetensors";
  const single = join(folder, name), index = `${single}.index.json`;
  if (!existsSync(index)) return openWeights(single);
  let placed: Record<string, string>;
  try {
    placed = JSON.parse(readFileSync(index, "utf8")).weight_map;
    if (typeof placed !== "object" || placed === null) throw new Error();
  } catch {
    throw new Error(`Cannot read ${index}: wanted a JSON object with a weight_map`);
  }
  const shards = new Map<string, TensorSource>();
  try {
    for (const file of new Set(Object.values(placed))) {
      shards.set(file, openWeights(join(folder, file)));
    }
    for (const [name, file] of Object.entries(placed)) {
      if (!shards.get(file)!.has(name)) {
        throw new Error(
          `Cannot read ${index}: it places ${name} in ${file}, which does not hold it`,
        );
      }
    }
  } catch (cause) {
    for (const shard of shards.values()) shard[Symbol.dispose]();
    throw cause;
  }
  const shardOf = (name: string): TensorSource => {
    const shard = shards.get(placed[name]);
    if (shard === undefined) throw new Error(`Cannot read ${index}: it has no tensor ${name}`);
    return shard;
  };
  return {
    path: index,
    names: Object.keys(placed),
    metadata: Object.assign({}, ...[...shards.values()].map((s) => s.metadata)),
    has: (name) => Object.hasOwn(placed, name),
    info: (name) => shardOf(name).info(name),
    readFloat32: (name, into) => shardOf(name).readFloat32(name, into),
    readHalf: (name) => shardOf(name).readHalf(name),
    readInt: (name) => shardOf(name).readInt(name),
    [Symbol.dispose]() {
      for (const shard of shards.values()) shard[Symbol.dispose]();
    },
  };
}
