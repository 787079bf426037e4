/**
 * An exported ONNX file as a stranger runs it: bytes in, the InferenceSession of npm:onnxruntime-node, no code
 * of ours. Holds no test; the tests of ONNX exports use it.
 */
type Ort = typeof import("onnxruntime-node");

type Types = "float32" | "int32";
export type Feeds = Record<string, { data: Float32Array | Int32Array; shape: readonly number[] }>;

/** A session on two arrays and nothing else. */
export async function openExported(bytes: Uint8Array): Promise<
  {
    inputs: readonly string[];
    outputs: readonly string[];
    run(feeds: Feeds): Promise<Record<string, ArrayLike<number>>>;
  } & AsyncDisposable
> {
  const module = await import("onnxruntime-node");
  const ort = ((module as { default?: Ort }).default ?? module) as Ort;
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    async run(feeds) {
      const make = ort.Tensor as unknown as new (
        type: Types,
        data: Float32Array | Int32Array,
        shape: readonly number[],
      ) => InstanceType<Ort["Tensor"]>;
      const tensors = Object.fromEntries(
        Object.entries(feeds).map(([name, { data, shape }]) => [
          name,
          new make(data instanceof Float32Array ? "float32" : "int32", data, shape),
        ]),
      );
      const found = await session.run(tensors);
      return Object.fromEntries(
        Object.entries(found).map(([name, t]) => [name, t.data as ArrayLike<number>]),
      );
    },
    [Symbol.asyncDispose]: () => session.release(),
  };
}

/** Operators of a model file by name: they stand in it as plain text, each node named after its own. */
export function mentions(bytes: Uint8Array, text: string): boolean {
  return new TextDecoder("latin1").decode(bytes).includes(text);
}
