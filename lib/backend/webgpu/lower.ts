/**
 * Program -> dispatches over slots. Elementwise ops and movements stay expressions until something needs memory;
 * then the kernel that needs them reads through the expression. This file decides when a value becomes memory and
 * walks the steps; the rows of ops that are kernels stand in `launches.ts`. Next on the walk: `plan.ts`.
 */
import { type Flat, flatten, type Part } from "../../graph/flatten.ts";
import {
  type HostArray,
  isOp,
  type Node,
  type OpName,
  sameShape,
  showShape,
  sizeOf,
} from "../../graph/node.ts";
import type { Program } from "../../graph/program.ts";
import { pointwiseKernel } from "../../../kernels/fold.ts";
import { type Kernel, shaderOf } from "../../../kernels/kernel.ts";
import { elementwise } from "./elementwise.ts";
import { claims, launches } from "./launches.ts";
import { movement, repetition } from "./movement.ts";
import { launchPacked } from "./packed_product.ts";
import { expressParts, loadParts, rowsOfParts } from "./parts.ts";
import { launchProduct } from "./product.ts";
import {
  Bindings,
  bytesOf,
  type Expression,
  IN_WORD,
  loadAll,
  type Slot,
  valueAt,
  Writer,
} from "./writer.ts";

/** One shader and what it binds. */
export interface Dispatch {
  readonly name: string;
  readonly text: string;
  readonly bindings: readonly { slot: Slot; writes: boolean }[];
  readonly groups: readonly [number, number, number];
}

/** A slot that a dispatch changes in place, and the value it starts from. */
export interface State {
  readonly slot: Slot;
  readonly from: Slot;
}

/** A program as dispatches. */
export interface Lowered {
  readonly dispatches: readonly Dispatch[];
  readonly states: readonly State[];
  /** The slots of each input: several where it is larger than one binding. */
  readonly inputs: ReadonlyMap<string, readonly Slot[]>;
  readonly constants: ReadonlyMap<Slot, HostArray>;
  readonly outputs: Readonly<Record<string, Slot>>;
  readonly updates: Readonly<Record<string, Slot>>;
}

/** What limits a shader. */
export interface LowerLimits {
  /** Slots that one shader can bind. */
  bindings: number;
  /** Bytes of a slot, at most. Inputs beyond it lie in parts. */
  bytes?: number;
  /** Composites that run as their expansions though they have a page: to compare. */
  expanded?: ReadonlySet<OpName>;
}

/** What one thread stores of a value: an element, or the several that share a word. */
function storeOf(x: Expression): { type: string; write: (w: Writer) => string } {
  const last = sizeOf(x.shape) - 1, together = IN_WORD[x.dtype];
  const at = (w: Writer, i: number) =>
    valueAt(w, x, w.bind(`min(i * ${together}u + ${i}u, ${last}u)`));
  if (x.dtype === "bool") return { type: "u32", write: (w) => `u32(${valueAt(w, x, "i")})` };
  if (x.dtype === "f16") {
    return { type: "u32", write: (w) => `pack2x16float(vec2f(${at(w, 0)}, ${at(w, 1)}))` };
  }
  if (x.dtype !== "u8") return { type: x.dtype, write: (w) => valueAt(w, x, "i") };
  const byte = (w: Writer, i: number) => `(${at(w, i)} << ${8 * i}u)`;
  return { type: "u32", write: (w) => [0, 1, 2, 3].map((i) => byte(w, i)).join(" | ") };
}

/** Can the value be made four elements at a time? Not where a slot is also read element by element. */
function readsInFours(x: Expression): boolean {
  if (x.dtype !== "f32" || x.four === undefined || sizeOf(x.shape) % 4 !== 0) return false;
  const bindings = new Bindings();
  x.four(new Writer(bindings), "i");
  return !bindings.mixed;
}

const fourOf = (x: Expression) => ({ type: "vec4f", write: (w: Writer) => x.four!(w, "i") });

/** Operations an element may take before it is worth its memory. */
const LONGEST_CHAIN = 48;

/** The walk's state; launches write their dispatches through it. */
export class Lowering {
  readonly dispatches: Dispatch[] = [];
  readonly states: State[] = [];
  readonly constants = new Map<Slot, HostArray>();
  readonly inputs = new Map<string, readonly Slot[]>();
  constructor(readonly limits: LowerLimits) {}

  /** Writes a dispatch: the functions it asks for are made by `declare`, over its bindings. */
  launch(kernel: Kernel, declare: (bindings: Bindings) => readonly string[]): void {
    const bindings = new Bindings(), functions = declare(bindings), { list } = bindings;
    const most = this.limits.bindings,
      parted = list.length > most && [...this.inputs].find(
        ([, slots]) => slots.length > 1 && list.some(({ slot }) => slots.includes(slot)),
      );
    if (parted) {
      throw new Error(
        `Cannot launch ${kernel.name}: input ${parted[0]} lies in ${
          parted[1].length
        } buffers, wanted ${list.length} in all, the adapter binds ${most}`,
      );
    }
    this.dispatches.push({
      name: kernel.name,
      text: shaderOf(kernel, { bindings: bindings.text, functions }),
      bindings: bindings.list,
      groups: kernel.groups,
    });
  }

