/**
 * The contract of a runner of ONNX models, fulfilled twice: `ffi.ts` (ONNX Runtime's C API through Deno,
 * the default) and `binding.ts` (its Node binding: fallback, and second opinion in tests).
 */
import { FfiRuntime } from "./ffi.ts";
import { BindingRuntime } from "./binding.ts";
import type { OnnxModel } from "./protobuf.ts";

/** Element types of ONNX values; f16 is held as bit patterns in a Uint16Array. */
export type OrtType = "f32" | "f16" | "i32" | "i64" | "bool" | "u8" | "i8";

export type OrtArray =
  | Float32Array
  | Int32Array
  | Uint8Array
  | Int8Array
  | Uint16Array
  | BigInt64Array;

/** A tensor over memory that the host keeps: never copied by the FFI runner. */
export interface OrtValue extends Disposable {
  readonly data: OrtArray;
  readonly shape: readonly number[];
  readonly type: OrtType;
}

/** A loaded model. Values come in the order of the names given when it was loaded. */
export interface OrtSession extends Disposable {
  /** Runs and fills `outputs`; an output may share its memory with an input where the model allows it. */
  run(inputs: readonly OrtValue[], outputs: readonly OrtValue[]): Promise<void>;
}

export interface SessionOptions {
  inputs: readonly string[];
  outputs: readonly string[];
  /** Initialisers declared without data, by name; sessions given the same value share one packed copy. */
  weights?: ReadonlyMap<string, OrtValue>;
  /** Runs take a few milliseconds: stay on this thread, which saves 0.3 ms of handing over. */
  short?: boolean;
  /**
   * Temporaries are large: sessions share a pool for them, and none remembers the pattern of its first run, which
   * would take a second block as large as all of them (training a draft of 99 M parameters: 5.1 GB instead of 3.6).
   */
  lean?: boolean;
  /** Weights lie in mapped files: their pages are given back as the model is loaded, and after it. */
  mapped?: boolean;
}

export interface OrtRuntime extends Disposable {
  readonly name: "ffi" | "binding";
  /** Version of ONNX Runtime. */
  readonly version: string;
  /** Why the FFI runner could not be had, when this one stands in for it. */
  readonly fallbackFrom?: unknown;
  /** A tensor over `data`, which stays the caller's. @throws when kind or length do not fit. */
  value(data: OrtArray, shape: readonly number[], type: OrtType): OrtValue;
  /** Loads a model. @throws when it is invalid or a weight is missing or of another type or shape. */
  session(model: OnnxModel, options: SessionOptions): Promise<OrtSession>;
}

export type RunnerName = OrtRuntime["name"];

/** Threads used within an operator: one a core, at most 8 (measured: more do not help small models). */
export function defaultThreads(): number {
  return Math.max(1, Math.min(8, navigator.hardwareConcurrency));
}

/**
 * Opens ONNX Runtime: the given runner, or the FFI one and, where that cannot be loaded, the binding.
 * @throws when the wanted runner cannot be loaded, saying why.
 */
export async function openRuntime(
  { runner, threads = defaultThreads() }: { runner?: RunnerName; threads?: number } = {},
): Promise<OrtRuntime> {
  if (runner === "binding") return await BindingRuntime.open(threads);
  try {
    return FfiRuntime.open(threads);
  } catch (fallbackFrom) {
    if (runner === "ffi") throw fallbackFrom;
    return await BindingRuntime.open(threads, { fallbackFrom });
  }
}
