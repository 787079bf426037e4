/**
 * ONNX Runtime through the API of npm:onnxruntime-node: the fallback where FFI cannot be used, and the
 * second opinion in tests. It copies every output and blocks the thread; results must be the same.
 */
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
const TYPE: Record<OrtType, string> = {
  f32: "float32",
  f16: "float16",
  i32: "int32",
  i64: "int64",
  bool: "bool",
  u8: "uint8",
  i8: "int8",
};

class HostValue implements OrtValue {
  constructor(
    readonly data: OrtArray,
    readonly shape: readonly number[],
    readonly type: OrtType,
  ) {}
  [Symbol.dispose](): void {}
}

/** The Node binding as a runner. */
export class BindingRuntime implements OrtRuntime {
  readonly name = "binding";
  readonly version: string;
  #ort: Ort;
  #threads: number;

  private constructor(ort: Ort, threads: number) {
    this.#ort = ort;
    this.#threads = threads;
    this.version = ort.env.versions.common ?? "unknown";
  }

  static async open(threads: number): Promise<BindingRuntime> {
    const module = await import("onnxruntime-node");
    return new BindingRuntime(((module as { default?: Ort }).default ?? module) as Ort, threads);
  }

  value(data: OrtArray, shape: readonly number[], type: OrtType): OrtValue {
    return new HostValue(data, shape, type);
  }

  async session(model: OnnxModel, options: SessionOptions): Promise<OrtSession> {
    // No initialisers from outside here: their data goes into the model.
    const initializers = model.initializers.map((t) => ({
      ...t,
      data: t.data ?? options.weights?.get(t.name)?.data,
    }));
    const ort = this.#ort;
    const session = await ort.InferenceSession.create(encodeModel({ ...model, initializers }), {
      intraOpNumThreads: this.#threads,
      logSeverityLevel: 3,
    });
    let open = true;
    return {
      async run(inputs, outputs) {
        if (!open) throw new Error("Cannot run a disposed ONNX session");
        const tensor = ({ data, shape, type }: OrtValue) =>
          // The binding types its arrays by element name; the pair is right by construction.
          new (ort.Tensor as unknown as new (
            t: string,
            d: OrtArray,
            s: readonly number[],
          ) => never)(
            TYPE[type],
            data,
            shape,
          );
        const feeds = Object.fromEntries(inputs.map((v, i) => [options.inputs[i], tensor(v)]));
        let results: Awaited<ReturnType<typeof session.run>>;
        try {
          results = await session.run(feeds);
        } catch (cause) {
          throw new Error(`ONNX Runtime (binding): ${(cause as Error).message}`, { cause });
        }
        outputs.forEach((v, i) => {
          v.data.set(results[options.outputs[i]].data as never);
        });
      },
      [Symbol.dispose]() {
        if (open) void session.release();
        open = false;
      },
    };
  }

  [Symbol.dispose](): void {}
}
