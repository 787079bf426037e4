/**
 * How a matrix product reads its operands: in vectors of four where they lie so, element by element where not. The
 * pages (`kernels/matmul.wgsl`, `kernels/row_product.wgsl`) see the same blocks either way. Called by `launches.ts`.
 */
import { type Node, type Shape, sizeOf } from "../../graph/node.ts";
import { FEW_ROWS, productKernel } from "../../../kernels/matmul.ts";
import type { Lowering } from "./lower.ts";
import { movement } from "./movement.ts";
import { rowsOf } from "./parts.ts";
import { type Bindings, type Expression, functionOf, type Slot, Writer } from "./writer.ts";

/** An operand [.., R, C] of a product; `inner` is the dimension that is summed over, -1 or -2. */
export interface Operand {
  name: "a" | "b";
  x: Expression;
  inner: -1 | -2;
  lead: Shape;
}

/**
 * Computed operands become memory first, except weights that are unpacked while they are multiplied, and few rows:
 * the activation between two products of decoding costs less than a dispatch.
 */
export function settled(x: Expression, { l, few }: { l: Lowering; few: boolean }): Expression {
  if (x.ranges !== undefined) return x; // each range by itself
  const packed = [...x.slots].some(({ dtype }) => dtype === "u8" || dtype === "f16");
  return l.settled(x, { cost: packed || few ? 4 : 0, label: "operand" });
}

/** Can four neighbours along `axis` be read as one vector? */
export function readsVectors({ x: { view, shape } }: Operand, axis: -1 | -2): boolean {
  if (view === undefined || sizeOf(view.slot.shape) % 4 !== 0) return false;
  if (view.slot.dtype !== "f32" && view.slot.dtype !== "f16") return false;
  const at = shape.length + axis;
  return view.strides[at] === 1 && shape[at] % 4 === 0 && view.offset % 4 === 0 &&
    view.strides.every((s, d) => d === at || s % 4 === 0);
}

/** `NAME_at(b, outer, k)`: one element. */
export function elementFunction({ name, x, inner, lead }: Operand, bindings: Bindings): string {
  return functionOf(`${name}_at`, x, {
    parameters: ["b", "o", "k"],
    bindings,
    index: (w) => [...w.split("b", lead), ...(inner === -1 ? ["o", "k"] : ["k", "o"])],
  });
}

/** `NAME_vector(b, outer, k)`: four elements along the dimension that lies in memory. */
export function vectorFunction({ name, x, inner, lead }: Operand, bindings: Bindings): string {
  const w = new Writer(bindings), { slot, strides, offset } = x.view!;
  const index = [...w.split("b", lead), ...(inner === -1 ? ["o", "k"] : ["k", "o"])];
  const at = index.reduce((sum, i, d) => w.plus(sum, w.times(i, strides[d])), `${offset}u`);
  const buffer = bindings.name(slot, { vectors: true });
  const four = `${buffer}[(${at}) / 4u]`, half = slot.dtype === "f16";
  return [
    `fn ${name}_vector(b: u32, o: u32, k: u32) -> vec4f {`,
    ...w.lines.map((line) => `  ${line}`),
    ...(half ? [`  let p = ${four};`] : []),
    `  return ${half ? "vec4f(unpack2x16float(p.x), unpack2x16float(p.y))" : four};`,
    "}",
  ].join("\n");
}

/** `NAME_four(b, outer, k)`: four values along k, zeros behind its end. */
export function fourAlongK({ name }: Operand, k: number, whole: boolean): string {
  const head = `fn ${name}_four(b: u32, o: u32, k: u32) -> vec4f {`;
  if (whole) return `${head} return ${name}_vector(b, o, k); }`;
  const one = (i: number) => {
    const at = i === 0 ? "k" : `k + ${i}u`;
    if (k % 4 === 0) return `${name}_at(b, o, ${at})`;
    return `select(0.0f, ${name}_at(b, o, min(${at}, ${k - 1}u)), ${at} < ${k}u)`;
  };
  return `${head} return vec4f(${[0, 1, 2, 3].map(one).join(", ")}); }`;
}

const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];

/** Eight outer indices times four of k, as eight vectors along k; outer indices beyond the end read the last one. */
function blockAlongK(name: "a" | "b", outer: number): string {
  return EIGHT.map((i) => `  let v${i} = ${name}_four(b, min(o + ${i}u, ${outer - 1}u), k);`).join(
    "\n",
  );
}

