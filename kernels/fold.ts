/**
 * Launches of the pages that make one element from many or many from one: `pointwise.wgsl`, `reduce.wgsl`.
 */
import { type Kernel, spread } from "./kernel.ts";
import pointwise from "./pointwise.wgsl" with { type: "text" };
import reduce from "./reduce.wgsl" with { type: "text" };

/** Asks for value(i) and put(i, v). */
export function pointwiseKernel(count: number): Kernel {
  const THREADS = 256;
  return {
    name: "pointwise",
    text: pointwise,
    constants: { COUNT: count, THREADS },
    groups: spread(Math.ceil(count / THREADS)),
  };
}

/** A fold of `length` elements into each of `count` outputs. */
export interface Fold {
  count: number;
  length: number;
  fn: "sum" | "mean" | "max";
  /** The elements of one output are neighbours in memory. */
  along: boolean;
}

/** Asks for value(o, r), put(o, v). */
export function reduceKernel({ count, length, fn, along }: Fold): Kernel {
  // One thread an output reads whole rows of neighbours, unless there are too few outputs to fill a device.
  const lanes = length >= 8 && (along || count < 1024) ? 64 : 1;
  const start = fn === "max" ? "-3.4028234e38f" : "0f";
  const body = fn === "max" ? "max(a, b)" : "a + b";
  return {
    name: "reduce",
    text: `fn combine(a: f32, b: f32) -> f32 { return ${body}; }\n${reduce}`,
    constants: {
      ...{ COUNT: count, LENGTH: length, LANES: lanes, START: start },
      SCALE: fn === "mean" ? `${Math.fround(1 / length)}f` : "1f",
    },
    groups: spread(Math.ceil(count * lanes / 64)),
  };
}
