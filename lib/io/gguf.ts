/**
 * GGUF files, versions 2 and 3: settings by name, a list of tensors, aligned data. The header is checked completely
 * before anything is read, tensors are read one by one. Names and rows are as the file has them: what a model's are
 * called elsewhere is `lib/model/gguf_target.ts`. Element types: `gguf_blocks.ts`.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { sizeOf } from "../graph/node.ts";
import { BLOCK_TYPES, type BlockName, READABLE_BLOCKS } from "./gguf_blocks.ts";
import { moveInto } from "./room.ts";
import { halfOf, type TensorInfo, type TensorSource } from "./safetensors.ts";

/** A setting of the file. */
export type GgufValue = string | number | bigint | boolean | GgufValue[];

/** A file that is open, its tensors in f32 whatever their type. */
export interface GgufFile extends TensorSource {
  readonly settings: Readonly<Record<string, GgufValue>>;
}

/** Bytes that are read of the header at a time. */
const WINDOW = 1 << 20;
/** Bytes asked for at a time: a single read of 2 GiB is refused. */
const LARGEST_READ = 2 ** 30;
/** More dimensions, or arrays within arrays, than any file has. */
const DEEPEST = 8;

/** Reads a header from its beginning to wherever it ends. */
class HeaderReader {
  #start = 0;
  #view = new DataView(new ArrayBuffer(0));
  at = 0;

  constructor(
    readonly read: (start: number, length: number) => Uint8Array<ArrayBuffer>,
    readonly size: number,
  ) {}

  /** The next bytes. @throws when the file is shorter. */
  #next(length: number): [view: DataView, at: number] {
    if (length > this.size - this.at) {
      throw new Error(`its header wants ${length} bytes at ${this.at}, the file has ${this.size}`);
    }
    const end = this.at + length;
    if (this.at < this.#start || end > this.#start + this.#view.byteLength) {
      const window = Math.min(Math.max(length, WINDOW), this.size - this.at);
      this.#view = new DataView(this.read(this.at, window).buffer);
      this.#start = this.at;
    }
    const from = this.at - this.#start;
    this.at = end;
    return [this.#view, from];
  }

  u32(): number {
    const [view, at] = this.#next(4);
    return view.getUint32(at, true);
  }

  /** A count or an offset. @throws beyond what numbers hold exactly: the file is damaged. */
  u64(): number {
    const [view, at] = this.#next(8), value = Number(view.getBigUint64(at, true));
    if (Number.isSafeInteger(value)) return value;
    throw new Error(`it has a size of ${value} at byte ${this.at - 8}`);
  }

  text(): string {
    const length = this.u64(), [view, at] = this.#next(length);
    return new TextDecoder().decode(new Uint8Array(view.buffer, at, length));
  }

  /** A value of the format's type number. */
  value(type: number, depth = 0): GgufValue {
    if (type === 8) return this.text();
    if (type === 9) {
      const inner = this.u32(), count = this.u64();
      if (depth >= DEEPEST || count > this.size) throw new Error(`it has an array of ${count}`);
      return Array.from({ length: count }, () => this.value(inner, depth + 1));
    }
    const bytes = [1, 1, 2, 2, 4, 4, 4, 1, , , 8, 8, 8][type];
    if (bytes === undefined) throw new Error(`it has a setting of type number ${type}`);
    const [view, at] = this.#next(bytes);
    switch (type) {
      case 0:
        return view.getUint8(at);
      case 1:
        return view.getInt8(at);
      case 2:
        return view.getUint16(at, true);
      case 3:
        return view.getInt16(at, true);
      case 4:
        return view.getUint32(at, true);
      case 5:
        return view.getInt32(at, true);
      case 6:
        return view.getFloat32(at, true);
      case 7:
        return view.getUint8(at) !== 0;
      case 10:
        return view.getBigUint64(at, true);
      case 11:
        return view.getBigInt64(at, true);
      default:
        return view.getFloat64(at, true);
    }
  }
}

interface Placed {
  type: number;
  shape: number[];
  offset: number;
}

