/**
 * ONNX Runtime's C API through Deno FFI, on the very library that npm:onnxruntime-node ships. Against the
 * Node binding: no copies of outputs, updates in place, 3-6 us a call, runs off the main thread. The API is
 * a table of functions that only grows, so slots are stable; each one used here is exercised by the tests.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { HostArray } from "../../graph/node.ts";
import { checkRun, checkValue, checkWeights } from "./check.ts";
import { givePagesBack } from "./mapped.ts";
import { encodeModel, ONNX_TYPE, type OnnxModel } from "./protobuf.ts";
import type {
  OrtArray,
  OrtRuntime,
  OrtSession,
  OrtType,
  OrtValue,
  SessionOptions,
} from "./runtime.ts";

/** Version of the function table asked for; the library 1.30.0 knows it and all before. */
const API_VERSION = 20;

/** Slots of OrtApi (onnxruntime_c_api.h, order of declaration). */
const SLOT = {
  GetErrorMessage: 2,
  Run: 9,
  CreateSessionOptions: 10,
  DisableMemPattern: 17,
  CreateTensorWithDataAsOrtValue: 49,
  CreateCpuMemoryInfo: 69,
  ReleaseStatus: 93,
  ReleaseMemoryInfo: 94,
  ReleaseSession: 95,
  ReleaseValue: 96,
  ReleaseSessionOptions: 100,
  CreateEnvWithGlobalThreadPools: 119,
  DisablePerSessionThreads: 120,
  CreateThreadingOptions: 121,
  ReleaseThreadingOptions: 122,
  AddSessionConfigEntry: 130,
  CreateAndRegisterAllocator: 144,
  SetGlobalIntraOpNumThreads: 147,
  AddInitializer: 150,
  CreateArenaCfg: 156,
  ReleaseArenaCfg: 157,
  CreatePrepackedWeightsContainer: 166,
  ReleasePrepackedWeightsContainer: 167,
  CreateSessionFromArrayWithPrepackedWeightsContainer: 169,
} as const;

type Pointer = Deno.PointerValue;
const P = "pointer", B = "buffer", Z = "usize", I = "i32";
const RUN = [P, P, B, B, Z, B, Z, B] as const;

function packageFolder(): string {
  return dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
}

function libraryPath(): string {
  const folder = packageFolder();
  const { os, arch } = Deno.build;
  const platform = os === "windows" ? "win32" : os;
  const cpu = arch === "aarch64" ? "arm64" : "x64";
  const file = os === "windows"
    ? "onnxruntime.dll"
    : os === "darwin"
    ? "libonnxruntime.1.dylib"
    : "libonnxruntime.so.1";
  const path = join(folder, "bin", "napi-v6", platform, cpu, file);
  if (!existsSync(path)) {
    throw new Error(
      `Cannot load ONNX Runtime: no library for ${platform}/${cpu} in onnxruntime-node`,
    );
  }
  return path;
}

const text = (s: string) => new TextEncoder().encode(`${s}\0`);
const out = () => new BigUint64Array(1);
const pointer = (cell: BigUint64Array): Pointer => Deno.UnsafePointer.create(cell[0]);

