/**
 * Ops that only say where an element comes from: each rewrites the index and reads its input there, so none of them
 * moves memory by itself. Next on the walk: `lower.ts`, which decides what becomes memory.
 */
import { type Node, type Shape, sizeOf, stridesOf } from "../../graph/node.ts";
import { atRepeated } from "./elementwise.ts";
import { type Expression, literal, loadAll, type Slot, type View, type Writer } from "./writer.ts";

/** Runs of dimensions of two shapes that hold the same elements: [from, to) in each. */
export function regroup(
  from: Shape,
  to: Shape,
): { from: [number, number]; to: [number, number] }[] {
  const groups: { from: [number, number]; to: [number, number] }[] = [];
  let i = 0, j = 0;
  while (i < from.length || j < to.length) {
    const startI = i, startJ = j;
    let a = i < from.length ? from[i++] : 1, b = j < to.length ? to[j++] : 1;
    while (a !== b) {
      if (a < b) a *= from[i++];
      else b *= to[j++];
    }
    groups.push({ from: [startI, i], to: [startJ, j] });
  }
  return groups;
}

function reshaped(x: Expression, shape: Shape): Expression {
  if (x.whole !== undefined) return loadAll(x.whole, shape);
  const groups = regroup(x.shape, shape);
  const at = (w: Writer, index: readonly string[]) => {
    if (x.flat !== undefined) return x.flat(w, w.flat(index, shape));
    const inner = groups.flatMap(({ from, to }) => {
      const sizes = shape.slice(...to), wanted = x.shape.slice(...from);
      const own = index.slice(...to);
      // A dimension that keeps its size, beside ones of size 1, needs no division.
      const big = sizes.findIndex((d) => d !== 1), home = wanted.findIndex((d) => d !== 1);
      if (
        sizes.filter((d) => d !== 1).length <= 1 && wanted.filter((d) => d !== 1).length <= 1
      ) return wanted.map((_, i) => i === home ? own[big] : "0u");
      return w.split(w.flat(own, sizes), wanted);
    });
    return x.at(w, inner);
  };
  const flat = x.flat?.bind(x), four = x.four?.bind(x), view = reshapedView(x, shape);
  const same = { ...(flat && { flat }), ...(four && { four }) };
  if (view !== undefined) return { ...viewed(view, shape, x), ...same };
  return { shape, dtype: x.dtype, cost: x.cost, slots: x.slots, at, ...same };
}

/** A view as an expression. */
function viewed(view: View, shape: Shape, { dtype }: Pick<Expression, "dtype">): Expression {
  const { slot, strides, offset } = view;
  const at = (w: Writer, index: readonly string[]) =>
    w.load(slot, index.reduce((sum, i, d) => w.plus(sum, w.times(i, strides[d])), `${offset}u`));
  return { shape, dtype, cost: 0, slots: new Set([slot]), at, view };
}

/** The view of another shape, where its dimensions still have strides. */
function reshapedView({ view, shape: from }: Expression, shape: Shape): View | undefined {
  if (view === undefined) return undefined;
  const strides: number[] = [];
  for (const { from: [i, j], to: [p, q] } of regroup(from, shape)) {
    const old = from.slice(i, j), steps = view.strides.slice(i, j);
    const real = old.map((_, d) => d).filter((d) => old[d] !== 1);
    const nested = real.every((d, r) =>
      r + 1 >= real.length || steps[d] === steps[real[r + 1]] * old[real[r + 1]]
    );
    if (!nested) return undefined;
    const last = real.length === 0 ? 0 : steps[real.at(-1)!];
    strides.push(...stridesOf(shape.slice(p, q)).map((s) => s * last));
  }
  return { ...view, strides };
}

function broadcastView(shape: Shape, { view, shape: from, dtype }: Expression): Expression {
  const lead = shape.length - from.length;
  const strides = shape.map((_, d) =>
    d < lead || from[d - lead] === 1 ? 0 : view!.strides[d - lead]
  );
  return viewed({ ...view!, strides }, shape, { dtype });
}

/** An expression that reads another one elsewhere. */
function elsewhere(
  node: Node,
  x: Expression,
  at: (w: Writer, index: readonly string[]) => string,
): Expression {
  return { shape: node.shape, dtype: node.dtype, cost: x.cost, slots: x.slots, at };
}

