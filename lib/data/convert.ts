/**
 * A folder of shards stored otherwise: one new shard for each old one, under the same name, so that example n
 * stays example n. An interrupted run goes on where it stopped. It computes no features: those of shards
 * without any are had online (`online.ts`).
 */
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { listShards, packExample, readExample, type Shard, type ShardsOf } from "./features.ts";
import { openShard, textOf, writeShard } from "./shards.ts";
import type { Storage } from "./storage.ts";

/** A shard has been converted, or was found converted. */
export interface ConvertedEvent {
  type: "converted";
  path: string;
  examples: number;
  /** Size of the file. */
  bytes: number;
  done: number;
  total: number;
}

async function convertShard(from: Shard, { path, of }: { path: string; of: ShardsOf }) {
  const examples = [], nothing = new Float32Array(0);
  for (let i = 0; i < from.names.length; i++) {
    const example = of.storage === "none"
      ? { ...textOf(from, i), features: nothing, tapped: nothing }
      : await readExample(from, i);
    examples.push(packExample(example, of));
  }
  await writeShard(path, { examples, of, settings: from.settings });
}

/**
 * Stores the shards of `folder` again in `out`, with the same examples and settings; yields one event a shard.
 * Shards already in `out` are kept if they hold the same examples.
 * @throws when there are no shards or no features in them, or `out` holds other shards or is the same folder.
 */
export async function* convertShards(
  folder: string,
  { out, storage, signal }: { out: string; storage: Storage; signal?: AbortSignal },
): AsyncGenerator<ConvertedEvent> {
  if (resolve(folder) === resolve(out)) {
    throw new Error(`Cannot convert ${folder} into itself: wanted another folder`);
  }
  const shards = await listShards(folder);
  if (shards.length === 0) throw new Error(`Cannot convert ${folder}: it holds no .arrow shards`);
  const of = { ...shards[0].of, storage };
  if (shards[0].of.storage === "none" && storage !== "none") {
    throw new Error(
      `Cannot convert ${folder} to ${storage}: it holds ids and masks only (storage none)`,
    );
  }
  const names = new Map(shards.map((s) => [basename(s.path), String(s.names)]));
  for (const { path, names: held } of await listShards(out, { of })) {
    if (names.get(basename(path)) !== String(held)) {
      throw new Error(`Cannot convert ${folder} into ${out}: ${path} holds other examples`);
    }
  }
  for (const [i, shard] of shards.entries()) {
    if (signal?.aborted) return;
    const path = join(out, basename(shard.path));
    if (!existsSync(path)) await convertShard(shard, { path, of });
    const { bytes } = await openShard(path), examples = shard.names.length;
    yield { type: "converted", path, examples, bytes, done: i + 1, total: shards.length };
  }
}
