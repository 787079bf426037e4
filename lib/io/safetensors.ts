/**
 * Safetensors files: a length, a JSON header, raw little-endian data. Headers are checked completely before
 * anything is read, tensors are read one by one from disk. `checkpoint.ts` puts several files together.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { sizeOf } from "../graph/node.ts";
import { writeFileAtomic } from "./atomic.ts";
import { roomFor } from "./room.ts";
import type { BlockName } from "./gguf_blocks.ts";
import { fromBrain, toBrain, toHalf } from "./float16.ts";

/** Bytes of one element of each type that can be read; the format's 8-bit floats and smaller are not. */
export const ELEMENT_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
export type SafeType = keyof typeof ELEMENT_BYTES;

/** Headers beyond this are refused, as the format's own reader does. */
const LARGEST_HEADER = 100_000_000;

/** Bytes asked for at a time: a single read of 2 GiB (the embedding of a large model) is refused. */
const LARGEST_READ = 2 ** 30;

/** Bytes of a tensor that are converted at a time. */
const PIECE = 2 ** 24;

/** Types that can be read as f32, and how stored bytes become numbers that a Float32Array takes over. */
const TO_FLOAT32 = {
  F32: (data: ArrayBuffer) => new Float32Array(data),
  F16: (data: ArrayBuffer) => new Float16Array(data),
  BF16: (data: ArrayBuffer) => fromBrain(new Uint16Array(data)),
  F64: (data: ArrayBuffer) => new Float64Array(data),
};

export interface TensorInfo {
  /** Those of blocks are GGUF's. */
  dtype: SafeType | BlockName;
  shape: number[];
  /** First and one-past-last byte within the data part. */
  range: [number, number];
}

/** Named tensors that can be read one at a time. */
export interface TensorSource extends Disposable {
  readonly path: string;
  readonly names: string[];
  readonly metadata: Record<string, string>;
  has(name: string): boolean;
  /** @throws naming the file when there is no such tensor. */
  info(name: string): TensorInfo;
  /** Values as f32, whatever floating type they are stored in; `into`: memory of that size, which is returned. */
  readFloat32(name: string, into?: Float32Array): Float32Array;
  /** Values as bits of f16, as they stand if they are stored so. @throws when one is too large. */
  readHalf(name: string): Uint16Array;
  /** Values of an integer or boolean tensor. @throws when one does not fit 32 bits. */
  readInt(name: string): Int32Array;
}

/** Bits of values as f16. @throws naming the first that is too large. */
export function halfOf(values: Float32Array, what: string): Uint16Array {
  const bits = toHalf(values);
  const at = bits.findIndex((b, i) => (b & 0x7fff) === 0x7c00 && Number.isFinite(values[i]));
  if (at < 0) return bits;
  throw new Error(
    `Cannot read ${what} as f16: element ${at} is ${values[at]}, wanted at most 65504`,
  );
}

function parseHeader(path: string, json: string): {
  tensors: Map<string, TensorInfo>;
  metadata: Record<string, string>;
} {
  const refuse = (what: string) => new Error(`Cannot read ${path}: ${what}`);
  let header: Record<string, Record<string, unknown>>;
  try {
    header = JSON.parse(json);
    if (typeof header !== "object" || header === null || Array.isArray(header)) throw new Error();
  } catch {
    throw refuse("its header is not a JSON object");
  }
  const { __metadata__, ...entries } = header, metadata = __metadata__ ?? {};
  if (
    typeof metadata !== "object" || Array.isArray(metadata) ||
    !Object.values(metadata).every((v) => typeof v === "string")
  ) {
    throw refuse(`its __metadata__ is ${JSON.stringify(metadata)}, wanted texts by name`);
  }
  const tensors = new Map<string, TensorInfo>();
  for (const [name, entry] of Object.entries(entries)) {
    if (typeof entry !== "object" || entry === null) {
      throw refuse(`tensor ${name} is ${JSON.stringify(entry)}, wanted dtype, shape, data_offsets`);
    }
    const { dtype, shape, data_offsets: range } = entry as unknown as {
      dtype: SafeType;
      shape: number[];
      data_offsets: [number, number];
    };
    const whole = (v: unknown) => Number.isSafeInteger(v) && (v as number) >= 0;
    if (typeof dtype !== "string" || !Object.hasOwn(ELEMENT_BYTES, dtype)) {
      throw refuse(
        `tensor ${name} has type ${dtype}, wanted one of ${Object.keys(ELEMENT_BYTES).join(", ")}`,
      );
    }
    if (!Array.isArray(shape) || !shape.every(whole)) {
      throw refuse(
        `tensor ${name} has shape ${JSON.stringify(shape)}, wanted non-negative integers`,
      );
    }
    if (!Array.isArray(range) || range.length !== 2 || !range.every(whole) || range[0] > range[1]) {
      throw refuse(`tensor ${name} has data_offsets ${JSON.stringify(range)}, wanted [start, end]`);
    }
    const wanted = sizeOf(shape) * ELEMENT_BYTES[dtype];
    if (range[1] - range[0] !== wanted) {
      throw refuse(
        `tensor ${name} claims ${
          range[1] - range[0]
        } bytes, but ${dtype} [${shape}] takes ${wanted}`,
      );
    }
    tensors.set(name, { dtype, shape, range });
  }
  let end = 0;
  // By end as well: an empty tensor may share its start with the one after it.
  const byPlace = [...tensors].sort(([, { range: a }], [, { range: b }]) =>
    a[0] - b[0] || a[1] - b[1]
  );
  for (const [name, { range }] of byPlace) {
    if (range[0] !== end) {
      throw refuse(`tensor ${name} starts at byte ${range[0]} of the data, wanted ${end}`);
    }
    end = range[1];
  }
  return { tensors, metadata: metadata as Record<string, string> };
}