  /** An input, in parts where it is too large. @throws when such a one `changes`, or its rows are too large. */
  input({ shape, dtype, attrs: { name } }: Node<"input">, { changes = false } = {}): Expression {
    const { bytes = Infinity } = this.limits, rows = rowsOfParts({ shape, dtype }, bytes);
    const slot: Slot = { shape, dtype, label: name };
    if (rows.length === 1) {
      this.inputs.set(name, [slot]);
      return loadAll(slot);
    }
    if (changes || rows.length === 0) {
      const what = `${showShape(shape)}: it has ${bytesOf(slot)} bytes, the adapter binds ${bytes}`;
      throw new Error(
        changes
          ? `Cannot update ${name} ${what}, and only what stays as it is may lie in parts`
          : `Cannot part ${name} ${what}, less than few of its rows take`,
      );
    }
    const slots = rows.map((n): Slot => ({ ...slot, shape: shape.with(0, n) }));
    this.inputs.set(name, slots);
    return loadParts(slots, slot);
  }

  /** Puts a value into memory, unless it is memory in its own order. */
  materialise(x: Expression, label: string, { fresh = false } = {}): Slot {
    if (x.whole !== undefined && !fresh) return x.whole;
    const slot: Slot = { shape: x.shape, dtype: x.dtype, label };
    const vectors = readsInFours(x), words = bytesOf(slot) / (vectors ? 16 : 4);
    const { type, write } = vectors ? fourOf(x) : storeOf(x);
    this.launch(pointwiseKernel(words), (bindings) => {
      const w = new Writer(bindings), value = write(w);
      const name = bindings.name(slot, { writes: true, vectors });
      return [
        [
          `fn value(i: u32) -> ${type} {`,
          ...w.lines.map((line) => `  ${line}`),
          `  return ${value};`,
          "}",
        ].join("\n"),
        `fn put(i: u32, v: ${type}) { ${name}[i] = v; }`,
      ];
    });
    return slot;
  }

  /** The value read from memory. */
  inMemory(x: Expression, label: string): Expression {
    // A slot may have another shape than the value: reshaping costs nothing.
    return loadAll(this.materialise(x, label), x.shape);
  }

  /** The value in memory where computing it again would cost more than `cost` operations an element. */
  settled(x: Expression, { cost, label }: { cost: number; label: string }): Expression {
    return x.cost > cost ? this.inMemory(x, label) : x;
  }

  /** A slot of its own that starts with the value of `x` and is changed in place. */
  state(x: Expression, label: string): Slot {
    const from = this.materialise(x, label);
    const slot: Slot = { shape: from.shape, dtype: from.dtype, label };
    this.states.push({ slot, from });
    return slot;
  }

  /** Few enough slots beside `others` (one that is written): the operands with most of them become memory. */
  fitting(xs: readonly Expression[], label: string, { others = 1 } = {}): readonly Expression[] {
    const fitted = [...xs];
    const count = () => new Set(fitted.flatMap((x) => [...x.slots])).size;
    while (count() > this.limits.bindings - others) {
      const most = fitted.reduce((a, x, i) => x.slots.size > fitted[a].slots.size ? i : a, 0);
      if (fitted[most].slots.size <= 1) break;
      fitted[most] = this.inMemory(fitted[most], label);
    }
    return fitted;
  }

  /** Concatenation of any number of values: halves become memory where one shader cannot bind all. */
  concat(n: Node<"concat">, xs: readonly Expression[]): Expression {
    const slots = new Set(xs.flatMap((x) => [...x.slots])).size;
    if (slots <= this.limits.bindings - 1) return movement.concat(n, xs);
    const { axis } = n.attrs, half = Math.ceil(xs.length / 2);
    const parts = [xs.slice(0, half), xs.slice(half)].map((part) => {
      const size = part.reduce((sum, x) => sum + x.shape[axis], 0);
      const shape = n.shape.with(axis, size);
      return this.inMemory(this.concat({ ...n, shape }, part), "concat");
    });
    return movement.concat(n, parts);
  }
}

/** How many steps and results read each part. */
function readers({ steps, results }: Flat, { outputs, updates }: Program): Map<string, number> {
  const counts = new Map<string, number>();
  const key = ({ step, index }: Part) => `${step.id} ${index}`;
  const read = (parts: Iterable<string>) => {
    for (const k of parts) counts.set(k, (counts.get(k) ?? 0) + 1);
  };
  for (const step of steps) {
    read(new Set(step.inputs.flatMap((x) => results.get(x)!.map(key))));
  }
  for (const x of [...Object.values(outputs), ...Object.values(updates)]) {
    read(results.get(x)!.map(key));
  }
  return counts;
}

/** Products whose kernels can add something before they write. */
const PRODUCTS = { matmul: launchProduct, quantizedMatmul: launchPacked };

/**
 * Products that are only ever added to something known by then, and the additions: the kernel adds before it writes,
 * which saves a sweep over memory (a residual after each block of a decoder).
 */
