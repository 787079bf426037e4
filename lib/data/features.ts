/**
 * Training examples on disk: Arrow files of one batch with one row an example (ids, loss mask, f16 features).
 * A shard is complete or absent, so a killed run loses at most the shard in work. Features are the last
 * buffer of a file: they are left there and read example by example, at their place. Written by
 * `generate.ts`, counted by `inspect.ts`, read by `lib/train/batches.ts`.
 */
import * as arrow from "apache-arrow";
import { type FileHandle, mkdir, open, readdir } from "node:fs/promises";
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

/** A complete shard. Features stay on disk; the rest is a hundredth of their size and held. */
export interface Shard {
  readonly path: string;
  readonly of: ShardsOf;
  /** Size of the file. */
  readonly bytes: number;
  /** Ids of its examples. */
  readonly names: readonly string[];
  /** Example i has the rows starts[i] to starts[i + 1] of the shard. */
  readonly starts: Int32Array;
  /** Token ids and loss masks of all rows. */
  readonly ids: Int32Array;
  readonly mask: Uint8Array;
  /** Where in the file the features begin. */
  readonly featuresAt: number;
}

/** "ARROW1" and two bytes of padding open a file; its footer's length and "ARROW1" close it. */
const MAGIC = "ARROW1", OPENING = 8, CLOSING = 10;
/** The header of a shard's only batch; with this schema it takes 480 bytes. */
const HEADER = 4096;
/** Buffers of a batch in the order of the format: validity, offsets, values, lists before their items. */
const BUFFERS = { name: [1, 2], starts: [4, 8, 12], ids: 6, mask: 10, features: 15 } as const;

