/**
 * The contract of a backend: it compiles Programs and holds Tensors. Three ways to run the same Program:
 * `reference.ts` (float64, the definition), `onnx/` (the CPU), and WebGPU kernels. Models never import a
 * backend; they are handed one.
 */
import { type DType, type HostArray, type Shape, sizeOf, zeroArray } from "../graph/node.ts";
import type { Program } from "../graph/program.ts";

/** A value that lives on a backend. Dispose it when done; a disposed tensor must not be used. */
export interface Tensor extends Disposable {
  readonly shape: Shape;
  readonly dtype: DType;
  /** The elements. On the CPU this is the live memory, valid until the next run that writes the tensor. */
  read(): Promise<HostArray>;
  /** The live memory where it can be seen by the host (CPU backends), else undefined. */
  readonly host: HostArray | undefined;
  /**
   * Where the host does not see the memory of a cache [.., C, K]: of its rows from `from` on, keeps those at the
   * given offsets (ascending), moved together.
   */
  keepRows?(from: number, offsets: ArrayLike<number>): void;
}

/** Tensors by name: parameters of a model as in its checkpoint, or the inputs of a run. */
export type Params = Record<string, Tensor>;

/** A compiled Program. */
export interface Executable extends Disposable {
  /**
   * Runs once. Every input of the program that was not bound as a weight must be given. Updates are
   * written to the given tensors. Returned tensors belong to the executable and are overwritten by its
   * next run.
   */
  run(inputs: Params): Promise<Params>;
}

/** Compiles Programs and makes Tensors. */
export interface Backend extends Disposable {
  readonly name: string;
  /** Does the host see the memory of its tensors? */
  readonly hostVisible: boolean;
  /** A tensor over host data (f16 as bits); CPU backends take the array over without copying. */
  tensor(data: HostArray, shape: Shape): Tensor;
  /**
   * A weight of a model too large to be held twice: like `tensor`, but `data` may be moved (it is empty then), on the
   * CPU to a file without a name that is mapped, since Programs keep packed copies of what they read.
   */
  weight?(data: HostArray, shape: Shape): Tensor;
  /** An input that the host goes on writing: every run sees what is in its `host` array by then. */
  shared(data: HostArray, shape: Shape): Tensor;
  /**
   * Compiles. Inputs named in `weights` are bound for good (an ONNX initialiser, prepacked once and shared
   * by all programs that bind the same tensor) and may not be updated.
   */
  compile(program: Program, options?: { weights?: Params }): Promise<Executable>;
}

/** An all-zero tensor. */
export function zeros(
  backend: Backend,
  shape: Shape,
  { dtype = "f32" }: { dtype?: DType } = {},
): Tensor {
  return backend.tensor(zeroArray(dtype, sizeOf(shape)), shape);
}

/** The elements of tensors by name, read together: a device is waited for once. */
export async function readAll(tensors: Params): Promise<Record<string, HostArray>> {
  const read = Object.entries(tensors).map(async ([name, t]) => [name, t.host ?? await t.read()]);
  return Object.fromEntries(await Promise.all(read));
}

/** Checks the inputs of a run against the program: one error naming input, found and wanted. */
export function checkInputs(program: Program, inputs: Params, bound: Params = {}): void {
  for (const [name, node] of Object.entries(program.inputs)) {
    const tensor = inputs[name] ?? bound[name];
    if (tensor === undefined) throw new Error(`Cannot run: input ${name} is missing`);
    if (String(tensor.shape) !== String(node.shape) || tensor.dtype !== node.dtype) {
      throw new Error(
        `Cannot run: input ${name} is ${tensor.dtype} [${tensor.shape}], wanted ${node.dtype} [${node.shape}]`,
      );
    }
  }
}