function addends(flat: Flat, counts: Map<string, number>): Map<Node, { sum: Node; other: Node }> {
  const at = new Map(flat.steps.map((step, i) => [step, i])), found = new Map();
  for (const sum of flat.steps) {
    if (!isOp(sum, "binary") || sum.attrs.fn !== "add") continue;
    const sides = sum.inputs.map((x) => flat.results.get(x)![0].step);
    for (const [i, product] of sides.entries()) {
      const other = sum.inputs[1 - i],
        fits = sameShape(product.shape, sum.shape) &&
          sameShape(other.shape, sum.shape);
      const before = at.get(sides[1 - i])! < at.get(product)!;
      const only = counts.get(`${product.id} 0`) === 1;
      if (!(product.op in PRODUCTS) || !fits || !before || !only) continue;
      found.set(product, { sum, other });
      break;
    }
  }
  return found;
}

const REPEATS: ReadonlySet<OpName> = new Set<OpName>([
  ...["broadcast", "gather", "takeAlong", "binary", "where"] as OpName[],
]);

/** The expression of a primitive that is no kernel. */
function express(n: Node, inputs: readonly Expression[], l: Lowering): Expression {
  const rule = { ...elementwise, ...movement }[n.op as keyof typeof movement];
  if (rule === undefined) throw new Error(`Cannot lower ${n.op} to WGSL: it has no rule`);
  if (inputs.some((x) => x.ranges !== undefined)) {
    return expressParts(n, inputs, {
      rule: rule as never,
      limits: l.limits,
      inMemory: (x, label) => l.inMemory(x, label),
    });
  }
  if (isOp(n, "concat")) return l.concat(n, inputs);
  // A long chain that would be computed again for every repetition becomes memory first.
  const xs = inputs.map((x) =>
    REPEATS.has(n.op) && x.cost >= 4 && repetition(n, x) >= 8 ? l.inMemory(x, n.op) : x
  );
  return rule(n as never, l.fitting(xs, n.op));
}

/** Lowers a program. @throws when an op has no rule. */
export function lower(program: Program, limits: LowerLimits): Lowered {
  const l = new Lowering(limits);
  const flat = flatten(program, { keep: (n) => claims(n, limits) }), { steps, results } = flat;
  const counts = readers(flat, program), values = new Map<Node, readonly Expression[]>();
  const valueOf = (x: Node): Expression => {
    const { step, index } = results.get(x)![0];
    return values.get(step)![index];
  };
  const keep = (n: Node<"constant">) => {
    const slot: Slot = { shape: n.shape, dtype: n.dtype, label: `constant ${n.id}` };
    l.constants.set(slot, n.attrs.data);
    return loadAll(slot);
  };
  const added = addends(flat, counts);
  for (const n of steps) {
    if (values.has(n)) continue; // an addition that its product has made
    if (isOp(n, "input")) {
      values.set(n, [l.input(n, { changes: program.updates[n.attrs.name] !== undefined })]);
      continue;
    }
    if (isOp(n, "constant")) {
      values.set(n, [keep(n)]);
      continue;
    }
    const inputs = n.inputs.map(valueOf), addition = added.get(n);
    if (addition !== undefined) {
      const options = { l, addend: valueOf(addition.other) };
      const [slot] = PRODUCTS[n.op as keyof typeof PRODUCTS](n as never, inputs, options);
      values.set(addition.sum, [loadAll(slot)]);
      continue;
    }
    const launch = launches[n.op as keyof typeof launches];
    if (launch !== undefined) {
      values.set(n, launch(n as never, inputs, l).map((slot) => loadAll(slot)));
      continue;
    }
    let x = express(n, inputs, l);
    // Two readers compute a step or two twice rather than read them from memory: often they are one kernel.
    const readers = counts.get(`${n.id} 0`) ?? 0;
    const shared = x.cost > 0 && (readers > 2 || (readers > 1 && x.cost > 2));
    const full = x.slots.size > limits.bindings - 2;
    if (x.ranges === undefined && (shared || full || x.cost > LONGEST_CHAIN)) {
      x = l.inMemory(x, n.op);
    }
    values.set(n, [x]);
  }
  const finish = (nodes: Readonly<Record<string, Node>>) =>
    Object.fromEntries(
      Object.entries(nodes).map(([name, n]) => {
        const x = valueOf(n);
        // The memory of an input, a constant or a state may change before it is read.
        const borrowed = x.whole !== undefined &&
          ([...l.inputs.values()].some(([slot]) => slot === x.whole) || l.constants.has(x.whole));
        return [name, l.materialise(x, name, { fresh: borrowed })];
      }),
    );
  const outputs = finish(program.outputs), updates = finish(program.updates);
  const states = new Set(l.states.map(({ slot }) => slot));
  for (const [name, slot] of Object.entries(outputs)) {
    if (states.has(slot)) outputs[name] = l.materialise(loadAll(slot), name, { fresh: true });
  }
  const { dispatches, constants, inputs } = l;
  return { dispatches, states: l.states, inputs, constants, outputs, updates };
}
