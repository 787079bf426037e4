/**
 * Tensors larger than one binding: their rows lie in several buffers. Read as one they choose a buffer at every
 * element, so whoever reads many elements goes through them range by range instead: a product has a dispatch a
 * range, a gather takes as many ranges at a time as one shader binds. Ops that keep rows apart hand the ranges on.
 */
import { type DType, isOp, type Node, type Shape, sizeOf } from "../../graph/node.ts";
import { elementwise } from "./elementwise.ts";
import { bounded, movement } from "./movement.ts";
import { bytesOf, type Expression, loadAll, type Slot } from "./writer.ts";

const greatestDivisor = (a: number, b: number): number => b === 0 ? a : greatestDivisor(b, a % b);

/**
 * Rows of each buffer of a tensor, evenly spread: one for all of it where `limit` bytes suffice, none where a few rows
 * are too many. All but the last hold whole vectors of four elements.
 */
export function rowsOfParts(
  { shape, dtype }: { shape: Shape; dtype: DType },
  limit: number,
): number[] {
  const [rows = 1, ...rest] = shape, total = bytesOf({ shape, dtype });
  if (total <= limit) return [rows];
  const width = sizeOf(rest), together = 4 / greatestDivisor(width, 4);
  const most = Math.floor(limit / bytesOf({ shape: [together, width], dtype })) * together;
  if (most === 0) return [];
  const each = Math.ceil(rows / Math.ceil(rows / most) / together) * together;
  return Array.from({ length: Math.ceil(rows / each) }, (_, i) => Math.min(each, rows - i * each));
}

/**
 * Some rows of a value. With `start`, a slot that holds `from`, shaders read it there where they can: those of ranges
 * of one length are then one text, compiled once.
 */
export function rowsOf(x: Expression, from: number, to: number, start?: Slot): Expression {
  if (from === 0 && to === x.shape[0]) return x;
  if (x.ranges !== undefined) return x.ranges.rows(from, to, start);
  const shape = x.shape.with(0, to - from);
  if (start !== undefined) {
    const { dtype, cost } = x, slots = new Set([...x.slots, start]);
    const at: Expression["at"] = (w, [row, ...rest]) =>
      x.at(w, [w.plus(row, w.bind(`u32(${w.load(start, "0u")})`)), ...rest]);
    return { shape, dtype, cost, slots, at };
  }
  const starts = shape.map((_, d) => d === 0 ? from : 0);
  return movement.slice({ shape, dtype: x.dtype, attrs: { starts } } as never, [x]);
}

/** Slots as one value, the rows of one behind those of the other. */
export function loadParts(slots: readonly Slot[], { shape, dtype }: Slot): Expression {
  const ends: number[] = [];
  for (const slot of slots) ends.push((ends.at(-1) ?? 0) + slot.shape[0]);
  const parts = slots.map((slot) => loadAll(slot));
  const rows = (from: number, to: number): Expression => {
    const chosen = parts.flatMap((part, i) => {
      const start = i === 0 ? 0 : ends[i - 1];
      const first = Math.max(from, start) - start, last = Math.min(to, ends[i]) - start;
      return first < last ? [rowsOf(part, first, last)] : [];
    });
    if (chosen.length === 1) return chosen[0];
    const node = { shape: shape.with(0, to - from), dtype, attrs: { axis: 0 } } as never;
    const own = [...ends.filter((end) => from < end && end < to), to].map((end) => end - from);
    return {
      ...movement.concat(node, chosen),
      ranges: { ends: own, rows: (start, end) => rows(from + start, from + end) },
    };
  };
  return rows(0, shape[0]);
}

/** Does row r of the result depend on the r-th rows of the inputs alone? */
function keepsRows(n: Node, inputs: readonly Expression[]): boolean {
  const [x] = inputs, [rows] = n.shape;
  if (n.op in elementwise) return true;
  if (n.op === "reshape" || n.op === "broadcast") {
    return x.shape[0] === rows && (n.op === "reshape" || x.shape.length === n.shape.length);
  }
  if (isOp(n, "transpose")) return n.attrs.perm[0] === 0;
  if (isOp(n, "slice")) return x.shape[0] === rows;
  return isOp(n, "concat") && n.attrs.axis !== 0;
}

