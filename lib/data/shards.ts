/**
 * One shard: an Arrow file of a single batch with one row an example (id, ids, loss mask, stored features). It
 * is complete or absent. Features lie at the end of a file: they are left there and read example by example,
 * at their place. How values are packed: `storage.ts`. Folders of shards: `features.ts`.
 */
import * as arrow from "apache-arrow";
import { type FileHandle, open } from "node:fs/promises";
import { writeFileAtomic } from "../io/atomic.ts";
import type { Packed, Storage } from "./storage.ts";

/** What a folder of shards belongs to, and how it is stored: the same for all its shards. */
export interface ShardsOf {
  /** Identity of the target that made the features. */
  target: string;
  /** Width D. */
  width: number;
  /** Layers whose inputs are stored too, side by side, for drafts that read several. */
  taps: readonly number[];
  /** How features are stored; with "none" shards hold ids and masks only. */
  storage: Storage;
}

/** What answers were made with, by name: temperature, seed, ... */
export type Settings = Readonly<Record<string, string | number>>;

/** Ids and loss mask of a conversation of L tokens. */
export interface TokenizedText {
  id: string;
  /** Token ids x_0..x_{L-1}. */
  ids: Int32Array;
  /** 1 where the row is trained; griffin.md section 3. */
  mask: Uint8Array;
}

/** One conversation as a shard holds it. */
export interface PackedExample extends TokenizedText {
  packed: Packed;
}

/** A column of stored features: `per` values of `bytes` each a token. */
interface Column {
  name: string;
  per: number;
  bytes: number;
  type: arrow.DataType;
  /** The bytes of a read as values. */
  view: (bytes: ArrayBuffer) => Packed[string];
}

const HALF = {
  bytes: 2,
  type: new arrow.Float16(),
  view: (b: ArrayBuffer) => new Uint16Array(b),
} as const;
const BYTE = {
  bytes: 1,
  type: new arrow.Int8(),
  view: (b: ArrayBuffer) => new Int8Array(b),
} as const;
const FLOAT = {
  bytes: 4,
  type: new arrow.Float32(),
  view: (b: ArrayBuffer) => new Float32Array(b),
} as const;

/** The columns of a storage after id, ids and mask, in the order of the file. */
function columnsOf({ width, taps, storage }: ShardsOf): Column[] {
  if (storage === "none") return [];
  const value = storage === "i8" ? BYTE : HALF, n = taps.length;
  return [
    ...storage === "i8" ? [{ ...FLOAT, name: "scales", per: 1 }] : [],
    ...storage === "i8" && n > 0 ? [{ ...FLOAT, name: "tapped_scales", per: n }] : [],
    { ...value, name: "features", per: width },
    ...n > 0 ? [{ ...value, name: "tapped", per: n * width }] : [],
  ];
}

/** Bytes that a token takes in the columns of its features. */
export function bytesPerToken(of: ShardsOf): number {
  return columnsOf(of).reduce((sum, { per, bytes }) => sum + per * bytes, 0);
}

function listOf<T extends arrow.DataType>(child: arrow.Data<T>, lengths: number[]) {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((n, i) => offsets[i + 1] = offsets[i] + n);
  const type = new arrow.List(new arrow.Field("item", child.type, false));
  return arrow.makeData({ type, length: lengths.length, valueOffsets: offsets, child });
}

type Values = Packed[string] | Int32Array | Uint8Array;

function joined<A extends Values>(parts: A[]): A {
  const Kind = parts[0].constructor as new (n: number) => A;
  const all = new Kind(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p as never, at);
    at += p.length;
  }
  return all;
}

/** The schema's columns as text: what a file of this storage must have. */
function schemaOf(of: ShardsOf): string {
  const stored = columnsOf(of).map((c) => `${c.name}: List<FixedSizeList[${c.per}]<${c.type}>>`);
  return ["id: Utf8", "ids: List<Int32>", "mask: List<Uint8>", ...stored].join(", ");
}