class SafetensorsFile implements TensorSource {
  #file: number;
  #dataStart: number;
  #tensors: Map<string, TensorInfo>;
  readonly metadata: Record<string, string>;

  constructor(readonly path: string) {
    try {
      this.#file = openSync(path, "r");
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      const found = code === "ENOENT" ? "no such file" : message;
      throw new Error(`Cannot read ${path}: ${found}, wanted a safetensors file`, { cause });
    }
    try {
      const status = fstatSync(this.#file), { size } = status;
      if (!status.isFile()) throw new Error(`Cannot read ${path}: found a folder, wanted a file`);
      if (size < 8) throw new Error(`Cannot read ${path}: it has ${size} bytes, wanted at least 8`);
      const length = Number(new DataView(this.#read(0, 8).buffer).getBigUint64(0, true));
      if (length > LARGEST_HEADER && length <= size - 8) {
        throw new Error(
          `Cannot read ${path}: its header claims ${length} bytes, wanted at most ${LARGEST_HEADER}`,
        );
      }
      if (length > size - 8) {
        throw new Error(
          `Cannot read ${path}: its header claims ${length} bytes, the file holds ${
            size - 8
          } after the length`,
        );
      }
      let json: string;
      try {
        json = new TextDecoder("utf-8", { fatal: true }).decode(this.#read(8, length));
      } catch (cause) {
        throw new Error(`Cannot read ${path}: its header is not UTF-8 text`, { cause });
      }
      const { tensors, metadata } = parseHeader(path, json);
      this.#dataStart = 8 + length;
      this.#tensors = tensors;
      this.metadata = metadata;
      let end = 0, last = "";
      for (const [name, { range }] of tensors) if (range[1] > end) [end, last] = [range[1], name];
      if (this.#dataStart + end !== size) {
        throw new Error(
          `Cannot read ${path}: it has ${size} bytes, its header describes ${
            this.#dataStart + end
          }${last && `, tensor ${last} being the last`}`,
        );
      }
    } catch (cause) {
      closeSync(this.#file);
      throw cause;
    }
  }

  #read(start: number, length: number): Uint8Array<ArrayBuffer> {
    if (this.#file < 0) throw new Error(`Cannot read ${this.path}: it has been closed`);
    const bytes = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const n = readSync(this.#file, bytes, at, Math.min(length - at, LARGEST_READ), start + at);
      if (n === 0) throw new Error(`Cannot read ${this.path}: it ends at byte ${start + at}`);
      at += n;
    }
    return bytes;
  }

  get names(): string[] {
    return [...this.#tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  info(name: string): TensorInfo {
    const found = this.#tensors.get(name);
    if (found === undefined) throw new Error(`Cannot read ${this.path}: it has no tensor ${name}`);
    return found;
  }

  #bytes(name: string): ArrayBuffer {
    const { range: [start, end] } = this.info(name);
    return this.#read(this.#dataStart + start, end - start).buffer;
  }

  readFloat32(name: string, into?: Float32Array): Float32Array {
    const { dtype, shape, range: [start] } = this.info(name), size = sizeOf(shape);
    const type = dtype as keyof typeof TO_FLOAT32,
      convert = dtype in TO_FLOAT32 && TO_FLOAT32[type];
    if (!convert) throw new Error(`Cannot read ${name} of ${this.path} as f32: it is ${dtype}`);
    const values = roomFor(name, { size, into, path: this.path });
    // Piece by piece, so that the stored form is never there as a whole.
    const bytes = ELEMENT_BYTES[type], piece = PIECE / bytes;
    for (let at = 0; at < size; at += piece) {
      const count = Math.min(piece, size - at), from = this.#dataStart + start + at * bytes;
      values.set(convert(this.#read(from, count * bytes).buffer), at);
    }
    return values;
  }

  readHalf(name: string): Uint16Array {
    if (this.info(name).dtype === "F16") return new Uint16Array(this.#bytes(name));
    return halfOf(this.readFloat32(name), `${name} of ${this.path}`);
  }

  readInt(name: string): Int32Array {
    const { dtype } = this.info(name), data = this.#bytes(name);
    const narrow = (value: bigint | number, i: number): number => {
      const narrowed = Number(value);
      if (narrowed === (narrowed | 0)) return narrowed;
      throw new Error(
        `Cannot read ${name} of ${this.path} as integers: element ${i} is ${value}, wanted 32 bits`,
      );
    };
    switch (dtype) {
      case "I64":
        return Int32Array.from(new BigInt64Array(data), narrow);
      case "U64":
        return Int32Array.from(new BigUint64Array(data), narrow);
      case "I32":
        return new Int32Array(data);
      case "U32":
        return Int32Array.from(new Uint32Array(data), narrow);
      case "I16":
        return Int32Array.from(new Int16Array(data));
      case "U16":
        return Int32Array.from(new Uint16Array(data));
      case "I8":
        return Int32Array.from(new Int8Array(data));
      case "U8":
      case "BOOL":
        return Int32Array.from(new Uint8Array(data));
      default:
        throw new Error(`Cannot read ${name} of ${this.path} as integers: it is ${dtype}`);
    }
  }

  [Symbol.dispose](): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
  }
}

/**
 * Opens a safetensors file and checks its header against the file's size.
 * @throws one error naming the file, the tensor, what was found and what was wanted.
 */
export function openSafetensors(path: string): TensorSource {
  return new SafetensorsFile(path);
}

/**
 * A tensor to write. Floats are stored as F32 unless F16 or BF16 is asked for, integers as I32 unless I64 is;
 * Uint16Array holds bit patterns of F16 or BF16, which must be named.
 */
export interface TensorToWrite {
  shape: readonly number[];
  data: Float32Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array;
  dtype?: "F32" | "F16" | "BF16" | "I32" | "I64" | "U8" | "BOOL";
}

/** How values of each kind may be stored; the first is the default. */
const STORED_AS = {
  Float32Array: ["F32", "F16", "BF16"],
  Int32Array: ["I32", "I64"],
  BigInt64Array: ["I64"],
  Uint8Array: ["U8", "BOOL"],
  Uint16Array: [undefined, "F16", "BF16"],
} as const;

/** Type and bytes that a tensor gets in the file. @throws when its values cannot be stored so. */
export function encodeTensor(
  name: string,
  tensor: TensorToWrite,
): [dtype: string, bytes: Uint8Array] {
  const { shape, data } = tensor, kind = data?.[Symbol.toStringTag] ?? "nothing";
  const allowed: readonly (string | undefined)[] = Object.hasOwn(STORED_AS, kind)
    ? STORED_AS[kind as keyof typeof STORED_AS]
    : [];
  const dtype = tensor.dtype ?? allowed[0];
  if (dtype === undefined || !allowed.includes(dtype)) {
    throw new Error(
      `Cannot write tensor ${name} [${shape}] from ${kind} as ${tensor.dtype ?? "it is"}: wanted ${
        allowed.filter((d) => d).join(" or ") || `one of ${Object.keys(STORED_AS).join(", ")}`
      }`,
    );
  }
  if (data.length !== sizeOf(shape)) {
    throw new Error(
      `Cannot write tensor ${name} [${shape}] from ${data.length} values: wanted ${sizeOf(shape)}`,
    );
  }
  let stored: ArrayBufferView = data;
  if (data instanceof Float32Array && dtype === "F16") stored = toHalf(data);
  if (data instanceof Float32Array && dtype === "BF16") stored = toBrain(data);
  if (data instanceof Int32Array && dtype === "I64") stored = BigInt64Array.from(data, BigInt);
  return [dtype, new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength)];
}

/** Length and header of a file, padded so that the data start at a multiple of 8. @throws on a name that is taken. */
export function encodeHeader(
  path: string,
  tensors:
    readonly (readonly [name: string, dtype: string, shape: readonly number[], bytes: number])[],
  metadata: Record<string, string>,
): Uint8Array[] {
  const header: Record<string, unknown> = { __metadata__: { format: "pt", ...metadata } };
  let at = 0;
  for (const [name, dtype, shape, bytes] of tensors) {
    if (name === "__metadata__") {
      throw new Error(`Cannot write ${path}: ${name} is not a name that a tensor may have`);
    }
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const text = new Uint8Array(Math.ceil(json.length / 8) * 8).fill(32);
  text.set(json);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  return [length, text];
}

/** Writes a file, names in the given order, atomically. @throws before anything is written. */
export async function writeSafetensors(
  path: string,
  tensors: Record<string, TensorToWrite>,
  { metadata = {} }: { metadata?: Record<string, string> } = {},
): Promise<void> {
  const parts = Object.entries(tensors).map(([name, tensor]) =>
    [name, ...encodeTensor(name, tensor), tensor.shape] as const
  );
  const header = encodeHeader(
    path,
    parts.map(([name, dtype, bytes, shape]) => [name, dtype, shape, bytes.length]),
    metadata,
  );
  await writeFileAtomic(path, [...header, ...parts.map(([, , bytes]) => bytes)]);
}
