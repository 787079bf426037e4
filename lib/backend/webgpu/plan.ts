/**
 * In which order dispatches run, which states are changed where they lie, and which temporaries share memory. It
 * knows no device: sizes and order only. Next on the walk: `backend.ts`, which makes buffers of the plan.
 */
import type { Dispatch, Lowered, State } from "./lower.ts";
import { bytesOf, type Slot } from "./writer.ts";

/** All of one slot into another. */
export interface Copy {
  readonly from: Slot;
  readonly to: Slot;
}

/** What a run does, in order, and where each slot lies. */
export interface Plan {
  readonly operations: readonly (Dispatch | Copy)[];
  /** Inputs that stand for a state: their memory is changed in place. */
  readonly aliases: ReadonlyMap<Slot, Slot>;
  /** Block of each temporary. */
  readonly places: ReadonlyMap<Slot, number>;
  /** Bytes of each block. */
  readonly blocks: readonly number[];
}

export const isCopy = (operation: Dispatch | Copy): operation is Copy => "from" in operation;

const readsOf = (o: Dispatch | Copy): readonly Slot[] =>
  isCopy(o) ? [o.from] : o.bindings.map(({ slot }) => slot);
const writesOf = (o: Dispatch | Copy): readonly Slot[] =>
  isCopy(o) ? [o.to] : o.bindings.filter(({ writes }) => writes).map(({ slot }) => slot);

/** Optimiser steps last: whoever still reads an old parameter comes before it is overwritten. */
function inOrder({ dispatches, states }: Lowered): Dispatch[] {
  const changed = new Set(states.map(({ slot }) => slot));
  const later = dispatches.filter((d) => {
    const own = writesOf(d).filter((slot) => changed.has(slot));
    return own.length > 0 && writesOf(d).length === own.length &&
      dispatches.every((other) => other === d || !readsOf(other).some((s) => own.includes(s)));
  });
  return [...dispatches.filter((d) => !later.includes(d)), ...later];
}

/** Blocks for temporaries: one is free again after the last operation that reads it. */
function placeTemporaries(operations: readonly (Dispatch | Copy)[], kept: ReadonlySet<Slot>) {
  const last = new Map<Slot, number>();
  operations.forEach((o, i) =>
    [...readsOf(o), ...writesOf(o)].forEach((slot) => last.set(slot, i))
  );
  const places = new Map<Slot, number>(), blocks: number[] = [], free = new Set<number>();
  operations.forEach((o, i) => {
    for (const slot of writesOf(o)) {
      if (kept.has(slot) || places.has(slot)) continue;
      const bytes = bytesOf(slot);
      const fit = [...free].filter((b) => blocks[b] >= bytes && blocks[b] <= 2 * bytes + 4096)
        .sort((a, b) => blocks[a] - blocks[b])[0] ?? blocks.push(bytes) - 1;
      free.delete(fit);
      places.set(slot, fit);
    }
    for (const slot of new Set([...readsOf(o), ...writesOf(o)])) {
      if (places.has(slot) && last.get(slot) === i) free.add(places.get(slot)!);
    }
  });
  return { places, blocks };
}

/** The states that lead from an input to its update, one after the other; empty where anything else is between. */
function chainOf({ states }: Lowered, { input, update }: { input: Slot; update: Slot }): State[] {
  const chain: State[] = [];
  for (let slot = update; slot !== input;) {
    const state = states.find((s) => s.slot === slot);
    if (state === undefined) return [];
    chain.unshift(state);
    slot = state.from;
  }
  return chain;
}

/**
 * States that are changed where the input of their update lies (a cache that one run extends several times): none
 * may be wanted again once the next one is begun.
 */
function inPlace(lowered: Lowered, order: readonly Dispatch[]): Map<Slot, Slot> {
  const { states, inputs, outputs, updates } = lowered, aliases = new Map<Slot, Slot>();
  for (const [name, update] of Object.entries(updates)) {
    const [input] = inputs.get(name)!, chain = chainOf(lowered, { input, update });
    const given = Object.entries(updates).filter(([other]) => other !== name)
      .map(([, value]) => value).concat(Object.values(outputs));
    const free = chain.every(({ slot, from }) => {
      const start = order.findIndex((o) => writesOf(o).includes(slot));
      return states.filter((other) => other.from === from).length === 1 && !given.includes(from) &&
        !order.some((o, i) => i >= start && readsOf(o).includes(from));
    });
    if (free) { for (const { slot } of chain) aliases.set(slot, input); }
  }
  return aliases;
}

/** Orders a lowered program and lays out its memory. */
export function plan(lowered: Lowered): Plan {
  const { states, inputs, constants, outputs, updates } = lowered;
  const dispatches = inOrder(lowered), aliases = inPlace(lowered, dispatches);
  const order: (Dispatch | Copy)[] = [...dispatches];
  for (const { slot, from } of states) {
    if (aliases.has(slot)) continue;
    const start = order.findIndex((o) => writesOf(o).includes(slot));
    order.splice(start, 0, { from, to: slot });
  }
  for (const [name, value] of Object.entries(updates)) {
    const [to] = inputs.get(name)!;
    if (aliases.get(value) !== to) order.push({ from: value, to });
  }
  const kept = new Set<Slot>([
    ...[...inputs.values()].flat(),
    ...constants.keys(),
    ...Object.values(outputs),
    ...aliases.keys(),
  ]);
  return { operations: order, aliases, ...placeTemporaries(order, kept) };
}