function encodeShard(
  examples: readonly PackedExample[],
  { of, settings }: { of: ShardsOf; settings?: Settings },
): Uint8Array {
  const lengths = examples.map((e) => e.ids.length), tokens = lengths.reduce((a, b) => a + b, 0);
  const ids = joined(examples.map((e) => e.ids)), mask = joined(examples.map((e) => e.mask));
  const columns: Record<string, arrow.Vector> = {
    id: arrow.vectorFromArray(examples.map((e) => e.id), new arrow.Utf8()),
    ids: arrow.makeVector(
      listOf(arrow.makeData({ type: new arrow.Int32(), length: tokens, data: ids }), lengths),
    ),
    mask: arrow.makeVector(
      listOf(arrow.makeData({ type: new arrow.Uint8(), length: tokens, data: mask }), lengths),
    ),
  };
  for (const { name, per, type } of columnsOf(of)) {
    const data = joined(examples.map((e) => e.packed[name]));
    const child = arrow.makeData(
      { type: type as arrow.Float16, length: data.length, data } as never,
    );
    const row = new arrow.FixedSizeList(per, new arrow.Field("value", type, false));
    const rows = arrow.makeData({ type: row, length: tokens, child: child as never });
    columns[name] = arrow.makeVector(listOf(rows, lengths));
  }
  const plain = new arrow.Table(columns as never);
  const metadata = new Map([
    ["target", of.target],
    ["width", String(of.width)],
    ["taps", of.taps.join(",")],
    ["storage", of.storage],
  ]);
  if (settings !== undefined) metadata.set("settings", JSON.stringify(settings));
  const schema = new arrow.Schema(plain.schema.fields, metadata);
  return arrow.tableToIPC(new arrow.Table(schema, plain.batches), "file");
}

/** Writes a shard of at least one example, as a whole or not at all. */
export async function writeShard(
  path: string,
  { examples, of, settings }: {
    examples: readonly PackedExample[];
    of: ShardsOf;
    settings?: Settings;
  },
): Promise<void> {
  await writeFileAtomic(path, encodeShard(examples, { of, settings }));
}

/** A complete shard. Features stay on disk; the rest is a hundredth of their size and held. */
export interface Shard {
  readonly path: string;
  readonly of: ShardsOf;
  /** What its answers were made with; shards of older versions do not say. */
  readonly settings?: Settings;
  /** Size of the file. */
  readonly bytes: number;
  /** Ids of its examples. */
  readonly names: readonly string[];
  /** Example i has the rows starts[i] to starts[i + 1] of the shard. */
  readonly starts: Int32Array;
  /** Token ids and loss masks of all rows. */
  readonly ids: Int32Array;
  readonly mask: Uint8Array;
  /** Where in the file each column of stored features begins. */
  readonly places: readonly number[];
}

/** "ARROW1" and two bytes of padding open a file; its footer's length and "ARROW1" close it. */
const MAGIC = "ARROW1", OPENING = 8, CLOSING = 10;
/** The header of a shard's only batch; with the widest schema it takes 1,200 bytes. */
const HEADER = 4096;
/** Buffers of a batch in the order of the format: validity, offsets, values, lists before their items. */
const BUFFERS = { name: [1, 2], ids: 6, mask: 10, starts: [4, 8] } as const;
/** Buffers of the n-th column of stored features: its offsets and its values. */
const storedBuffers = (n: number) => ({ starts: 12 + 5 * n, values: 15 + 5 * n });

