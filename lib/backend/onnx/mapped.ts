/**
 * Weights of a large model in a file that is mapped into memory. ONNX Runtime packs matrices into copies of its own,
 * and reads the originals again only when another Program is compiled: kept on the heap they would make a model twice
 * as large. Pages of a mapped file are given back after each reading and come again when they are touched. The file
 * has no name while it is used, so nothing of it is left. Who maps: `backend.ts`.
 */
import { closeSync, mkdirSync, openSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { dtypeOf, type HostArray } from "../../graph/node.ts";

const LIBRARY: Record<string, string> = { linux: "libc.so.6", darwin: "libSystem.B.dylib" };
const P = "pointer", Z = "usize", I = "i32";
// The same numbers on Linux and macOS.
const READ_WRITE = 2, PROTECTION = 3, PRIVATE = 2, DONT_NEED = 4;

/** The C library's functions; no such thing where they cannot be had. */
function bindLibrary() {
  const name = LIBRARY[Deno.build.os];
  if (name === undefined) return undefined;
  const { symbols } = Deno.dlopen(name, {
    open: { parameters: ["buffer", I], result: I },
    close: { parameters: [I], result: I },
    mmap: { parameters: [P, Z, I, I, I, "i64"], result: P },
    munmap: { parameters: [P, Z], result: I },
    madvise: { parameters: [P, Z, I], result: I },
  });
  return symbols;
}

type Library = NonNullable<ReturnType<typeof bindLibrary>>;
let library: Library | undefined | null = null;

/** Where a buffer lies, to give its pages back. */
const places = new WeakMap<ArrayBufferLike, { at: Deno.PointerValue; bytes: bigint }>();
const unmapping = new FinalizationRegistry<{ at: Deno.PointerValue; bytes: bigint }>(
  ({ at, bytes }) => void library!.munmap(at, bytes),
);

/** Bytes written at a time: a single call does not take more than 2 GiB. */
const CHUNK = 2 ** 28;

/** Writes bytes to a file without a name and maps it. @throws when the disk is full or a call fails. */
function mapBytes(c: Library, bytes: Uint8Array, folder: string): ArrayBuffer {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `.weights-${Deno.pid}-${crypto.randomUUID()}`);
  const file = openSync(path, "wx");
  let from = -1;
  try {
    for (let at = 0; at < bytes.length;) {
      at += writeSync(file, bytes, at, Math.min(CHUNK, bytes.length - at), at);
    }
    from = c.open(new TextEncoder().encode(`${path}\0`), READ_WRITE);
    if (from < 0) throw new Error(`Cannot open ${path} to map it`);
    const length = BigInt(bytes.length);
    const at = c.mmap(null, length, PROTECTION, PRIVATE, from, 0n) as Deno.PointerValue;
    // A failed call returns -1.
    if (at === null || BigInt.asIntN(64, Deno.UnsafePointer.value(at)) === -1n) {
      throw new Error(`Cannot map ${path}: found no room for ${bytes.length} bytes`);
    }
    const buffer = Deno.UnsafePointerView.getArrayBuffer(at, bytes.length);
    const place = { at, bytes: length };
    places.set(buffer, place);
    unmapping.register(buffer, place);
    return buffer;
  } finally {
    if (from >= 0) c.close(from);
    closeSync(file);
    unlinkSync(path);
  }
}

const KINDS = {
  f32: Float32Array,
  f16: Uint16Array,
  i32: Int32Array,
  bool: Uint8Array,
  u8: Uint8Array,
};

/**
 * The same values in a mapped file under `folder`, their heap memory freed at once: `data` is empty afterwards. Where
 * that cannot be done (another system, no right to write, a full disk) `data` itself.
 */
export function moveToFile(data: HostArray, { folder }: { folder: string }): HostArray {
  try {
    library ??= bindLibrary();
    const whole = data.byteLength === data.buffer.byteLength; // else others see the same memory
    if (library === undefined || data.byteLength === 0 || !whole) return data;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const mapped = new KINDS[dtypeOf(data)](mapBytes(library, bytes, folder));
    (data.buffer as ArrayBuffer).transfer(0);
    return mapped as HostArray;
  } catch {
    return data;
  }
}

/** Gives the pages of mapped data back; they come again from the file when touched. No-op on other data. */
export function givePagesBack(data: HostArray): void {
  const place = places.get(data.buffer);
  if (place !== undefined) library!.madvise(place.at, place.bytes, DONT_NEED);
}