/** The same, read as vectors along the outer dimension: two for each of four k. */
function blockAlongOuter(name: "a" | "b"): string {
  return [0, 1, 2, 3].flatMap((q) => [
    `  let l${q} = ${name}_vector(b, o, k + ${q}u);`,
    `  let r${q} = ${name}_vector(b, min(o + 4u, LAST), k + ${q}u);`,
  ]).join("\n");
}

/** `a_rows`: eight vectors along k. */
export function rowsFunction(outer: number, alongOuter: boolean): string {
  const head = "fn a_rows(b: u32, o: u32, k: u32) -> array<vec4f, 8> {";
  if (!alongOuter) {
    return `${head}\n${blockAlongK("a", outer)}\n  return array<vec4f, 8>(${
      EIGHT.map((i) => `v${i}`)
    });\n}`;
  }
  const row = (i: number) =>
    `vec4f(${[0, 1, 2, 3].map((q) => `${i < 4 ? "l" : "r"}${q}.${"xyzw"[i % 4]}`).join(", ")})`;
  return `${head}\n${
    blockAlongOuter("a").replaceAll("LAST", `${outer - 4}u`)
  }\n  return array<vec4f, 8>(${EIGHT.map(row).join(", ")});\n}`;
}

/** `b_columns`: for each of four k, eight columns. */
export function columnsFunction(outer: number, alongOuter: boolean): string {
  const head = "fn b_columns(b: u32, k: u32, o: u32) -> array<Pair, 4> {";
  const pairs = (pair: (q: number) => string) => [0, 1, 2, 3].map(pair).join(", ");
  if (alongOuter) {
    return `${head}\n${
      blockAlongOuter("b").replaceAll("LAST", `${outer - 4}u`)
    }\n  return array<Pair, 4>(${pairs((q) => `Pair(l${q}, r${q})`)});\n}`;
  }
  const four = (q: number, from: number) =>
    `vec4f(${[0, 1, 2, 3].map((i) => `v${from + i}.${"xyzw"[q]}`).join(", ")})`;
  return `${head}\n${blockAlongK("b", outer)}\n  return array<Pair, 4>(${
    pairs((q) => `Pair(${four(q, 0)}, ${four(q, 4)})`)
  });\n}`;
}

/** Where a part of a product goes: from its own positions to those of the whole. Is it added to what is there? */
interface Place {
  out: Slot;
  position: (bindings: Bindings) => string;
  adds?: boolean;
}

/** Writes the dispatches of a product, to which `addend` is added: one, or one for each range of rows of b. */
export function launchProduct(
  n: Node<"matmul">,
  inputs: readonly Expression[],
  { l, addend }: { l: Lowering; addend?: Expression },
): Slot[] {
  const few = n.shape.at(-2)! <= FEW_ROWS;
  const [a, b] = inputs.map((x, i) => settled(x, { l, few: few && i === 0 }));
  const out: Slot = { shape: n.shape, dtype: "f32", label: "matmul" };
  if (b.ranges === undefined) {
    dispatch(n, [a, b], { l, addend, place: { out, position: () => "i" } });
  } else byRanges(n, [a, b], { l, addend, out });
  return [out];
}

/**
 * A dispatch a range of the rows of b. Those are columns of the result, which each dispatch writes where they lie;
 * or what is summed over, and each adds to what is there (so the order of the sum is another one); or whole products.
 * Measured on Mesa's software adapter, [1 to 32, 1024] by [16384, 1024] in f32, f16 and 8 bits: 8 ranges take 0.6 to
 * 1.3 times the time of one buffer (other work ran beside it), a single dispatch that selects among them 3.5 to 9 times.
 */
