/**
 * How WGSL text is written: slots (memory that a shader sees), expressions (a value at any index, not yet in
 * memory), and a writer that names each subexpression once. Nothing here knows an op: `elementwise.ts` and
 * `movement.ts` make expressions, `lower.ts` decides which of them become memory.
 */
import { type DType, type Shape, sizeOf, stridesOf } from "../../graph/node.ts";

/** Memory of a run: an input, a constant, or what a dispatch leaves behind. Known by identity. */
export interface Slot {
  readonly shape: Shape;
  readonly dtype: DType;
  /** An input's name, or what made it. */
  readonly label: string;
}

/** Element types in memory: a bool takes a word, four u8 or two f16 share one. */
const STORED: Record<DType, string> = {
  ...{ f32: "f32", i32: "i32", bool: "u32", u8: "u32", f16: "u32" },
};
/** Elements of a word. */
export const IN_WORD: Record<DType, number> = { f32: 1, i32: 1, bool: 1, u8: 4, f16: 2 };
/** Element types of expressions. */
export const WGSL_TYPE: Record<DType, string> = {
  ...{ f32: "f32", i32: "i32", bool: "bool", u8: "u32", f16: "f32" },
};

/** Bytes of a slot. */
export function bytesOf({ shape, dtype }: { shape: Shape; dtype: DType }): number {
  return Math.ceil(sizeOf(shape) / IN_WORD[dtype]) * 4;
}

/** The slots that one shader binds, in binding order. */
export class Bindings {
  readonly list: { slot: Slot; writes: boolean; vectors: boolean }[] = [];
  /** Was a slot named both as vectors and as elements? No shader can have it so. */
  mixed = false;

  /** The shader's name of a slot; its elements are vectors if any use wants them so: of four, or of two packed words. */
  name(slot: Slot, { writes = false, vectors = false } = {}): string {
    let at = this.list.findIndex((b) => b.slot === slot);
    if (at < 0) at = this.list.push({ slot, writes, vectors }) - 1;
    const found = this.list[at];
    if (found.vectors !== vectors) this.mixed = true;
    this.list[at] = { slot, writes: writes || found.writes, vectors: vectors || found.vectors };
    return `b${at}`;
  }

  /** Declarations of all that was named so far. */
  get text(): string {
    return this.list.map(({ slot, writes, vectors }, i) => {
      const access = writes ? "read_write" : "read",
        whole = IN_WORD[slot.dtype] > 1 ? "vec2u" : "vec4f";
      const type = vectors ? whole : STORED[slot.dtype];
      const text = `@group(0) @binding(${i}) var<storage, ${access}> b${i}: array<${type}>;`;
      return `${text} // ${slot.label} [${slot.shape}]`;
    }).join("\n");
  }
}

/** Statements of one function body. Equal texts are computed once. */
export class Writer {
  #lines: string[] = [];
  #names = new Map<string, string>();
  constructor(readonly bindings: Bindings) {}

  get lines(): readonly string[] {
    return this.#lines;
  }

  /** A name for the value of the text. */
  bind(text: string): string {
    if (/^\w+(\.\w+)?$/.test(text)) return text;
    let name = this.#names.get(text);
    if (name === undefined) {
      name = `t${this.#names.size}`;
      this.#names.set(text, name);
      this.#lines.push(`let ${name} = ${text};`);
    }
    return name;
  }

  times(a: string, n: number): string {
    if (n === 0 || a === "0u") return "0u";
    return n === 1 ? a : this.bind(`${a} * ${n}u`);
  }

  plus(a: string, b: string | number): string {
    const text = typeof b === "number" ? `${b}u` : b;
    return text === "0u" ? a : a === "0u" ? text : this.bind(`${a} + ${text}`);
  }

  over(a: string, n: number): string {
    return n === 1 || a === "0u" ? a : this.bind(`${a} / ${n}u`);
  }

  rest(a: string, n: number): string {
    return n === 1 || a === "0u" ? "0u" : this.bind(`${a} % ${n}u`);
  }

  /** Row-major position of an index. */
  flat(index: readonly string[], shape: Shape): string {
    return index.reduce((at, i, d) => this.plus(this.times(at, shape[d]), i), "0u");
  }