/** An id as an index below `count`: ids out of range read the nearest row. */
export const bounded = (w: Writer, id: string, count: number) =>
  w.bind(`u32(clamp(${id}, 0i, ${count - 1}i))`);

type Movement =
  | "reshape"
  | "transpose"
  | "broadcast"
  | "slice"
  | "pad"
  | "concat"
  | "gather"
  | "takeAlong";

/** Expressions of the ops that move elements. */
export const movement: {
  [O in Movement]: (node: Node<O>, inputs: readonly Expression[]) => Expression;
} = {
  reshape: (n, [x]) => reshaped(x, n.shape),
  transpose: (n, [x]) => {
    const { perm } = n.attrs;
    if (x.view !== undefined) {
      const { view } = x;
      return viewed({ ...view, strides: perm.map((p) => view.strides[p]) }, n.shape, x);
    }
    return elsewhere(n, x, (w, index) => x.at(w, x.shape.map((_, d) => index[perm.indexOf(d)])));
  },
  broadcast: (n, [x]) =>
    x.view !== undefined
      ? broadcastView(n.shape, x)
      : elsewhere(n, x, (w, index) => atRepeated(w, x, index)),
  slice: (n, [x]) => {
    const { starts } = n.attrs;
    if (x.view !== undefined) {
      const { view } = x;
      const offset = starts.reduce((sum, s, d) => sum + s * view.strides[d], view.offset);
      return viewed({ ...view, offset }, n.shape, x);
    }
    return elsewhere(n, x, (w, index) => x.at(w, index.map((i, d) => w.plus(i, starts[d]))));
  },
  pad: (n, [x]) => {
    const { before } = n.attrs;
    return {
      ...elsewhere(n, x, (w, index) => {
        const inside: string[] = [],
          inner = index.map((i, d) => {
            const size = x.shape[d];
            if (before[d] === 0 && size === n.shape[d]) return i;
            const shifted = before[d] === 0 ? i : w.bind(`${i} - ${before[d]}u`);
            inside.push(w.bind(`${shifted} < ${size}u`)); // below the start it wraps to a large number
            return w.bind(`min(${shifted}, ${size - 1}u)`);
          });
        const value = x.at(w, inner);
        return w.bind(`select(${literal(0, n.dtype)}, ${value}, ${inside.join(" && ")})`);
      }),
      cost: x.cost + 1,
    };
  },
  concat: (n, xs) => {
    const { axis } = n.attrs;
    const starts = xs.map((_, i) => xs.slice(0, i).reduce((sum, x) => sum + x.shape[axis], 0));
    return {
      shape: n.shape,
      dtype: n.dtype,
      cost: xs.reduce((sum, x) => sum + x.cost + 1, 0),
      slots: new Set<Slot>(xs.flatMap((x) => [...x.slots])),
      at: (w, index) => {
        const along = index[axis];
        const values = xs.map((x, i) => {
          const shifted = starts[i] === 0 ? along : w.bind(`${along} - ${starts[i]}u`);
          return x.at(w, index.with(axis, w.bind(`min(${shifted}, ${x.shape[axis] - 1}u)`)));
        });
        return values.reduceRight((rest, value, i) =>
          w.bind(`select(${rest}, ${value}, ${along} < ${starts[i] + xs[i].shape[axis]}u)`)
        );
      },
    };
  },
  gather: (n, [rows, ids]) => {
    const lead = ids.shape.length;
    return {
      ...elsewhere(n, rows, (w, index) => {
        const id = bounded(w, ids.at(w, index.slice(0, lead)), rows.shape[0]);
        return rows.at(w, [id, ...index.slice(lead)]);
      }),
      cost: rows.cost + ids.cost,
      slots: new Set([...rows.slots, ...ids.slots]),
    };
  },
  takeAlong: (n, [x, ids]) => {
    const { axis } = n.attrs;
    return {
      ...elsewhere(
        n,
        x,
        (w, index) => x.at(w, index.with(axis, bounded(w, ids.at(w, index), x.shape[axis]))),
      ),
      cost: x.cost + ids.cost,
      slots: new Set([...x.slots, ...ids.slots]),
    };
  },
};

/** How many elements of the result read each element of the input, at least. */
export const repetition = (node: Node, x: Expression): number =>
  sizeOf(node.shape) / Math.max(1, sizeOf(x.shape));
