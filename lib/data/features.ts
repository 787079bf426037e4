/**
 * Folders of training examples: shards opened in order, checked against each other, read example by example
 * and appended to. A killed run loses at most the shard in work. One file: `shards.ts`. Written by
 * `generate.ts`, stored otherwise by `convert.ts`, computed instead of read by `online.ts`; next on the walk:
 * `lib/train/batches.ts`.
 */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  bytesPerToken,
  openShard,
  type PackedExample,
  readPacked,
  type Settings,
  type Shard,
  type ShardsOf,
  textOf,
  type TokenizedText,
  writeShard,
} from "./shards.ts";
import { pack, unpack } from "./storage.ts";

export type { Settings, Shard, ShardsOf, TokenizedText } from "./shards.ts";

/**
 * One conversation as training reads it. L tokens, width D. Whatever their source, features of the last token
 * are zeros: no row needs them.
 */
export interface TrainingExample extends TokenizedText {
  /** [L, D] target's last hidden state after the final norm, f32. */
  features: Float32Array;
  /** [L, n D] what entered the tapped layers, side by side; empty without taps. */
  tapped: Float32Array;
}

/** Examples by number. */
export interface Examples {
  readonly of: ShardsOf;
  readonly count: number;
  /** Tokens of each example. */
  readonly lengths: readonly number[];
  read(index: number): Promise<TrainingExample>;
  /** Several at once, where that is quicker than one after the other. */
  readMany?(indices: readonly number[]): Promise<TrainingExample[]>;
}

/** Examples of a folder, in the order they were written. */
export interface StoredExamples extends Examples {
  readonly folder: string;
  /** Ids and loss mask alone, from memory; also where no features are stored. */
  readText(index: number): TokenizedText;
}

const ENDING = ".arrow";

/** @throws naming each thing in which a shard differs, what was found and what is wanted. */
function checkOwner({ path, of: found }: Shard, wanted: ShardsOf): void {
  const text = (of: ShardsOf, key: keyof ShardsOf) => String(of[key]) || "none";
  const keys = ["target", "width", "storage", "taps"] as const;
  const wrong = keys.filter((key) => text(found, key) !== text(wanted, key));
  if (wrong.length === 0) return;
  const list = wrong.map((key) => `${key} ${text(found, key)}, wanted ${text(wanted, key)}`);
  throw new Error(`Cannot use ${path}: its features are of ${list.join("; ")}`);
}

/**
 * The complete shards of a folder in the order they were written; none if there is no such folder. With
 * `examples` only as many shards as hold that many examples are opened.
 * @throws when one is damaged or stored otherwise than `of` (or than the first shard).
 */
export async function listShards(
  folder: string,
  { of, examples = Infinity }: { of?: ShardsOf; examples?: number } = {},
): Promise<Shard[]> {
  const names = await readdir(folder).catch((cause) => {
    if (cause.code === "ENOENT") return [];
    throw new Error(`Cannot list the shards of ${folder}: ${cause.message}`, { cause });
  });
  const shards: Shard[] = [];
  let count = 0;
  for (const name of names.filter((n) => n.endsWith(ENDING)).sort()) {
    if (count >= examples) break;
    const shard = await openShard(join(folder, name));
    checkOwner(shard, of ?? shards[0]?.of ?? shard.of);
    shards.push(shard);
    count += shard.names.length;
  }
  return shards;
}

/** Example i of a shard. @throws when its features are not stored, or the file has changed. */
export async function readExample(shard: Shard, i: number): Promise<TrainingExample> {
  if (shard.of.storage === "none") {
    throw new Error(
      `Cannot read features from ${shard.path}: it holds ids and masks only (storage none); ` +
        "they can be computed while training: --features online",
    );
  }
  return { ...textOf(shard, i), ...unpack(await readPacked(shard, i)) };
}

/**
 * Opens a folder for reading; with `limit` its first examples alone, in the order they were written.
 * @throws when it holds no shards, shards that do not belong together, or fewer examples than `limit`.
 */
export async function openExamples(
  folder: string,
  { limit }: { limit?: number } = {},
): Promise<StoredExamples> {
  const least = limit !== undefined && Math.max(1, limit);
  const shards = await listShards(folder, { ...least && { examples: least } });
  if (shards.length === 0) {
    throw new Error(`Cannot read training examples from ${folder}: it holds no ${ENDING} shards`);
  }
  const places = shards.flatMap((shard) => shard.names.map((_, i) => ({ shard, i })));
  if (limit !== undefined && !(Number.isInteger(limit) && limit > 0 && limit <= places.length)) {
    throw new Error(
      `Cannot read the first ${limit} training examples from ${folder}: it holds ${places.length}`,
    );
  }
  places.length = limit ?? places.length;
  return {
    folder,
    of: shards[0].of,
    count: places.length,
    lengths: places.map(({ shard: { starts }, i }) => starts[i + 1] - starts[i]),
    read: (index) => readExample(places[index].shard, places[index].i),
    readText: (index) => textOf(places[index].shard, places[index].i),
  };
}

