/**
 * Training examples on disk: Arrow files with one row an example (ids, loss mask, f16 features). A shard is
 * complete or absent, so a killed run loses at most the shard in work. Written by `generate.ts`, read by
 * `lib/train/batches.ts`.
 */
import * as arrow from "apache-arrow";
import { mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";

/** One conversation with the target's features. L tokens, width D. */
export interface Example {
  id: string;
  /** Token ids x_0..x_{L-1}. */
  ids: Int32Array;
  /** 1 where the row is trained; griffin.md section 3. */
  mask: Uint8Array;
  /** f16 bit patterns [L, D]: the target's last hidden state after its final norm. */
  features: Uint16Array;
}

/** What a folder of shards belongs to. */
export interface ShardsOf {
  /** Identity of the target that made the features. */
  target: string;
  /** Width D. */
  width: number;
}

const ENDING = ".arrow";

function listOf<T extends arrow.DataType>(child: arrow.Data<T>, lengths: number[]) {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((n, i) => offsets[i + 1] = offsets[i] + n);
  const type = new arrow.List(new arrow.Field("item", child.type, false));
  return arrow.makeData({ type, length: lengths.length, valueOffsets: offsets, child });
}

function joined<A extends Int32Array | Uint8Array | Uint16Array>(
  make: (n: number) => A,
  parts: A[],
): A {
  const all = make(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p as never, at);
    at += p.length;
  }
  return all;
}

function encodeShard(examples: readonly Example[], { target, width }: ShardsOf): Uint8Array {
  const lengths = examples.map((e) => e.ids.length), tokens = lengths.reduce((a, b) => a + b, 0);
  const ids = joined((n) => new Int32Array(n), examples.map((e) => e.ids));
  const mask = joined((n) => new Uint8Array(n), examples.map((e) => e.mask));
  const bits = joined((n) => new Uint16Array(n), examples.map((e) => e.features));
  const half = arrow.makeData({ type: new arrow.Float16(), length: bits.length, data: bits });
  const row = new arrow.FixedSizeList(width, new arrow.Field("value", half.type, false));
  const rows = arrow.makeData({ type: row, length: tokens, child: half });
  const columns = {
    id: arrow.vectorFromArray(examples.map((e) => e.id), new arrow.Utf8()),
    ids: arrow.makeVector(
      listOf(arrow.makeData({ type: new arrow.Int32(), length: tokens, data: ids }), lengths),
    ),
    mask: arrow.makeVector(
      listOf(arrow.makeData({ type: new arrow.Uint8(), length: tokens, data: mask }), lengths),
    ),
    features: arrow.makeVector(listOf(rows, lengths)),
  };
  const plain = new arrow.Table(columns as never);
  const metadata = new Map([["target", target], ["width", String(width)]]);
  const schema = new arrow.Schema(plain.schema.fields, metadata);
  return arrow.tableToIPC(new arrow.Table(schema, plain.batches), "file");
}

async function readShard(path: string): Promise<{ table: arrow.Table; of: ShardsOf }> {
  const file = await open(path);
  let bytes: Uint8Array;
  try {
    bytes = await file.readFile();
  } finally {
    await file.close();
  }
  try {
    const table = arrow.tableFromIPC(bytes), metadata = table.schema.metadata;
    const target = metadata.get("target"), width = Number(metadata.get("width"));
    const wanted = ["id", "ids", "mask", "features"];
    if (target === undefined || wanted.some((c) => table.getChild(c) === null)) throw new Error();
    return { table, of: { target, width } };
  } catch {
    throw new Error(`Cannot read ${path}: it is not a complete Arrow file of training examples`);
  }
}

function part(column: arrow.Vector, row: number): [start: number, end: number, child: arrow.Data] {
  const [data] = column.data;
  return [data.valueOffsets[row], data.valueOffsets[row + 1], data.children[0]];
}

function exampleAt(table: arrow.Table, row: number, { width }: ShardsOf): Example {
  const [start, end, ids] = part(table.getChild("ids")!, row);
  const [, , mask] = part(table.getChild("mask")!, row);
  const [, , rows] = part(table.getChild("features")!, row);
  return {
    id: String(table.getChild("id")!.get(row)),
    ids: ids.values.subarray(start, end),
    mask: mask.values.subarray(start, end),
    features: rows.children[0].values.subarray(start * width, end * width),
  };
}