/** The functions of the table, bound once for a runtime. */
function bindApi() {
  const library = Deno.dlopen(libraryPath(), {
    OrtGetApiBase: { parameters: [], result: "pointer" },
  });
  const base = new Deno.UnsafePointerView(library.symbols.OrtGetApiBase()!);
  const call = <A extends readonly Deno.NativeType[], R extends Deno.NativeResultType>(
    at: Pointer,
    parameters: A,
    result: R,
  ) => new Deno.UnsafeFnPointer(at as Deno.PointerObject<never>, { parameters, result });
  const table = call(base.getPointer(0), ["u32"], "pointer").call(API_VERSION) as Pointer;
  if (table === null) {
    throw new Error(`Cannot use ONNX Runtime: it does not know API version ${API_VERSION}`);
  }
  const version = Deno.UnsafePointerView.getCString(
    call(base.getPointer(8), [], "pointer").call() as Deno.PointerObject,
  );
  const view = new Deno.UnsafePointerView(table);
  const at = (slot: number) => view.getPointer(slot * 8) as Deno.PointerObject<never>;
  const message = call(at(SLOT.GetErrorMessage), [P], "pointer");
  const release = (slot: number) => {
    const f = call(at(slot), [P], "void");
    return (x: Pointer) => void f.call(x);
  };
  const releaseStatus = release(SLOT.ReleaseStatus);
  const check = (status: Pointer) => {
    if (status === null) return;
    const what = Deno.UnsafePointerView.getCString(message.call(status) as Deno.PointerObject);
    releaseStatus(status);
    throw new Error(`ONNX Runtime (ffi): ${what}`);
  };
  const checked = <A extends readonly Deno.NativeType[]>(slot: number, parameters: A) => {
    const f = call(at(slot), parameters, "pointer");
    return (...args: Deno.ToNativeParameterTypes<A>) => check(f.call(...args as never) as Pointer);
  };
  const session = [P, B, Z, P, P, B] as const;
  const createHere = checked(SLOT.CreateSessionFromArrayWithPrepackedWeightsContainer, session);
  const createOff = new Deno.UnsafeFnPointer(
    at(SLOT.CreateSessionFromArrayWithPrepackedWeightsContainer),
    { parameters: session, result: "pointer", nonblocking: true },
  );
  const runHere = checked(SLOT.Run, RUN);
  const runOff = new Deno.UnsafeFnPointer(at(SLOT.Run), {
    parameters: RUN,
    result: "pointer",
    nonblocking: true,
  });
  return {
    version,
    createEnv: checked(SLOT.CreateEnvWithGlobalThreadPools, [I, B, P, B]),
    createThreading: checked(SLOT.CreateThreadingOptions, [B]),
    setThreads: checked(SLOT.SetGlobalIntraOpNumThreads, [P, I]),
    shareThreads: checked(SLOT.DisablePerSessionThreads, [P]),
    createOptions: checked(SLOT.CreateSessionOptions, [B]),
    setEntry: checked(SLOT.AddSessionConfigEntry, [P, B, B]),
    createTensor: checked(SLOT.CreateTensorWithDataAsOrtValue, [P, B, Z, B, Z, I, B]),
    createMemoryInfo: checked(SLOT.CreateCpuMemoryInfo, [I, I, B]),
    forgetPattern: checked(SLOT.DisableMemPattern, [P]),
    createArena: checked(SLOT.CreateArenaCfg, [Z, I, I, I, B]),
    registerAllocator: checked(SLOT.CreateAndRegisterAllocator, [P, P, P]),
    addInitializer: checked(SLOT.AddInitializer, [P, B, P]),
    createContainer: checked(SLOT.CreatePrepackedWeightsContainer, [B]),
    createHere,
    createOff: async (...args: Parameters<typeof createOff.call>) =>
      check(await createOff.call(...args) as Pointer),
    runHere,
    runOff: async (...args: Parameters<typeof runOff.call>) =>
      check(await runOff.call(...args) as Pointer),
    releaseMemoryInfo: release(SLOT.ReleaseMemoryInfo),
    releaseSession: release(SLOT.ReleaseSession),
    releaseValue: release(SLOT.ReleaseValue),
    releaseOptions: release(SLOT.ReleaseSessionOptions),
    releaseThreading: release(SLOT.ReleaseThreadingOptions),
    releaseArena: release(SLOT.ReleaseArenaCfg),
    releaseContainer: release(SLOT.ReleasePrepackedWeightsContainer),
  };
}

type Api = ReturnType<typeof bindApi>;

/**
 * A native object with its owner and its users: released when the owner is done and no user is left, so that
 * disposing during a run, or a runtime before its sessions, frees nothing that native code still reads.
 */
