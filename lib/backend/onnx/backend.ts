/**
 * The CPU backend: Programs lowered to ONNX and run by ONNX Runtime. Tensors are host memory; updates are
 * written in place where that is safe and into a second buffer otherwise. Lowering is in `lower.ts`.
 */
import {
  dtypeOf,
  type HostArray,
  type Node,
  type Shape,
  sizeOf,
  zeroArray,
} from "../../graph/node.ts";
import { bytesOfValue } from "../../graph/count.ts";
import type { Program } from "../../graph/program.ts";
import {
  type Backend,
  checkInputs,
  type Executable,
  type Params,
  type Tensor,
} from "../backend.ts";
import { moveToFile } from "./mapped.ts";
import { lower } from "./lower.ts";
import { openRuntime, type OrtRuntime, type OrtValue, type RunnerName } from "./runtime.ts";

class OnnxTensor implements Tensor {
  /** Do its elements lie in a file? */
  mapped = false;
  #value: OrtValue;
  /** A second buffer of the same size, for updates that may not overwrite what they read. */
  #spare: OrtValue | undefined;
  readonly dtype: Tensor["dtype"];
  constructor(readonly runtime: OrtRuntime, value: OrtValue, readonly shape: Shape) {
    this.#value = value;
    this.dtype = value.type as Tensor["dtype"];
  }
  get value(): OrtValue {
    return this.#value;
  }
  get host(): HostArray {
    return this.#value.data as HostArray;
  }
  read(): Promise<HostArray> {
    return Promise.resolve(this.host);
  }
  spare(): OrtValue {
    this.#spare ??= this.runtime.value(this.host.slice(), this.shape, this.#value.type);
    return this.#spare;
  }
  swap(): void {
    [this.#value, this.#spare] = [this.spare(), this.#value];
  }
  [Symbol.dispose](): void {
    this.#value[Symbol.dispose]();
    this.#spare?.[Symbol.dispose]();
  }
}

/** Ops whose result at an index depends on the inputs at that index only: they may write over an input. */
const POINTWISE: ReadonlySet<string> = new Set(["unary", "binary", "where"]);

/**
 * May the update be written over the input while the program runs? Yes when the op that makes the update is
 * the input's only reader and reads an element no later than it writes it, and nobody else is to receive
 * the old value.
 */
export function updatesInPlace(program: Program, name: string): boolean {
  const source: Node = program.inputs[name], result = program.updates[name];
  const producer = result.op === "pick" ? result.inputs[0] : result;
  const others = Object.entries(program.updates).filter(([k]) => k !== name).map(([, n]) => n);
  if ([...Object.values(program.outputs), ...others].includes(source)) return false;
  // Attention shares past and present caches by contract. AdamW reads a moment once, before it writes it;
  // the parameter it reads again.
  const safe = producer.op === "treeAttention" || POINTWISE.has(producer.op) ||
    (producer.op === "adamw" && producer.inputs.indexOf(source) >= 2);
  return safe && program.order.every((n) => n === producer || !n.inputs.includes(source));
}

/** Where weights of large models lie while they are used: a file without a name in the folder of runs. */
const SCRATCH = "runs";

/** Weights of a Program whose runs are short. */
const SHORT_BYTES = 400e6;

/** Inputs of a training step, parameters among them, whose temporaries are as large. */
const LEAN_BYTES = 400e6;

/** The backend with the runner it uses. */
export interface OnnxBackend extends Backend {
  readonly runner: RunnerName;
  readonly version: string;
}

/** Opens the CPU backend. @throws when ONNX Runtime cannot be loaded. */
export async function openOnnxBackend(
  options: { runner?: RunnerName; threads?: number } = {},
): Promise<OnnxBackend> {
  const runtime = await openRuntime(options);
  const tensor = (data: HostArray, shape: Shape) =>
    new OnnxTensor(runtime, runtime.value(data, shape, dtypeOf(data)), shape);
  const weight = (data: HostArray, shape: Shape) => {
    const moved = runtime.name === "ffi" ? moveToFile(data, { folder: SCRATCH }) : data;
    const made = tensor(moved, shape);
    made.mapped = moved !== data;
    return made;
  };
  const allocate = ({ shape, dtype }: Node) => {
    const data = zeroArray(dtype, sizeOf(shape));
    return new OnnxTensor(runtime, runtime.value(data, shape, dtype), shape);
  };

  async function compile(
    program: Program,
    { weights = {} }: { weights?: Params } = {},
  ): Promise<Executable> {
    const bound = Object.fromEntries(
      Object.keys(program.inputs).filter((n) => weights[n] !== undefined).map((
        n,
      ) => [n, weights[n]]),
    );
    const fixed = Object.keys(program.updates).find((name) => bound[name] !== undefined);
    if (fixed !== undefined) throw new Error(`Cannot update ${fixed}: it is bound as a weight`);
    checkInputs({ ...program, inputs: pickInputs(program, Object.keys(bound)) }, bound);
    const { model, inputNames, outputNames } = lower(program, new Set(Object.keys(bound)));
    const bytes = Object.values(bound).reduce((n, t) => n + t.host!.byteLength, 0);
    const inputBytes = bytes > 0
      ? 0
      : Object.values(program.inputs).reduce((n, input) => n + bytesOfValue(input), 0);
    const session = await runtime.session(model, {
      inputs: inputNames,
      outputs: outputNames,
      // Decoding with weights that are read in milliseconds; training (no bound weights) is not short.
      short: bytes > 0 && bytes < SHORT_BYTES,
      lean: inputBytes >= LEAN_BYTES,
      mapped: Object.values(bound).some((t) => (t as OnnxTensor).mapped),
      weights: new Map(Object.entries(bound).map(([n, t]) => [n, (t as OnnxTensor).value])),
    });
    const outputs = Object.fromEntries(
      Object.entries(program.outputs).map(([name, n]) => [name, allocate(n)]),
    );
    const inPlace = new Map(
      Object.keys(program.updates).map((name) => [name, updatesInPlace(program, name)]),
    );
    return {
      async run(inputs) {
        checkInputs(program, inputs, bound);
        const given = inputNames.map((name) => (inputs[name] as OnnxTensor).value);
        const news = [...inPlace].map(([name, same]) => {
          const t = inputs[name] as OnnxTensor;
          return same ? t.value : t.spare();
        });
        await session.run(given, [...Object.values(outputs).map((t) => t.value), ...news]);
        for (const [name, same] of inPlace) if (!same) (inputs[name] as OnnxTensor).swap();
        return outputs;
      },
      [Symbol.dispose]() {
        session[Symbol.dispose]();
        for (const t of Object.values(outputs)) t[Symbol.dispose]();
      },
    };
  }

  return {
    name: `onnx (${runtime.name})`,
    hostVisible: true,
    runner: runtime.name,
    version: runtime.version,
    tensor,
    weight,
    shared: tensor,
    compile,
    [Symbol.dispose]: () => runtime[Symbol.dispose](),
  };
}

function pickInputs(program: Program, names: readonly string[]): Program["inputs"] {
  return Object.fromEntries(names.map((n) => [n, program.inputs[n]]));
}
