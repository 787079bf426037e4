/**
 * Safetensors files: a length, a JSON header, raw little-endian data. Headers are checked completely before
 * anything is read, tensors are read one by one from disk. `checkpoint.ts` puts several files together.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { sizeOf } from "../graph/node.ts";
import { writeFileAtomic } from "./atomic.ts";
import { fromBrain, fromHalf, toBrain, toHalf } from "./float16.ts";

/** Bytes of one element of each type the format knows. */
const ELEMENT_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
export type SafeType = keyof typeof ELEMENT_BYTES;

/** Headers beyond this are refused, as the format's own reader does. */
const LARGEST_HEADER = 100_000_000;

export interface TensorInfo {
  dtype: SafeType;
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
  /** Values as f32, whatever floating type they are stored in. */
  readFloat32(name: string): Float32Array;
  /** Values of an integer or boolean tensor. */
  readInt(name: string): Int32Array;
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
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = new Map<string, TensorInfo>();
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets: range } = entry as {
      dtype: SafeType;
      shape: number[];
      data_offsets: [number, number];
    };
    const whole = (v: unknown) => Number.isSafeInteger(v) && (v as number) >= 0;
    if (ELEMENT_BYTES[dtype] === undefined) {
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
  for (const [name, { range }] of [...tensors].sort((a, b) => a[1].range[0] - b[1].range[0])) {
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
    } catch {
      throw new Error(`Cannot read ${path}: no such file, wanted a safetensors file`);
    }
    try {
      const size = fstatSync(this.#file).size;
      if (size < 8) throw new Error(`Cannot read ${path}: it has ${size} bytes, wanted at least 8`);
      const length = Number(new DataView(this.#read(0, 8).buffer).getBigUint64(0, true));
      if (length > Math.min(LARGEST_HEADER, size - 8)) {
        throw new Error(
          `Cannot read ${path}: its header claims ${length} bytes, the file holds ${
            size - 8
          } after the length`,
        );
      }
      const json = new TextDecoder().decode(this.#read(8, length));
      const { tensors, metadata } = parseHeader(path, json);
      this.#dataStart = 8 + length;
      this.#tensors = tensors;
      this.metadata = metadata;
      const end = Math.max(0, ...[...tensors.values()].map((t) => t.range[1]));
      if (this.#dataStart + end !== size) {
        throw new Error(
          `Cannot read ${path}: it has ${size} bytes, its header describes ${
            this.#dataStart + end
          }`,
        );
      }
    } catch (cause) {
      closeSync(this.#file);
      throw cause;
    }
  }

  #read(start: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const n = readSync(this.#file, bytes, at, length - at, start + at);
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

  readFloat32(name: string): Float32Array {
    const { dtype } = this.info(name), data = this.#bytes(name);
    switch (dtype) {
      case "F32":
        return new Float32Array(data);
      case "F16":
        return fromHalf(new Uint16Array(data));
      case "BF16":
        return fromBrain(new Uint16Array(data));
      case "F64":
        return new Float32Array(new Float64Array(data));
      default:
        throw new Error(`Cannot read ${name} of ${this.path} as f32: it is ${dtype}`);
    }
  }

  readInt(name: string): Int32Array {
    const { dtype } = this.info(name), data = this.#bytes(name);
    switch (dtype) {
      case "I64":
        return Int32Array.from(new BigInt64Array(data), Number);
      case "I32":
        return new Int32Array(data);
      case "I16":
        return Int32Array.from(new Int16Array(data));
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

/** A tensor to write. Float data may be stored in 16 bits. */
export interface TensorToWrite {
  shape: readonly number[];
  data: Float32Array | Int32Array;
  dtype?: "F32" | "F16" | "BF16" | "I32";
}

/** Writes a file, names in the given order, atomically. */
export async function writeSafetensors(
  path: string,
  tensors: Record<string, TensorToWrite>,
  { metadata = {} }: { metadata?: Record<string, string> } = {},
): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: { format: "pt", ...metadata } };
  const parts: Uint8Array[] = [];
  let at = 0;
  for (
    const [name, { shape, data, dtype = data instanceof Float32Array ? "F32" : "I32" }] of Object
      .entries(tensors)
  ) {
    if (data.length !== sizeOf(shape)) {
      throw new Error(
        `Cannot write tensor ${name} [${shape}] from ${data.length} values: wanted ${
          sizeOf(shape)
        }`,
      );
    }
    const stored = dtype === "F16"
      ? toHalf(data as Float32Array)
      : dtype === "BF16"
      ? toBrain(data as Float32Array)
      : data;
    parts.push(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
    header[name] = { dtype, shape, data_offsets: [at, at + stored.byteLength] };
    at += stored.byteLength;
  }
  const json = JSON.stringify(header);
  // Padded with blanks, so that the data start at a multiple of 8.
  const text = new TextEncoder().encode(
    json + " ".repeat((8 - new TextEncoder().encode(json).length % 8) % 8),
  );
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  await writeFileAtomic(path, [length, text, ...parts]);
}
