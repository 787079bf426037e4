/**
 * Weights that PyTorch saved (`pytorch_model.bin`: a zip of a pickle and raw storages), read as one more
 * {@link TensorSource}. Nothing of the pickle is run but the few functions that rebuild tensors: see `pickle.ts`. Files
 * of before PyTorch 1.6 are no zip, and refused.
 */
import { type Shape, sizeOf } from "../graph/node.ts";
import { fromBrain, fromHalf } from "./float16.ts";
import { type Allowed, unpickle } from "./pickle.ts";
import { moveInto } from "./room.ts";
import { halfOf, type TensorSource } from "./safetensors.ts";
import { openZip, type ZipEntry, type ZipFile } from "./zip.ts";

/** Element types by the storage class that names them: as safetensors calls them, and bytes. */
const STORAGES = {
  FloatStorage: ["F32", 4],
  DoubleStorage: ["F64", 8],
  HalfStorage: ["F16", 2],
  BFloat16Storage: ["BF16", 2],
  LongStorage: ["I64", 8],
  IntStorage: ["I32", 4],
  ShortStorage: ["I16", 2],
  CharStorage: ["I8", 1],
  ByteStorage: ["U8", 1],
  BoolStorage: ["BOOL", 1],
} as const;
type StorageName = keyof typeof STORAGES;

/** A storage as the pickle names it. */
class Storage {
  constructor(readonly dtype: string, readonly bytes: number, readonly entry: ZipEntry) {}
}

/** A tensor: a storage seen through strides. */
class TorchTensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: Shape,
    readonly strides: readonly number[],
  ) {}
}

/** The functions that rebuild tensors, and the classes they name; none of them runs code of the file. */
function allowedOf(): Allowed {
  const whole = (values: unknown): values is number[] =>
    Array.isArray(values) && values.every((v) => Number.isSafeInteger(v) && v >= 0);
  const rebuild = (storage: unknown, offset: unknown, shape: unknown, strides: unknown) => {
    if (!(storage instanceof Storage)) throw new Error("a tensor has no storage");
    if (!whole(shape) || !whole(strides) || shape.length !== strides.length || !whole([offset])) {
      throw new Error("a tensor has no sizes that make sense");
    }
    return new TorchTensor(storage, offset as number, shape, strides);
  };
  return {
    "collections OrderedDict": () => new Map(),
    "torch._utils _rebuild_tensor_v2": rebuild,
    "torch._utils _rebuild_parameter": (tensor) => tensor,
    ...Object.fromEntries(
      Object.keys(STORAGES).map((name) => [
        `torch ${name}`,
        () => {
          throw new Error(`it makes a torch.${name} of its own`);
        },
      ]),
    ),
  };
}

/** The storage behind a persistent id: ("storage", class, key, device, count). */
function storageOf(zip: ZipFile, root: string, id: unknown): Storage {
  const [kind, type, key, , count] = Array.isArray(id) ? id : [];
  const name = (type as { name?: string } | undefined)?.name?.split(" ")[1] as StorageName;
  if (kind !== "storage" || STORAGES[name] === undefined) {
    throw new Error(`it refers to a ${kind} of type ${name ?? "unknown"}`);
  }
  const entry = zip.entries.get(`${root}data/${key}`), [dtype, bytes] = STORAGES[name];
  if (entry === undefined) throw new Error(`its storage ${key} is not in the file`);
  if (entry.length < Number(count) * bytes) {
    throw new Error(
      `its storage ${key} has ${entry.length} bytes, wanted ${Number(count) * bytes}`,
    );
  }
  return new Storage(dtype, bytes, entry);
}