/** Settings, tensors and where their data begin. */
function readHeader(header: HeaderReader) {
  const magic = header.u32(), version = header.u32();
  if (magic !== 0x46554747) throw new Error("it does not begin with GGUF");
  if (version !== 2 && version !== 3) {
    const other = version & 0xffff ? `version ${version}` : "in big-endian order";
    throw new Error(`it is ${other}, wanted version 2 or 3 in little-endian order`);
  }
  const tensorCount = header.u64(), settingCount = header.u64();
  const settings: Record<string, GgufValue> = {}, tensors = new Map<string, Placed>();
  for (let i = 0; i < settingCount; i++) {
    const name = header.text();
    settings[name] = header.value(header.u32());
  }
  for (let i = 0; i < tensorCount; i++) {
    const name = header.text(), dimensions = header.u32();
    if (dimensions > DEEPEST) throw new Error(`tensor ${name} has ${dimensions} dimensions`);
    // The fastest dimension stands first there, last here.
    const shape = Array.from({ length: dimensions }, () => header.u64()).reverse();
    tensors.set(name, { shape, type: header.u32(), offset: header.u64() });
  }
  const alignment = Number(settings["general.alignment"] ?? 32);
  if (!(Number.isInteger(alignment) && alignment >= 1)) {
    throw new Error(`its general.alignment is ${alignment}, wanted a positive integer`);
  }
  return { settings, tensors, start: Math.ceil(header.at / alignment) * alignment };
}

/** Bytes of a tensor. @throws on a type that is not known, or rows that are no whole blocks. */
function bytesOf(name: string, { type, shape }: Placed): number {
  const block = BLOCK_TYPES[type];
  if (block === undefined) {
    throw new Error(`tensor ${name} has type number ${type}, which is not known here`);
  }
  if ((shape.at(-1) ?? 1) % block.values !== 0) {
    throw new Error(`tensor ${name} [${shape}] is no whole blocks of ${block.values} values`);
  }
  return sizeOf(shape) / block.values * block.bytes;
}

/** Opens a GGUF file. @throws when it is none, is cut short, or one of several parts. */
export function openGguf(path: string): GgufFile {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (cause) {
    throw new Error(`Cannot read ${path}: no such file`, { cause });
  }
  const read = (start: number, length: number) => {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const n = readSync(file, bytes, at, Math.min(length - at, LARGEST_READ), start + at);
      if (n === 0) throw new Error(`it ends at byte ${start + at}, wanted ${start + length}`);
      at += n;
    }
    return bytes;
  };
  try {
    const { size } = fstatSync(file);
    const { settings, tensors, start } = readHeader(new HeaderReader(read, size));
    const parts = Number(settings["split.count"] ?? 1);
    if (parts > 1) throw new Error(`it is one of ${parts} parts, wanted them merged into one file`);
    const infos = new Map<string, TensorInfo>();
    for (const [name, placed] of tensors) {
      const { offset, shape, type } = placed, end = offset + bytesOf(name, placed);
      if (start + end > size) {
        const room = size - start;
        throw new Error(`tensor ${name} ends at byte ${end} of the data, which have ${room}`);
      }
      const dtype = BLOCK_TYPES[type].name as BlockName;
      infos.set(name, { dtype, shape, range: [offset, end] });
    }
    const info = (name: string) => {
      const found = infos.get(name);
      if (found !== undefined) return found;
      throw new Error(`Cannot read ${path}: it has no tensor ${name}`);
    };
    const readFloat32 = (name: string, into?: Float32Array) => {
      const { dtype, shape, range: [from, end] } = info(name);
      const block = BLOCK_TYPES[tensors.get(name)!.type];
      if (block.read !== undefined) {
        const values = block.read(read(start + from, end - from), sizeOf(shape));
        return moveInto(values, { name, into, path });
      }
      const wanted = READABLE_BLOCKS.join(", ");
      throw new Error(`Cannot read ${name} of ${path}: it is ${dtype}, wanted one of ${wanted}`);
    };
    return {
      ...{ path, settings, info, readFloat32 },
      names: [...infos.keys()],
      metadata: {},
      has: (name) => infos.has(name),
      readHalf: (name) => halfOf(readFloat32(name), `${name} of ${path}`),
      readInt: (name) => {
        throw new Error(`Cannot read ${name} of ${path} as integers: it is ${info(name).dtype}`);
      },
      [Symbol.dispose]: () => closeSync(file),
    };
  } catch (cause) {
    closeSync(file);
    throw new Error(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}