async function shardFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.filter((n) => n.endsWith(ENDING)).sort().map((n) => join(folder, n));
}

function checkOwner(path: string, { found, wanted }: { found: ShardsOf; wanted: ShardsOf }): void {
  if (found.target !== wanted.target || found.width !== wanted.width) {
    throw new Error(
      `Cannot use ${path}: its features are of target ${found.target} with width ${found.width}, ` +
        `wanted target ${wanted.target} with width ${wanted.width}`,
    );
  }
}

/** Appends examples to a folder of shards. */
export interface ShardWriter {
  /** Ids already in complete shards: a second run skips them. */
  readonly done: ReadonlySet<string>;
  append(example: Example): Promise<void>;
  /** Writes what is pending as a shard of its own; call at the end and on interruption. */
  flush(): Promise<void>;
}

/**
 * Opens a folder of shards for appending; complete shards stay.
 * @throws when the folder holds features of another target.
 */
export async function openShardWriter(
  folder: string,
  { of, shardExamples = 32, shardBytes = 256e6 }: {
    of: ShardsOf;
    shardExamples?: number;
    shardBytes?: number;
  },
): Promise<ShardWriter> {
  await mkdir(folder, { recursive: true });
  const files = await shardFiles(folder), done = new Set<string>();
  for (const path of files) {
    const { table, of: found } = await readShard(path);
    checkOwner(path, { found, wanted: of });
    for (let i = 0; i < table.numRows; i++) done.add(String(table.getChild("id")!.get(i)));
  }
  let next = files.length, pending: Example[] = [], bytes = 0;
  const flush = async () => {
    if (pending.length === 0) return;
    const name = `shard-${String(next).padStart(5, "0")}${ENDING}`;
    await writeFileAtomic(join(folder, name), encodeShard(pending, of));
    for (const { id } of pending) done.add(id);
    next++;
    pending = [];
    bytes = 0;
  };
  return {
    done,
    flush,
    async append(example) {
      pending.push(example);
      bytes += example.features.byteLength;
      if (pending.length >= shardExamples || bytes >= shardBytes) await flush();
    },
  };
}

/** Examples of a folder by number, shards read when needed and kept while memory allows. */
export interface Examples {
  readonly of: ShardsOf;
  readonly count: number;
  /** Tokens of each example. */
  readonly lengths: readonly number[];
  read(index: number): Promise<Example>;
}

/** Opens a folder for reading. @throws when it holds no shards, or shards of different targets. */
export async function openExamples(
  folder: string,
  { cacheBytes = 2e9 }: { cacheBytes?: number } = {},
): Promise<Examples> {
  const files = await shardFiles(folder);
  if (files.length === 0) {
    throw new Error(`Cannot read training examples from ${folder}: it holds no ${ENDING} shards`);
  }
  const places: { file: number; row: number }[] = [], lengths: number[] = [];
  const cache = new Map<number, arrow.Table>();
  let of: ShardsOf | undefined, held = 0;
  const size = (table: arrow.Table) => table.batches.reduce((n, b) => n + b.data.byteLength, 0);
  const load = async (file: number) => {
    const { table, of: found } = await readShard(files[file]);
    of ??= found;
    checkOwner(files[file], { found, wanted: of });
    cache.set(file, table);
    held += size(table);
    for (const [old, t] of cache) {
      if (held <= cacheBytes || old === file) break;
      cache.delete(old);
      held -= size(t);
    }
    return table;
  };
  for (let file = 0; file < files.length; file++) {
    const table = await load(file);
    for (let row = 0; row < table.numRows; row++) {
      const [start, end] = part(table.getChild("ids")!, row);
      places.push({ file, row });
      lengths.push(end - start);
    }
  }
  return {
    of: of!,
    count: places.length,
    lengths,
    async read(index) {
      const { file, row } = places[index];
      return exampleAt(cache.get(file) ?? await load(file), row, of!);
    },
  };
}
