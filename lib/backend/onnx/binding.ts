/**
 * ONNX Runtime through the API of npm:onnxruntime-node: the fallback where FFI cannot be used, and the
 * second opinion in tests. It copies every output and blocks the thread; results must be the same.
 */
import { checkRun, checkValue, checkWeights } from "./check.ts";
import { encodeModel, type OnnxModel } from "./protobuf.ts";
import type {
  OrtArray,
  OrtRuntime,
  OrtSession,
  OrtType,
  OrtValue,
  SessionOptions,
} from "./runtime.ts";

type Ort = typeof import("onnxruntime-node");
type Tensor = InstanceType<Ort["Tensor"]>;
type Fallback = Pick<OrtRuntime, "fallbackFrom">;

const TYPE: Record<OrtType, string> = {
  f32: "float32",
  f16: "float16",
  i32: "int32",
  i64: "int64",
  bool: "bool",
  u8: "uint8",
  i8: "int8",
};

/** Errors are thrown; the library need not print them as well. */
const FATAL_ONLY = 4;

class HostValue implements OrtValue {
  #disposed = false;
  constructor(
    readonly data: OrtArray,
    readonly shape: readonly number[],
    readonly type: OrtType,
  ) {
    checkValue(data, { shape, type });
  }
  get disposed(): boolean {
    return this.#disposed;
  }
  [Symbol.dispose](): void {
    this.#disposed = true;
  }
}

const bytesOf = (a: ArrayBufferView) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);

async function named<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw new Error(`ONNX Runtime (binding): ${(cause as Error).message}`, { cause });
  }
}

/** The Node binding as a runner. */
export class BindingRuntime implements OrtRuntime {
  readonly name = "binding";
  readonly version: string;
  readonly fallbackFrom: unknown;
  #ort: Ort;
  #threads: number;
  #disposed = false;

  private constructor(ort: Ort, { threads, fallbackFrom }: { threads: number } & Fallback) {
    this.#ort = ort;
    this.#threads = threads;
    this.fallbackFrom = fallbackFrom;
    this.version = ort.env.versions.node ?? ort.env.versions.common ?? "unknown";
  }

  static async open(threads: number, { fallbackFrom }: Fallback = {}): Promise<BindingRuntime> {
    const module = await import("onnxruntime-node");
    const ort = ((module as { default?: Ort }).default ?? module) as Ort;
    return new BindingRuntime(ort, { threads, fallbackFrom });
  }

  value(data: OrtArray, shape: readonly number[], type: OrtType): OrtValue {
    if (this.#disposed) throw new Error("Cannot use a disposed ONNX runtime");
    return new HostValue(data, shape, type);
  }

  /** The binding's view of a value; the memory is the host's. */
  #tensor({ data, shape, type }: OrtValue): Tensor {
    // The binding types its arrays by element name; `checkValue` has made sure of the pair.
    const make = this.#ort.Tensor as unknown as new (
      type: string,
      data: OrtArray,
      shape: readonly number[],
    ) => Tensor & { cpuData: OrtArray };
    const tensor = new make(TYPE[type], data, shape);
    // It wraps f16 in a Float16Array, which its own native half does not know under Deno; bits it does.
    if (type === "f16") tensor.cpuData = data;
    return tensor;
  }

  async session(model: OnnxModel, options: SessionOptions): Promise<OrtSession> {
    if (this.#disposed) throw new Error("Cannot use a disposed ONNX runtime");
    checkWeights(model, options.weights);
    // No initialisers from outside here: their data goes into the model.
    const initializers = model.initializers.map((t) => ({
      ...t,
      data: t.data ?? options.weights?.get(t.name)?.data,
    }));
    const bytes = encodeModel({ ...model, initializers });
    const session = await named(
      this.#ort.InferenceSession.create(bytes, {
        intraOpNumThreads: this.#threads,
        logSeverityLevel: FATAL_ONLY,
      }),
    );
    const tensor = (v: OrtValue) => this.#tensor(v);
    let open = true;
    return {
      async run(inputs, outputs) {
        if (!open) throw new Error("Cannot use a disposed ONNX session");
        checkRun(options, { inputs, outputs });
        if ([...inputs, ...outputs].some((v) => (v as HostValue).disposed)) {
          throw new Error("Cannot use a disposed ONNX value");
        }
        const feeds = Object.fromEntries(inputs.map((v, i) => [options.inputs[i], tensor(v)]));
        const results = await named(
          session.run(feeds, options.outputs, { logSeverityLevel: FATAL_ONLY }),
        );
        for (const [i, { data, shape, type }] of outputs.entries()) {
          const name = options.outputs[i], result = results[name] as Tensor;
          if (result.type !== TYPE[type] || `${result.dims}` !== `${shape}`) {
            throw new Error(
              `ONNX Runtime (binding): output ${name} is ${result.type} [${result.dims}], ` +
                `wanted ${TYPE[type]} [${shape}]`,
            );
          }
          bytesOf(data).set(bytesOf(result.data as ArrayBufferView));
        }
      },
      [Symbol.dispose]() {
        if (open) void session.release();
        open = false;
      },
    };
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
  }
}
