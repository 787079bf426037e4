/**
 * The entries of a zip file that were stored without compression, read where they lie: what PyTorch writes. Large files
 * (zip64) included. Not a general reader: compressed and encrypted entries are refused. Used by `torch_bin.ts`.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** An entry: where its bytes begin in the file, and how many there are. */
export interface ZipEntry {
  start: number;
  length: number;
}

/** An open zip file. */
export interface ZipFile extends Disposable {
  readonly path: string;
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** Bytes of a part of an entry. */
  read(entry: ZipEntry, from?: number, length?: number): Uint8Array<ArrayBuffer>;
}

/** Reads of more than this at once fail on some systems. */
const LARGEST_READ = 1 << 30;
const END = 0x06054b50, END_64 = 0x06064b50, LOCATOR_64 = 0x07064b50, CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50, ALL_ONES = 0xffffffff;

const refuse = (path: string, what: string) => new Error(`Cannot read ${path}: ${what}`);

/** A position or size of 64 bits. @throws beyond what a number holds. */
function long(view: DataView, at: number, path: string): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw refuse(path, `it names position ${value}`);
  return Number(value);
}

/** Where the list of entries lies: from the end record, or the one for large files in front of it. */
function directory(
  path: string,
  { size, bytes }: { size: number; bytes: (at: number, length: number) => DataView },
): { start: number; length: number; count: number } {
  const tail = Math.min(size, 22 + 0xffff), view = bytes(size - tail, tail);
  let at = tail - 22;
  while (at >= 0 && view.getUint32(at, true) !== END) at--;
  if (at < 0) throw refuse(path, "it is no zip file, or was cut off: its end record is missing");
  const count = view.getUint16(at + 10, true), length = view.getUint32(at + 12, true);
  const start = view.getUint32(at + 16, true);
  const small = count !== 0xffff && length !== ALL_ONES && start !== ALL_ONES;
  if (small || at < 20 || view.getUint32(at - 20, true) !== LOCATOR_64) {
    return { start, length, count };
  }
  const place = long(view, at - 12, path);
  if (place + 56 > size) throw refuse(path, "its end record lies outside the file");
  const end = bytes(place, 56);
  if (end.getUint32(0, true) !== END_64) throw refuse(path, "its zip64 end record is damaged");
  return { count: long(end, 32, path), length: long(end, 40, path), start: long(end, 48, path) };
}

/** The 64-bit fields of an entry that has them, in the order size, packed size, position. */
function extraFields(view: DataView, at: number, length: number, path: string): number[] {
  for (let p = at; p + 4 <= at + length;) {
    const id = view.getUint16(p, true), size = view.getUint16(p + 2, true);
    if (id === 1) {
      return Array.from(
        { length: Math.floor(size / 8) },
        (_, i) => long(view, p + 4 + 8 * i, path),
      );
    }
    p += 4 + size;
  }
  return [];
}

/** Opens a zip file. @throws when it is none, is damaged, or holds compressed entries. */
export function openZip(path: string): ZipFile {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (cause) {
    throw new Error(`Cannot read ${path}: no such file`, { cause });
  }
  try {
    const { size } = fstatSync(file);
    const read = (start: number, length: number) => {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length;) {
        const n = readSync(file, bytes, at, Math.min(length - at, LARGEST_READ), start + at);
        if (n === 0) throw refuse(path, `it ends at byte ${start + at}, wanted ${start + length}`);
        at += n;
      }
      return bytes;
    };
    const bytes = (at: number, length: number) => new DataView(read(at, length).buffer);
    const { start, length, count } = directory(path, { size, bytes });
    if (start + length > size) throw refuse(path, "its list of entries lies outside the file");
    const view = bytes(start, length), entries = new Map<string, ZipEntry>();
    for (let i = 0, at = 0; i < count; i++) {
      if (at + 46 > length || view.getUint32(at, true) !== CENTRAL) {
        throw refuse(path, `entry ${i} of its list is damaged`);
      }
      const u16 = (o: number) => view.getUint16(at + o, true);
      const [nameLength, extraLength, noteLength] = [u16(28), u16(30), u16(32)];
      const name = new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, nameLength));
      const wide = extraFields(view, at + 46 + nameLength, extraLength, path);
      const field = (o: number) => {
        const value = view.getUint32(at + o, true);
        return value === ALL_ONES && wide.length > 0 ? wide.shift()! : value;
      };
      const bytesOf = field(24), packed = field(20), header = field(42);
      if (u16(10) !== 0 || packed !== bytesOf || (u16(8) & 1) !== 0) {
        throw refuse(path, `${name} is compressed or encrypted, wanted it stored as it is`);
      }
      const local = bytes(header, 30);
      if (local.getUint32(0, true) !== LOCAL) {
        throw refuse(path, `the header of ${name} is damaged`);
      }
      const begin = header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
      if (begin + bytesOf > size) throw refuse(path, `${name} reaches beyond the end of the file`);
      entries.set(name, { start: begin, length: bytesOf });
      at += 46 + nameLength + extraLength + noteLength;
    }
    return {
      path,
      entries,
      read: (entry, from = 0, wanted = entry.length - from) => {
        if (from < 0 || wanted < 0 || from + wanted > entry.length) {
          throw refuse(path, `bytes ${from} to ${from + wanted} of ${entry.length} were asked for`);
        }
        return read(entry.start + from, wanted);
      },
      [Symbol.dispose]: () => closeSync(file),
    };
  } catch (cause) {
    closeSync(file);
    const { message } = cause as Error;
    if (message.startsWith("Cannot read")) throw cause;
    throw new Error(`Cannot read ${path}: its list of entries is damaged (${message})`, { cause });
  }
}