type Rule = (n: Node, inputs: readonly Expression[]) => Expression;

/** An op that no kernel computes, by its rule; where it keeps the rows of its inputs apart, by ranges too. */
function byRanges(n: Node, inputs: readonly Expression[], rule: Rule): Expression {
  const whole = rule(n, inputs);
  if (!keepsRows(n, inputs)) return whole;
  const follows = (x: Expression) =>
    x.shape[0] === n.shape[0] && (n.op === "reshape" || x.shape.length === n.shape.length);
  const ends = new Set(inputs.filter(follows).flatMap((x) => x.ranges?.ends ?? []));
  if (ends.size === 0) return whole;
  const rows = (from: number, to: number, start?: Slot): Expression => {
    const chosen = inputs.map((x) => follows(x) ? rowsOf(x, from, to, start) : x);
    return byRanges({ ...n, shape: n.shape.with(0, to - from) }, chosen, rule);
  };
  return { ...whole, ranges: { ends: [...ends].sort((a, b) => a - b), rows } };
}

/** What a shader binds, and how a value becomes memory. */
interface Room {
  limits: { bindings: number; bytes?: number };
  inMemory: (x: Expression, label: string) => Expression;
}

/** Rows by id: a shader looks into as many ranges as it binds and keeps what those before it have found. */
function gatherByRanges(
  n: Node,
  [table, given]: readonly Expression[],
  { limits: { bindings, bytes = Infinity }, inMemory }: Room,
): Expression {
  const ids = given.slots.size > 1 ? inMemory(given, "ids") : given, lead = ids.shape.length;
  const { ends, rows } = table.ranges!;
  let found: Expression | undefined, start = 0;
  while (start < table.shape[0]) {
    // Beside the ranges: ids, what was found before, and what is written.
    const fits = ends.filter((end) => end > start)
      .filter((end, i) => i === 0 || rows(start, end).slots.size + ids.slots.size + 2 <= bindings);
    const from = start, part = rows(from, fits.at(-1)!), before = found && inMemory(found, n.op);
    start = fits.at(-1)!;
    found = {
      shape: n.shape,
      dtype: n.dtype,
      cost: part.cost + ids.cost,
      slots: new Set([...part.slots, ...ids.slots, ...(before?.slots ?? [])]),
      at: (w, index) => {
        const id = bounded(w, ids.at(w, index.slice(0, lead)), table.shape[0]);
        const row = from === 0 ? id : w.bind(`${id} - ${from}u`); // below the start it wraps: bounded
        const own = w.bind(`min(${row}, ${part.shape[0] - 1}u)`);
        const value = part.at(w, [own, ...index.slice(lead)]);
        if (before === undefined) return value;
        return w.bind(`select(${before.at(w, index)}, ${value}, ${id} >= ${from}u)`);
      },
    };
  }
  // Every element looks into all ranges, so what many read is better found once.
  return bytesOf(n) > bytes ? found! : inMemory(found!, n.op);
}

/** An op that no kernel computes, where an input lies in parts. What is in parts stays so. */
export function expressParts(
  n: Node,
  inputs: readonly Expression[],
  { rule, ...room }: Room & { rule: Rule },
): Expression {
  const [x] = inputs;
  if (isOp(n, "gather") && x.ranges !== undefined) return gatherByRanges(n, inputs, room);
  if (isOp(n, "slice")) {
    const { starts, ends } = n.attrs, rows = rowsOf(x, starts[0], ends[0]);
    return byRanges({ ...n, attrs: { starts: starts.with(0, 0), ends } }, [rows], rule);
  }
  return byRanges(n, inputs, rule);
}