  /** Index of a row-major position. */
  split(flat: string, shape: Shape): string[] {
    const index: string[] = [];
    let left = flat;
    for (let d = shape.length - 1; d >= 0; d--) {
      const first = shape.slice(0, d).every((n) => n === 1);
      index.unshift(first ? (shape[d] === 1 ? "0u" : left) : this.rest(left, shape[d]));
      left = first ? "0u" : this.over(left, shape[d]);
    }
    return index;
  }

  load(slot: Slot, at: string): string {
    const name = this.bindings.name(slot);
    if (slot.dtype === "bool") return this.bind(`${name}[${at}] != 0u`);
    if (slot.dtype === "f16") {
      return this.bind(`unpack2x16float(${name}[${at} >> 1u])[${at} & 1u]`);
    }
    if (slot.dtype !== "u8") return this.bind(`${name}[${at}]`);
    return this.bind(`(${name}[${at} >> 2u] >> ((${at} & 3u) * 8u)) & 255u`);
  }
}

/** A slot seen through strides: element [i, j, ..] lies at offset + i * strides[0] + j * strides[1] + .. */
export interface View {
  readonly slot: Slot;
  readonly strides: readonly number[];
  readonly offset: number;
}

/** A value that is computed where it is read: its text at an index. */
export interface Expression {
  readonly shape: Shape;
  readonly dtype: DType;
  /** Elementwise operations an element takes; 0 for memory seen through any movement. */
  readonly cost: number;
  /** Memory it reads. */
  readonly slots: ReadonlySet<Slot>;
  at(w: Writer, index: readonly string[]): string;
  /** The same at a row-major position, where that needs no division. */
  flat?(w: Writer, position: string): string;
  /** The four values from row-major position 4 `position` on, as a vector, where they lie side by side. */
  four?(w: Writer, position: string): string;
  /** Set when this is all of a slot in its own order. */
  readonly whole?: Slot;
  /** Set when this is memory seen through strides; the slot may hold the values as f16. */
  readonly view?: View;
  /** Set when rows lie in several slots: where each range of the first dimension ends, and the rows of one alone. */
  readonly ranges?: {
    readonly ends: readonly number[];
    rows(from: number, to: number, start?: Slot): Expression;
  };
}

/** All of a slot, as it lies. */
export function loadAll(slot: Slot, shape: Shape = slot.shape): Expression {
  return {
    shape,
    dtype: slot.dtype,
    cost: 0,
    slots: new Set([slot]),
    at: (w, index) => w.load(slot, w.flat(index, shape)),
    flat: (w, position) => w.load(slot, position),
    ...(slot.dtype === "f32" && sizeOf(slot.shape) % 4 === 0 && {
      four: (w: Writer, position: string) =>
        w.bind(`${w.bindings.name(slot, { vectors: true })}[${position}]`),
    }),
    whole: slot,
    view: { slot, strides: stridesOf(shape), offset: 0 },
  };
}

/** A number everywhere. @throws where WGSL has no literal for it. */
export function literal(value: number, dtype: DType): string {
  if (dtype === "bool") return value === 0 ? "false" : "true";
  if (dtype === "i32") return value < 0 ? `i32(${value})` : `${value}i`;
  if (dtype === "u8") return `${value}u`;
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) {
    throw new Error(`Cannot write ${value} in WGSL: it has no literal for it`);
  }
  // The largest finite value rounds up when it is written with too few digits.
  return rounded < 0 || Object.is(rounded, -0) ? `(${rounded}f)` : `${rounded}f`;
}

/** The value of an expression at a row-major position. */
export function valueAt(w: Writer, x: Expression, position: string): string {
  return x.flat?.(w, position) ?? x.at(w, w.split(position, x.shape));
}

/** A WGSL function of u32 parameters whose value is `x` at the index that `index` makes of them. */
export function functionOf(
  name: string,
  x: Expression,
  { parameters, index, bindings }: {
    parameters: readonly string[];
    index: (w: Writer) => readonly string[] | string;
    bindings: Bindings;
  },
): string {
  const w = new Writer(bindings), at = index(w);
  const value = typeof at === "string" ? valueAt(w, x, at) : x.at(w, at);
  return [
    `fn ${name}(${parameters.map((p) => `${p}: u32`).join(", ")}) -> ${WGSL_TYPE[x.dtype]} {`,
    ...w.lines.map((line) => `  ${line}`),
    `  return ${value};`,
    "}",
  ].join("\n");
}
