/**
 * A Program as a backend runs it: primitives in order, composites replaced by their expansions except those that
 * the backend computes itself. It computes nothing. Who walks the steps: `backend/reference.ts` and
 * `backend/webgpu/lower.ts`.
 */
import { expand, isComposite } from "./composites.ts";
import { isOp, type Node } from "./node.ts";
import { type Program, topological } from "./program.ts";

/** One result of a step: several where a kept composite has parts. */
export interface Part {
  readonly step: Node;
  readonly index: number;
}

/** Steps with their inputs first, and where each node's results stand. */
export interface Flat {
  readonly steps: readonly Node[];
  readonly results: ReadonlyMap<Node, readonly Part[]>;
}

/** Without steps that nothing needs: a composite's results are not always all asked for. Inputs stay. */
function wanted(
  steps: readonly Node[],
  results: Flat["results"],
  { outputs, updates }: Program,
): readonly Node[] {
  const needed = new Set<Node>();
  const need = (x: Node) => results.get(x)!.forEach(({ step }) => needed.add(step));
  [...Object.values(outputs), ...Object.values(updates)].forEach(need);
  for (const step of steps.toReversed()) if (needed.has(step)) step.inputs.forEach(need);
  return steps.filter((step) => needed.has(step) || isOp(step, "input"));
}

/** Flattens a program; composites for which `keep` is true stay steps. */
export function flatten(
  program: Program,
  { keep = () => false }: { keep?: (composite: Node) => boolean } = {},
): Flat {
  const steps: Node[] = [], results = new Map<Node, readonly Part[]>();
  const visit = (n: Node): void => {
    if (results.has(n)) return;
    if (isOp(n, "pick")) {
      results.set(n, [results.get(n.inputs[0])![n.attrs.index]]);
    } else if (isComposite(n.op) && !keep(n)) {
      const parts = expand(n);
      topological(parts, new Set(n.inputs)).forEach(visit);
      results.set(n, parts.map((p) => results.get(p)![0]));
    } else {
      steps.push(n);
      results.set(n, (n.parts ?? [n]).map((_, index) => ({ step: n, index })));
    }
  };
  program.order.forEach(visit);
  return { steps: wanted(steps, results, program), results };
}