async function readBytes(file: FileHandle, start: number, length: number): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const { bytesRead } = await file.read(bytes, at, length - at, start + at);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${start + at}`);
    at += bytesRead;
  }
  return bytes.buffer;
}

/** What a schema's metadata say. Shards of older versions say neither taps nor storage: f16, no taps. */
function readMetadata(metadata: Map<string, string>): { of: ShardsOf; settings?: Settings } {
  const target = metadata.get("target"), width = Number(metadata.get("width"));
  const storage = (metadata.get("storage") ?? "f16") as Storage;
  const taps = (metadata.get("taps") ?? "").split(",").filter((t) => t !== "").map(Number);
  if (target === undefined || !(width > 0) || !["f16", "i8", "none"].includes(storage)) {
    throw new Error(`target ${target}, width ${width}, storage ${storage}`);
  }
  const settings = metadata.get("settings");
  return {
    of: { target, width, taps, storage },
    ...settings !== undefined && { settings: JSON.parse(settings) as Settings },
  };
}

async function readOwner(file: FileHandle, size: number) {
  const closing = new Uint8Array(await readBytes(file, Math.max(0, size - CLOSING), CLOSING));
  if (new TextDecoder().decode(closing.subarray(4)) !== MAGIC) throw new Error("no footer");
  const reader: unknown = await arrow.RecordBatchReader.from(file as never);
  if (!(reader instanceof arrow.AsyncRecordBatchFileReader)) throw new Error("not the file format");
  const { schema, numRecordBatches } = await reader.open();
  const owner = readMetadata(schema.metadata), columns = schema.fields.map(String).join(", ");
  if (columns !== schemaOf(owner.of) || numRecordBatches !== 1) {
    throw new Error(`${numRecordBatches} batches of ${columns}`);
  }
  return owner;
}

/** Opens one shard; reads its footer and what lies before the features. @throws naming the file. */
export async function openShard(path: string): Promise<Shard> {
  const file = await open(path);
  try {
    const { size: bytes } = await file.stat(), { of, settings } = await readOwner(file, bytes);
    const header = await readBytes(file, OPENING, Math.min(HEADER, bytes - OPENING));
    const reader = new arrow.MessageReader(new Uint8Array(header));
    const batch = reader.readMessage(arrow.MessageHeader.RecordBatch)?.header();
    const bodyAt = OPENING + 8 + new DataView(header).getInt32(4, true);
    const buffers = batch?.buffers ?? [], columns = columnsOf(of), count = batch!.length;
    const { offset: maskAt, length: maskBytes } = buffers[BUFFERS.mask];
    const body = await readBytes(file, bodyAt, maskAt + maskBytes);
    const [nameEnds, starts, ...others] = [BUFFERS.name[0], ...BUFFERS.starts]
      .map((i) => new Int32Array(body, buffers[i].offset, count + 1));
    const rows = starts[count], places: number[] = [];
    for (const [n, { per, bytes: size }] of columns.entries()) {
      const of = storedBuffers(n), at = bodyAt + buffers[of.starts].offset;
      others.push(new Int32Array(await readBytes(file, at, 4 * (count + 1))));
      places.push(bodyAt + buffers[of.values].offset);
      if (places[n] + rows * per * size > bytes) throw new Error("fewer features than tokens");
    }
    if (others.some((o) => o.some((start, i) => start !== starts[i]))) throw new Error("lengths");
    const text = new Uint8Array(body, buffers[BUFFERS.name[1]].offset, nameEnds[count]);
    const names = Array.from(
      { length: count },
      (_, i) => new TextDecoder().decode(text.subarray(nameEnds[i], nameEnds[i + 1])),
    );
    const ids = new Int32Array(body, buffers[BUFFERS.ids].offset, rows);
    const mask = new Uint8Array(body, maskAt, rows);
    return { path, of, ...settings && { settings }, bytes, names, starts, ids, mask, places };
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

/** Ids and mask of example i: copies, nothing is read. */
export function textOf({ names, starts, ids, mask }: Shard, i: number): TokenizedText {
  const start = starts[i], end = starts[i + 1];
  return { id: names[i], ids: ids.slice(start, end), mask: mask.slice(start, end) };
}

/** Stored features of example i, read now. @throws naming the file, if it has changed. */
export async function readPacked({ path, of, starts, places }: Shard, i: number): Promise<Packed> {
  const start = starts[i], count = starts[i + 1] - start, file = await open(path);
  try {
    const packed: Packed = {};
    for (const [n, { name, per, bytes, view }] of columnsOf(of).entries()) {
      const size = per * bytes;
      packed[name] = view(await readBytes(file, places[n] + start * size, count * size));
    }
    return packed;
  } catch (cause) {
    throw new Error(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  } finally {
    await file.close();
  }
}