function byRanges(
  n: Node<"matmul">,
  [a, b]: readonly Expression[],
  { l, addend, out }: { l: Lowering; addend?: Expression; out: Slot },
): void {
  const { transA, transB } = n.attrs, [rows, columns] = n.shape.slice(-2), { ends } = b.ranges!;
  const ranges = ends.map((to, i) => {
    const from = i === 0 ? 0 : ends[i - 1],
      start: Slot = { shape: [1], dtype: "i32", label: "start" };
    l.constants.set(start, Int32Array.of(from));
    return { from, to, start, part: rowsOf(b, from, to, start) };
  });
  // Once, not for every range; beside the other operands: a range, its start, and what is written.
  const others = 2 + Math.max(...ranges.map(({ part }) => part.slots.size));
  const [fitted, sum] = l.fitting(addend ? [a, addend] : [a], "operand", { others });
  for (const { from, to, start, part } of ranges) {
    const count = to - from, begin = (of: Bindings) => `u32(${of.name(start)}[0])`;
    if (b.shape.length > 2) {
      const each = sizeOf(n.shape.slice(1));
      dispatch({ ...n, shape: n.shape.with(0, count) }, [rowsOf(fitted, from, to), part], {
        ...{ l, addend: sum, place: { out, position: (of) => `i + ${each}u * ${begin(of)}` } },
      });
    } else if (transB) {
      const position = (of: Bindings) =>
        `i / ${count}u * ${columns}u + i % ${count}u + ${begin(of)}`;
      const place = { out, position };
      dispatch({ ...n, shape: [rows, count] }, [fitted, part], { l, addend: sum, place });
    } else {
      const axis = transA ? 0 : 1, shape = fitted.shape.with(axis, count);
      const slice = { shape, dtype: "f32", attrs: { starts: [0, 0].with(axis, from) } } as never;
      const place = { out, position: () => "i", adds: from > 0 };
      dispatch(n, [movement.slice(slice, [fitted]), part], {
        ...{ l, addend: from > 0 ? undefined : sum, place },
      });
    }
  }
}

/** Writes one dispatch. */
function dispatch(
  n: Node<"matmul">,
  operands: readonly Expression[],
  { l, addend, place }: { l: Lowering; addend?: Expression; place: Place },
): void {
  const { transA, transB, alpha } = n.attrs, lead = n.shape.slice(0, -2);
  const [rows, columns] = n.shape.slice(-2), few = rows <= FEW_ROWS;
  const [ax, bx, extra] = l.fitting([...operands, ...(addend ? [addend] : [])], "operand");
  const k = ax.shape.at(transA ? -2 : -1)!;
  const a: Operand = { name: "a", x: ax, inner: transA ? -2 : -1, lead };
  const b: Operand = { name: "b", x: bx, inner: transB ? -1 : -2, lead };
  const { out, position, adds } = place;
  const kernel = productKernel({
    ...{ batch: sizeOf(lead), m: rows, n: columns, k, alpha },
    bAlongK: b.inner === -1,
  });
  // Along k, or (blocks only, with whole steps of k) along the other dimension.
  const along = (o: Operand) => readsVectors(o, o.inner);
  const across = (o: Operand) => !few && k % 4 === 0 && readsVectors(o, o.inner === -1 ? -2 : -1);
  // A slot is bound as vectors or as elements, for both operands alike.
  const vectors = (o: Operand) => along(o) || across(o);
  const shares = (x: Expression, y: Expression) => [...x.slots].some((slot) => y.slots.has(slot));
  const mixed = (shares(ax, bx) && !(vectors(a) && vectors(b))) ||
    (extra !== undefined && (shares(extra, ax) || shares(extra, bx)));
  l.launch(kernel, (bindings) => {
    const read = (o: Operand) =>
      !mixed && vectors(o)
        ? [vectorFunction(o, bindings), ...(along(o) ? [fourAlongK(o, k, true)] : [])]
        : [elementFunction(o, bindings), fourAlongK(o, k, false)];
    const acrossA = !mixed && !along(a) && across(a), acrossB = !mixed && !along(b) && across(b);
    const blocks = few
      ? [
        "fn a_row(b: u32, m: u32, k: u32) -> vec4f { return a_four(b, m, k); }",
        "fn b_column(b: u32, k: u32, n: u32) -> vec4f { return b_four(b, n, k); }",
      ]
      : [rowsFunction(rows, acrossA), columnsFunction(columns, acrossB)];
    const name = bindings.name(out, { writes: true });
    return [
      ...read(a),
      ...read(b),
      ...blocks,
      ...(extra
        ? [functionOf("addend", extra, { parameters: ["i"], bindings, index: () => "i" })]
        : []),
      "fn put(i: u32, v: f32) {",
      `  let p = ${position(bindings)};`,
      `  ${name}[p] = v${extra ? " + addend(p)" : ""}${adds ? ` + ${name}[p]` : ""};`,
      "}",
    ];
  });
}