/** The elements of a tensor in row order, as bytes that its storage holds. */
function gatherBytes(zip: ZipFile, name: string, { storage, offset, shape, strides }: TorchTensor) {
  const { bytes, entry } = storage, size = sizeOf(shape);
  const last = shape.reduce((n, d, i) => n + (d - 1) * strides[i], offset);
  if (size > 0 && (last + 1) * bytes > entry.length) {
    throw new Error(`Cannot read ${zip.path}: ${name} reaches beyond its storage`);
  }
  if (size === 0) return new Uint8Array(0);
  const span = zip.read(entry, offset * bytes, (last + 1 - offset) * bytes);
  const inOrder = shape.every((d, i) =>
    d === 1 || strides[i] === shape.slice(i + 1).reduce((a, b) => a * b, 1)
  );
  if (inOrder) return span;
  const out = new Uint8Array(size * bytes), index = shape.map(() => 0);
  for (let o = 0, from = 0; o < size; o++) {
    out.set(span.subarray(from * bytes, (from + 1) * bytes), o * bytes);
    for (let d = shape.length - 1; d >= 0; d--) {
      from += strides[d];
      if (++index[d] < shape[d]) break;
      from -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return out;
}

function toFloat32(dtype: string, bytes: Uint8Array<ArrayBuffer>): Float32Array | undefined {
  if (dtype === "F32") return new Float32Array(bytes.buffer);
  if (dtype === "F64") return Float32Array.from(new Float64Array(bytes.buffer));
  if (dtype === "F16") return fromHalf(new Uint16Array(bytes.buffer));
  return dtype === "BF16" ? fromBrain(new Uint16Array(bytes.buffer)) : undefined;
}

function toInt32(dtype: string, bytes: Uint8Array<ArrayBuffer>): Int32Array | undefined {
  const { buffer } = bytes;
  if (dtype === "I32") return new Int32Array(buffer);
  if (dtype === "U8" || dtype === "BOOL") return Int32Array.from(bytes);
  if (dtype === "I8") return Int32Array.from(new Int8Array(buffer));
  if (dtype === "I16") return Int32Array.from(new Int16Array(buffer));
  if (dtype !== "I64") return undefined;
  const wide = new BigInt64Array(buffer), narrow = new Int32Array(wide.length);
  wide.forEach((v, i) => narrow[i] = Number(v));
  return wide.every((v, i) => v === BigInt(narrow[i])) ? narrow : undefined;
}

/**
 * Opens a file that `torch.save` wrote of a state dict (or of a dictionary that holds one as `state_dict` or `model`).
 * @throws when it is no zip, is damaged, or its pickle asks for anything but tensors.
 */
export function openTorchBin(path: string): TensorSource {
  const zip = openZip(path);
  try {
    const pickled = [...zip.entries.keys()].find((name) => /(^|\/)data\.pkl$/.test(name));
    if (pickled === undefined) throw new Error("it is a zip without a data.pkl");
    const root = pickled.slice(0, -"data.pkl".length);
    const loaded = unpickle(zip.read(zip.entries.get(pickled)!), {
      allowed: allowedOf(),
      persistent: (id) => storageOf(zip, root, id),
    });
    if (!(loaded instanceof Map)) throw new Error("it does not hold a dictionary of tensors");
    const inner = loaded.get("state_dict") ?? loaded.get("model");
    const tensors = new Map<string, TorchTensor>();
    for (const [name, value] of inner instanceof Map ? inner : loaded) {
      if (value instanceof TorchTensor) tensors.set(String(name), value);
    }
    if (tensors.size === 0) throw new Error("it holds no tensors by name");
    return sourceOf(zip, tensors);
  } catch (cause) {
    zip[Symbol.dispose]();
    const { message } = cause as Error;
    throw message.startsWith("Cannot read")
      ? cause
      : new Error(`Cannot read ${path}: ${message}`, { cause });
  }
}

function sourceOf(zip: ZipFile, tensors: ReadonlyMap<string, TorchTensor>): TensorSource {
  const { path } = zip;
  const find = (name: string): TorchTensor => {
    const found = tensors.get(name);
    if (found === undefined) throw new Error(`Cannot read ${path}: it has no tensor ${name}`);
    return found;
  };
  const read = <T>(
    name: string,
    wanted: string,
    convert: (dtype: string, bytes: Uint8Array<ArrayBuffer>) => T | undefined,
  ): T => {
    const tensor = find(name), { dtype } = tensor.storage;
    const values = convert(dtype, gatherBytes(zip, name, tensor));
    if (values !== undefined) return values;
    throw new Error(`Cannot read ${path}: ${name} holds ${dtype}, wanted ${wanted}`);
  };
  return {
    path,
    names: [...tensors.keys()],
    metadata: {},
    has: (name) => tensors.has(name),
    info: (name) => {
      const { shape, storage: { dtype, bytes, entry } } = find(name);
      return {
        dtype,
        shape: [...shape],
        range: [entry.start, entry.start + sizeOf(shape) * bytes],
      } as ReturnType<TensorSource["info"]>;
    },
    readFloat32: (name, into) =>
      moveInto(read(name, "floating point", toFloat32), { name, into, path }),
    readHalf: (name) =>
      find(name).storage.dtype === "F16"
        ? new Uint16Array(gatherBytes(zip, name, find(name)).buffer)
        : halfOf(read(name, "floating point", toFloat32), `${name} of ${path}`),
    readInt: (name) => read(name, "integers of 32 bits", toInt32),
    [Symbol.dispose]: () => zip[Symbol.dispose](),
  };
}