async function readBytes(file: FileHandle, start: number, length: number): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const { bytesRead } = await file.read(bytes, at, length - at, start + at);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${start + at}`);
    at += bytesRead;
  }
  return bytes.buffer;
}

async function readOwner(file: FileHandle, size: number): Promise<ShardsOf> {
  const closing = new Uint8Array(await readBytes(file, Math.max(0, size - CLOSING), CLOSING));
  if (new TextDecoder().decode(closing.subarray(4)) !== MAGIC) throw new Error("no footer");
  const reader: unknown = await arrow.RecordBatchReader.from(file as never);
  if (!(reader instanceof arrow.AsyncRecordBatchFileReader)) throw new Error("not the file format");
  const { schema, numRecordBatches } = await reader.open();
  const target = schema.metadata.get("target"), width = Number(schema.metadata.get("width"));
  const columns = schema.fields.map(String).join(", ");
  const wanted = "id: Utf8, ids: List<Int32>, mask: List<Uint8>, " +
    `features: List<FixedSizeList[${width}]<Float16>>`;
  if (target === undefined || columns !== wanted || numRecordBatches !== 1) {
    throw new Error(`${numRecordBatches} batches of ${columns}`);
  }
  return { target, width };
}

/** Opens one shard; reads its footer and what lies before the features. @throws naming the file. */
async function openShard(path: string): Promise<Shard> {
  const file = await open(path);
  try {
    const { size: bytes } = await file.stat(), of = await readOwner(file, bytes);
    const header = await readBytes(file, OPENING, Math.min(HEADER, bytes - OPENING));
    const reader = new arrow.MessageReader(new Uint8Array(header));
    const batch = reader.readMessage(arrow.MessageHeader.RecordBatch)?.header();
    const bodyAt = OPENING + 8 + new DataView(header).getInt32(4, true);
    const buffers = batch?.buffers ?? [], featuresAt = bodyAt + buffers[BUFFERS.features].offset;
    const body = await readBytes(file, bodyAt, buffers[BUFFERS.features].offset);
    const count = batch!.length;
    const [nameEnds, starts, ...others] = [BUFFERS.name[0], ...BUFFERS.starts]
      .map((i) => new Int32Array(body, buffers[i].offset, count + 1));
    const rows = starts[count];
    if (others.some((o) => o.some((start, i) => start !== starts[i]))) throw new Error("lengths");
    if (featuresAt + rows * of.width * 2 > bytes) throw new Error("fewer features than tokens");
    const text = new Uint8Array(body, buffers[BUFFERS.name[1]].offset, nameEnds[count]);
    const names = Array.from(
      { length: count },
      (_, i) => new TextDecoder().decode(text.subarray(nameEnds[i], nameEnds[i + 1])),
    );
    const ids = new Int32Array(body, buffers[BUFFERS.ids].offset, rows);
    const mask = new Uint8Array(body, buffers[BUFFERS.mask].offset, rows);
    return { path, of, bytes, names, starts, ids, mask, featuresAt };
  } catch (cause) {
    throw new Error(
      `Cannot read ${path}: it is not a complete Arrow file of training examples; ` +
        "once it is deleted, deno task data makes its examples again",
      { cause },
    );
  } finally {
    await file.close();
  }
}

function checkOwner({ path, of: found }: Shard, wanted: ShardsOf): void {
  if (found.target !== wanted.target || found.width !== wanted.width) {
    throw new Error(
      `Cannot use ${path}: its features are of target ${found.target} with width ${found.width}, ` +
        `wanted target ${wanted.target} with width ${wanted.width}`,
    );
  }
}

/**
 * The complete shards of a folder in the order they were written; none if there is no such folder.
 * @throws when one is damaged or belongs to another target than `of` (or than the first shard).
 */
export async function listShards(folder: string, { of }: { of?: ShardsOf } = {}): Promise<Shard[]> {
  const names = await readdir(folder).catch((cause) => {
    if (cause.code === "ENOENT") return [];
    throw new Error(`Cannot list the shards of ${folder}: ${cause.message}`, { cause });
  });
  const shards: Shard[] = [];
  for (const name of names.filter((n) => n.endsWith(ENDING)).sort()) {
    const shard = await openShard(join(folder, name));
    checkOwner(shard, of ?? shards[0]?.of ?? shard.of);
    shards.push(shard);
  }
  return shards;
}

/** Example i of a shard; its features are read now. */
async function readExample(shard: Shard, i: number): Promise<Example> {
  const { path, of: { width }, names, starts, ids, mask, featuresAt } = shard;
  const start = starts[i], end = starts[i + 1], file = await open(path);
  try {
    const bits = await readBytes(file, featuresAt + start * width * 2, (end - start) * width * 2);
    return {
      id: names[i],
      ids: ids.slice(start, end),
      mask: mask.slice(start, end),
      features: new Uint16Array(bits),
    };
  } catch (cause) {
    throw new Error(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  } finally {
    await file.close();
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

function checkExample({ id, ids, mask, features }: Example, { width }: ShardsOf): void {
  if (mask.length !== ids.length || features.length !== ids.length * width) {
    throw new Error(
      `Cannot store example ${id}: ${ids.length} ids, ${mask.length} mask entries and ${features.length} ` +
        `feature values, wanted as many mask entries and ${width} feature values an id`,
    );
  }
}

/**
 * Opens a folder of shards for appending; complete shards stay.
 * @throws when the folder holds features of another target, and on examples whose sizes do not agree.
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
  const shards = await listShards(folder, { of }), done = new Set(shards.flatMap((s) => s.names));
  // One past the last number, not the number of shards: one may have been deleted.
  let next = 1 +
    Math.max(-1, ...shards.map((s) => Number(/(\d+)\.arrow$/.exec(s.path)?.[1] ?? -1)));
  let pending: Example[] = [], bytes = 0;
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
      checkExample(example, of);
      pending.push(example);
      bytes += example.features.byteLength;
      if (pending.length >= shardExamples || bytes >= shardBytes) await flush();
    },
  };
}

/** Examples of a folder by number, in the order they were written. */
export interface Examples {
  readonly of: ShardsOf;
  readonly count: number;
  /** Tokens of each example. */
  readonly lengths: readonly number[];
  read(index: number): Promise<Example>;
}

/** Opens a folder for reading. @throws when it holds no shards, or shards of different targets. */
export async function openExamples(folder: string): Promise<Examples> {
  const shards = await listShards(folder);
  if (shards.length === 0) {
    throw new Error(`Cannot read training examples from ${folder}: it holds no ${ENDING} shards`);
  }
  const places = shards.flatMap((shard) => shard.names.map((_, i) => ({ shard, i })));
  return {
    of: shards[0].of,
    count: places.length,
    lengths: places.map(({ shard: { starts }, i }) => starts[i + 1] - starts[i]),
    read(index) {
      const { shard, i } = places[index];
      return readExample(shard, i);
    },
  };
}
