/**
 * One Program as a part of another: its graph again, with some of its inputs replaced by nodes. So a Program that
 * the host feeds step by step becomes a step of a larger one, and no model is written twice.
 */
import { isOp, makeNode, type Node, type OpName, sameShape, showShape } from "./node.ts";
import type { Program } from "./program.ts";

/**
 * The outputs and updates of `program` after replacing the inputs named in `given`; other inputs stay inputs.
 * @throws when there is no such input, or a node has another shape or type than the input it replaces.
 */
export function inline(
  program: Program,
  given: Readonly<Record<string, Node>>,
): { outputs: Record<string, Node>; updates: Record<string, Node> } {
  for (const [name, node] of Object.entries(given)) {
    const old = program.inputs[name];
    if (old !== undefined && old.dtype === node.dtype && sameShape(old.shape, node.shape)) continue;
    throw new Error(
      `Cannot replace input ${name} by ${node.dtype} ${showShape(node.shape)}: ${
        old === undefined ? "no input has that name" : `wanted ${old.dtype} ${showShape(old.shape)}`
      }`,
    );
  }
  const placed = new Map<Node, Node>();
  for (const n of program.order) {
    const replaced = isOp(n, "input") ? given[n.attrs.name] : undefined;
    const inputs = n.inputs.map((x) => placed.get(x)!);
    const same = inputs.every((x, i) => x === n.inputs[i]);
    const { shape, dtype, parts } = n;
    placed.set(
      n,
      replaced ?? (same ? n : makeNode(n.op as OpName, inputs, n.attrs, { shape, dtype, parts })),
    );
  }
  const take = (nodes: Readonly<Record<string, Node>>) =>
    Object.fromEntries(Object.entries(nodes).map(([name, n]) => [name, placed.get(n)!]));
  return { outputs: take(program.outputs), updates: take(program.updates) };
}
