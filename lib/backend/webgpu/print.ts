/**
 * A program as the shaders that would run it, for reading: which kernels, in which order, how large. No device is
 * needed. Used by notebooks.
 */
import type { Program } from "../../graph/program.ts";
import { lower } from "./lower.ts";
import { isCopy, plan } from "./plan.ts";

/** One dispatch, in words and as WGSL. */
export interface PrintedShader {
  kernel: string;
  workgroups: number;
  /** What it binds, written ones marked with `*`. */
  binds: string;
  wgsl: string;
}

/** The dispatches of a program, in the order in which they run; copies are left out. */
export function printShaders(program: Program, { bindings = 16 } = {}): PrintedShader[] {
  return plan(lower(program, { bindings })).operations.flatMap((operation) =>
    isCopy(operation) ? [] : [{
      kernel: operation.name,
      workgroups: operation.groups.reduce((a, b) => a * b, 1),
      binds: operation.bindings
        .map(({ slot, writes }) => `${slot.label} [${slot.shape}]${writes ? "*" : ""}`).join(", "),
      wgsl: operation.text,
    }]
  );
}