/** An example as its shard will hold it. @throws when sizes do not agree, or a value is not finite. */
export function packExample(example: TrainingExample, of: ShardsOf): PackedExample {
  const { id, ids, mask, features, tapped } = example, { width, taps, storage } = of;
  const wide = width * taps.length, stored = storage !== "none";
  if (
    mask.length !== ids.length ||
    (stored && (features.length !== ids.length * width || tapped.length !== ids.length * wide))
  ) {
    throw new Error(
      `Cannot store example ${id}: ${ids.length} ids, ${mask.length} mask entries, ${features.length} ` +
        `feature values and ${tapped.length} tapped values, ` +
        `wanted as many mask entries and ${width} feature values an id, ${wide} tapped ones`,
    );
  }
  if (!stored) return { id, ids, mask, packed: {} };
  const largest = storage === "f16" ? 65504 : 3.4e38;
  for (const [what, values] of [["feature", features], ["tapped", tapped]] as const) {
    const at = values.findIndex((x) => !(Math.abs(x) <= largest));
    if (at >= 0) {
      throw new Error(
        `Cannot store example ${id} as ${storage}: ${what} value ${at} is ${values[at]}, ` +
          `wanted at most ${largest}`,
      );
    }
  }
  return { id, ids, mask, packed: pack(example, of) };
}

/** Appends examples to a folder of shards. */
export interface ShardWriter {
  /** Ids already in complete shards: a second run skips them. */
  readonly done: ReadonlySet<string>;
  /**
   * Whether what is appended would agree with what is there: `append` asks, long work asks before it begins.
   * @throws when shards of an older version do not say what settings their answers were made with.
   */
  checkSettings(): void;
  /** With storage "none" features may be empty. */
  append(example: TrainingExample): Promise<void>;
  /** Writes what is pending as a shard of its own; call at the end and on interruption. */
  flush(): Promise<void>;
}

/** @throws naming each setting in which a shard differs, what was found and what is wanted. */
function checkSame(shard: Shard, { folder, settings }: { folder: string; settings: Settings }) {
  const { settings: found } = shard;
  if (found === undefined) return;
  const names = [...new Set([...Object.keys(settings), ...Object.keys(found)])];
  const wrong = names.filter((name) => found[name] !== settings[name]);
  if (wrong.length === 0) return;
  const list = wrong.map((name) => `${name} ${found[name]}, wanted ${settings[name]}`).join("; ");
  throw new Error(`Cannot add examples to ${folder}: those in it were made with ${list}`);
}

/**
 * Opens a folder of shards for appending; complete shards stay. Shards of an older version, which say no
 * settings, may be there as long as nothing is added to them.
 * @throws when the folder holds features of another target, stored otherwise or made with other settings, and
 * on examples whose sizes do not agree.
 */
export async function openShardWriter(
  folder: string,
  { of, settings, shardExamples = 32, shardBytes = 256e6 }: {
    of: ShardsOf;
    settings?: Settings;
    shardExamples?: number;
    shardBytes?: number;
  },
): Promise<ShardWriter> {
  const shards = await listShards(folder, { of }), done = new Set(shards.flatMap((s) => s.names));
  if (settings !== undefined) { for (const s of shards) checkSame(s, { folder, settings }); }
  await mkdir(folder, { recursive: true });
  // One past the last number, not the number of shards: one may have been deleted.
  let next = 1 +
    Math.max(-1, ...shards.map((s) => Number(/(\d+)\.arrow$/.exec(s.path)?.[1] ?? -1)));
  let pending: PackedExample[] = [], bytes = 0;
  const flush = async () => {
    if (pending.length === 0) return;
    const name = `shard-${String(next).padStart(5, "0")}${ENDING}`;
    await writeShard(join(folder, name), { examples: pending, of, settings });
    for (const { id } of pending) done.add(id);
    next++;
    pending = [];
    bytes = 0;
  };
  const checkSettings = () => {
    const silent = settings && shards.find((s) => s.settings === undefined);
    if (silent) {
      throw new Error(
        `Cannot add examples to ${folder}: ${silent.path} does not say what settings its answers were ` +
          "made with; choose another folder, or delete it",
      );
    }
  };
  return {
    done,
    flush,
    checkSettings,
    async append(example) {
      checkSettings();
      pending.push(packExample(example, of));
      bytes += example.ids.length * (5 + bytesPerToken(of));
      if (pending.length >= shardExamples || bytes >= shardBytes) await flush();
    },
  };
}
