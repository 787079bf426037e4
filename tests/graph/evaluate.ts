/**
 * Evaluates nodes in float64 with the reference backend, and makes data for it: for the tests beside this
 * file, which say what graphs mean. Not a test itself.
 */
import { referenceBackend } from "../../lib/backend/reference.ts";
import { type Node, type Shape, sizeOf } from "../../lib/graph/node.ts";
import { program } from "../../lib/graph/program.ts";
import { random } from "../../lib/random.ts";

/** A function of named values in float64; integer arrays are i32 inputs. */
export type Evaluated = (
  inputs?: Record<string, Float64Array | Int32Array | Uint8Array>,
) => Promise<Record<string, Float64Array>>;

/** Compiles nodes for the reference backend; each call computes all of them without rounding. */
export async function evaluator(nodes: Record<string, Node>): Promise<Evaluated> {
  const backend = referenceBackend(), closed = program(nodes);
  const executable = await backend.compile(closed);
  return async (inputs = {}) => {
    const tensors = Object.fromEntries(
      Object.entries(closed.inputs).map(([name, n]) => {
        const data = inputs[name];
        const tensor = data instanceof Float64Array
          ? backend.exact(data, n.shape)
          : backend.tensor(data, n.shape);
        return [name, tensor];
      }),
    );
    const results = await executable.run(tensors);
    return Object.fromEntries(Object.entries(results).map(([name, t]) => [name, t.exact]));
  };
}

/** The values of one node. */
export async function valueOf(
  node: Node,
  inputs: Record<string, Float64Array | Int32Array | Uint8Array> = {},
): Promise<number[]> {
  const run = await evaluator({ node });
  return [...(await run(inputs)).node];
}

/** Random values with magnitudes in [0.1, size), of either sign unless `positive`: never near zero. */
export function values(
  shape: Shape,
  name: string,
  { positive = false, size = 1.9 }: { positive?: boolean; size?: number } = {},
): Float64Array {
  const source = random(11, name);
  return Float64Array.from({ length: sizeOf(shape) }, () => {
    const magnitude = 0.1 + (size - 0.1) * source.uniform();
    return positive || source.uniform() < 0.5 ? magnitude : -magnitude;
  });
}

/** Random integers in [0, below). */
export function integers(shape: Shape, name: string, { below }: { below: number }): Int32Array {
  const source = random(12, name);
  return Int32Array.from({ length: sizeOf(shape) }, () => source.integer(below));
}