class Handle implements Disposable {
  #cell: BigUint64Array;
  #release: (x: Pointer) => void;
  #users = 1;
  #closed = false;
  constructor(
    readonly what: string,
    { cell, release }: { cell: BigUint64Array; release: (x: Pointer) => void },
  ) {
    this.#cell = cell;
    this.#release = release;
  }
  get address(): bigint {
    if (this.#closed) throw new Error(`Cannot use a disposed ONNX ${this.what}`);
    return this.#cell[0];
  }
  get pointer(): Pointer {
    return Deno.UnsafePointer.create(this.address);
  }
  /** Keeps the object until `drop`. @throws when its owner has disposed of it. */
  hold(): bigint {
    const { address } = this;
    this.#users++;
    return address;
  }
  drop(): void {
    if (--this.#users === 0) this.#release(pointer(this.#cell));
  }
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.drop();
  }
}

class FfiValue implements OrtValue {
  readonly handle: Handle;
  constructor(
    api: Api,
    memory: Pointer,
    readonly data: OrtArray,
    readonly shape: readonly number[],
    readonly type: OrtType,
  ) {
    checkValue(data, { shape, type });
    const cell = out();
    api.createTensor(
      memory,
      data as BufferSource,
      BigInt(data.byteLength),
      BigInt64Array.from(shape.map(BigInt)),
      BigInt(shape.length),
      ONNX_TYPE[type],
      cell,
    );
    this.handle = new Handle("value", { cell, release: api.releaseValue });
  }
  [Symbol.dispose](): void {
    this.handle[Symbol.dispose]();
  }
}

/** C strings and the array of their addresses; both must outlive the calls that use them. */
class Names {
  readonly addresses: BigUint64Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>[];
  constructor(names: readonly string[]) {
    this.bytes = names.map(text);
    this.addresses = BigUint64Array.from(
      this.bytes.map((b) => Deno.UnsafePointer.value(Deno.UnsafePointer.of(b))),
    );
  }
}

/** What native code is using: nothing here may be collected before its run has ended. */
const inFlight = new Set<unknown>();

class FfiSession implements OrtSession {
  #api: Api;
  #handle: Handle;
  #options: SessionOptions;
  #inputs: Names;
  #outputs: Names;
  /** Memory of initialisers from outside, read by every run: kept as long as the session. */
  readonly weights: readonly OrtArray[];
  constructor(api: Api, handle: Handle, options: SessionOptions) {
    this.#api = api;
    this.#handle = handle;
    this.#options = options;
    this.weights = [...options.weights?.values() ?? []].map((v) => v.data);
    this.#inputs = new Names(options.inputs);
    this.#outputs = new Names(options.outputs);
  }
  async run(inputs: readonly OrtValue[], outputs: readonly OrtValue[]): Promise<void> {
    checkRun(this.#options, { inputs, outputs });
    const held: Handle[] = [];
    const hold = (handle: Handle) => {
      const address = handle.hold();
      held.push(handle);
      return address;
    };
    const used: unknown[] = [this, ...inputs, ...outputs];
    inFlight.add(used);
    try {
      const session = Deno.UnsafePointer.create(hold(this.#handle));
      const addresses = (values: readonly OrtValue[]) =>
        BigUint64Array.from(values, (v) => hold((v as FfiValue).handle));
      const given = addresses(inputs), wanted = addresses(outputs);
      used.push(given, wanted);
      const args = [
        session,
        null,
        this.#inputs.addresses,
        given,
        BigInt(given.length),
        this.#outputs.addresses,
        BigInt(wanted.length),
        wanted,
      ] as const;
      if (this.#options.short) this.#api.runHere(...args);
      else await this.#api.runOff(...args);
    } finally {
      inFlight.delete(used);
      for (const handle of held) handle.drop();
    }
  }
  [Symbol.dispose](): void {
    this.#handle[Symbol.dispose]();
  }
}

/** Milliseconds between two times that pages are given back: some hundred megabytes are read in it at most. */
const GIVE_BACK = 20;

/** Waits for work that reads mapped data once, and gives its pages back meanwhile and afterwards. */
async function givingBack(data: readonly OrtArray[], work: Promise<void>): Promise<void> {
  const give = () => data.forEach((d) => givePagesBack(d as HostArray));
  const timer = setInterval(give, GIVE_BACK);
  try {
    await work;
  } finally {
    clearInterval(timer);
    give();
  }
}

/** The FFI runner: one environment, one container of packed weights. */
export class FfiRuntime implements OrtRuntime {
  readonly name = "ffi";
  readonly version: string;
  #api: Api;
  #env: BigUint64Array;
  #memory: Handle;
  #container: Handle;

  private constructor(api: Api, threads: number) {
    this.#api = api;
    this.version = api.version;
    const env = out(), memory = out(), container = out(), threading = out();
    // Errors are thrown; the library need not print them as well.
    const fatalOnly = 4, arenaAllocator = 1, defaultMemory = 0;
    // One pool for all sessions: with a pool each, the threads of one spin while another wants the cores
    // (drafting and verifying in turn took four times as long). The process has one environment, so the
    // first runtime opened decides the number of threads, and it is never released: the Node binding would
    // then make one without a pool, in which no session of this runner can be made.
    api.createThreading(threading);
    api.setThreads(pointer(threading), threads);
    api.createEnv(fatalOnly, text("griffin"), pointer(threading), env);
    api.releaseThreading(pointer(threading));
    this.#env = env;
    api.createMemoryInfo(arenaAllocator, defaultMemory, memory);
    this.#memory = new Handle("runtime", { cell: memory, release: api.releaseMemoryInfo });
    // The pool of memory that lean sessions have together; the defaults are those of a session's own.
    const arena = out();
    api.createArena(0n, -1, -1, -1, arena);
    api.registerAllocator(pointer(env), pointer(memory), pointer(arena));
    api.releaseArena(pointer(arena));
    api.createContainer(container);
    this.#container = new Handle("runtime", { cell: container, release: api.releaseContainer });
  }

  static open(threads: number): FfiRuntime {
    return new FfiRuntime(bindApi(), threads);
  }

  value(data: OrtArray, shape: readonly number[], type: OrtType): OrtValue {
    return new FfiValue(this.#api, this.#memory.pointer, data, shape, type);
  }

  async session(model: OnnxModel, options: SessionOptions): Promise<OrtSession> {
    checkWeights(model, options.weights);
    const api = this.#api, container = this.#container;
    const settings = out(), cell = out(), bytes = encodeModel(model);
    // Packed weights live in the container: a session keeps it, whatever is disposed of first.
    const packed = Deno.UnsafePointer.create(container.hold());
    const release = (made: Pointer) => {
      api.releaseSession(made);
      container.drop();
    };
    try {
      api.createOptions(settings);
      const at = pointer(settings);
      api.shareThreads(at);
      // Where SUPPLIED_LATER, which initialisers without data name, is looked for.
      if (options.lean) {
        api.setEntry(at, text("session.use_env_allocators"), text("1"));
        api.forgetPattern(at);
      }
      const folder = text("session.model_external_initializers_file_folder_path");
      api.setEntry(at, folder, text(packageFolder()));
      for (const [name, value] of options.weights ?? []) {
        api.addInitializer(at, text(name), (value as FfiValue).handle.pointer);
      }
      const args = [pointer(this.#env), bytes, BigInt(bytes.length), at, packed, cell] as const;
      if (options.mapped) {
        const weights = [...options.weights?.values() ?? []];
        await givingBack(weights.map(({ data }) => data), api.createOff(...args));
      } else api.createHere(...args);
    } catch (cause) {
      container.drop();
      throw cause;
    } finally {
      api.releaseOptions(pointer(settings));
    }
    return new FfiSession(api, new Handle("session", { cell, release }), options);
  }

  [Symbol.dispose](): void {
    for (const handle of [this.#container, this.#memory]) handle[Symbol.dispose]();
  }
}
