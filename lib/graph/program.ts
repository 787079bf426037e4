/**
 * A Program: named inputs to named outputs, plus named updates (a parameter, a moment, a cache that the
 * run replaces in place). It is the whole contract between models and backends: plain data, no tensors.
 * Next on the walk: `lib/backend/backend.ts`.
 */
import { type HostArray, isOp, makeNode, type Node, type OpName, sameShape } from "./node.ts";

/** A closed graph. `order` lists every node after its inputs. */
export interface Program {
  readonly inputs: Readonly<Record<string, Node<"input">>>;
  readonly outputs: Readonly<Record<string, Node>>;
  /** Input name -> its new value, written over the tensor that was passed in. */
  readonly updates: Readonly<Record<string, Node>>;
  readonly order: readonly Node[];
}

/** Every node the results need, inputs before users; does not go beyond `stops`. */
export function topological(
  results: readonly Node[],
  stops: ReadonlySet<Node> = new Set(),
): Node[] {
  const order: Node[] = [], seen = new Set<Node>();
  const stack: { node: Node; next: number }[] = [];
  for (const r of results) {
    if (!seen.has(r)) stack.push({ node: r, next: 0 });
    seen.add(r);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      const inputs = stops.has(top.node) ? [] : top.node.inputs;
      if (top.next < inputs.length) {
        const x = inputs[top.next++];
        if (!seen.has(x)) {
          seen.add(x);
          stack.push({ node: x, next: 0 });
        }
      } else {
        order.push(top.node);
        stack.pop();
      }
    }
  }
  return order;
}

/**
 * Closes a graph: finds its inputs, computes equal subexpressions once, checks names.
 * @throws on two inputs of one name, or an update of another shape or type than its input.
 */
export function program(
  outputs: Record<string, Node>,
  { updates = {} }: { updates?: Record<string, Node> } = {},
): Program {
  const results = [...Object.values(outputs), ...Object.values(updates)];
  const merged = mergeEqual(results);
  const take = (nodes: Record<string, Node>) =>
    Object.fromEntries(Object.entries(nodes).map(([name, n]) => [name, merged.get(n)!]));
  const newOutputs = take(outputs), newUpdates = take(updates);
  const order = topological([...Object.values(newOutputs), ...Object.values(newUpdates)]);
  const inputs: Record<string, Node<"input">> = {};
  for (const n of order) {
    if (!isOp(n, "input")) continue;
    if (inputs[n.attrs.name] !== undefined) {
      throw new Error(`Cannot close a program with two different inputs named ${n.attrs.name}`);
    }
    inputs[n.attrs.name] = n;
  }
  for (const [name, n] of Object.entries(newUpdates)) {
    const old = inputs[name];
    if (old === undefined || String(old.shape) !== String(n.shape) || old.dtype !== n.dtype) {
      throw new Error(
        `Cannot update ${name} with a value ${n.dtype} [${n.shape}]: ${
          old ? `the input is ${old.dtype} [${old.shape}]` : "no input has that name"
        }`,
      );
    }
  }
  return { inputs, outputs: newOutputs, updates: newUpdates, order };
}

/** Inputs of an elementwise op, without broadcasts that the op makes by itself. */
function withoutBroadcasts(n: Node, inputs: readonly Node[]): readonly Node[] {
  if (n.op !== "binary") return inputs;
  const strip = (x: Node, other: Node) =>
    x.op === "broadcast" && sameShape(other.shape, n.shape) ? x.inputs[0] : x;
  const [a, b] = inputs, left = strip(a, b);
  return [left, strip(b, left)];
}

/** Maps each node to a representative of all nodes that compute the same thing. */
export function mergeEqual(results: readonly Node[]): Map<Node, Node> {
  const byKey = new Map<string, Node>(), merged = new Map<Node, Node>();
  const arrays = new Map<HostArray, number>();
  for (const n of topological(results)) {
    const inputs = withoutBroadcasts(n, n.inputs.map((x) => merged.get(x)!));
    const attrs = JSON.stringify(n.attrs, (_, v) => {
      // JSON writes -0 as 0, and both infinities and NaN as null.
      if (typeof v === "number") return Object.is(v, -0) ? "-0" : String(v);
      if (!ArrayBuffer.isView(v)) return v;
      const array = v as HostArray;
      if (!arrays.has(array)) arrays.set(array, arrays.size);
      return `array ${arrays.get(array)}`;
    });
    const key = `${n.op} ${attrs} ${n.dtype} ${n.shape} ${inputs.map((x) => x.id)}`;
    let kept = byKey.get(key);
    if (kept === undefined) {
      kept = inputs.every((x, i) => x === n.inputs[i])
        ? n
        : makeNode(n.op as OpName, inputs, n.attrs, {
          shape: n.shape,
          dtype: n.dtype,
          parts: n.parts,
        });
      byKey.set(key, kept);
    }
    merged.set(n, kept);
  }
  return merged;
}

/** Does `node` depend on `source`? */
export function dependsOn(node: Node, source: Node): boolean {
  return topological([node]).includes(source);
}

/** The program as text, one line a node; for reading, not for parsing. */
export function printProgram({ order, outputs, updates }: Program): string {
  const names = new Map(order.map((n, i) => [n, `%${i}`]));
  const lines = order.map((n) => {
    const attrs = Object.entries(n.attrs).map(([k, v]) =>
      `${k}=${ArrayBuffer.isView(v) ? "..." : JSON.stringify(v)}`
    );
    const args = [...n.inputs.map((x) => names.get(x)), ...attrs].join(", ");
    return `${names.get(n)} = ${n.op}(${args})  // ${n.dtype}[${n.shape}]`;
  });
  const ends = Object.entries(outputs).map(([k, n]) => `output ${k} = ${names.get(n)}`);
  const news = Object.entries(updates).map(([k, n]) => `update ${k} = ${names.get(n)}`);
  return [...lines, ...ends, ...news].join("\n");
}
