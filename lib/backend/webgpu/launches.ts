/**
 * Which kernel computes each op that is not read through: one table row an op, primitives and the composites that
 * have a kernel of their own. A row decides which operands become memory first and declares the functions that the
 * kernel's page asks for. Every other composite runs as its expansion. Next on the walk: `plan.ts`.
 */
import { isOp, type Node, type OpAttrs, type Shape, sizeOf } from "../../graph/node.ts";
import { reduceKernel } from "../../../kernels/fold.ts";
import {
  adamwKernel,
  cacheRowsKernel,
  keepRowsKernel,
  treeAttentionKernel,
} from "../../../kernels/in_place.ts";
import {
  argmaxKernel,
  crossEntropyKernel,
  rmsNormKernel,
  ropeKernel,
  sampleKernel,
  scatterAddKernel,
  softmaxKernel,
  topKKernel,
} from "../../../kernels/rows.ts";
import { ELEMENTWISE_COMPOSITES } from "./elementwise.ts";
import type { Lowering, LowerLimits } from "./lower.ts";
import { claimsPacked, launchPacked } from "./packed_product.ts";
import { launchProduct } from "./product.ts";
import { attendStreams, attendStreamsBack, claimsStreams } from "./streams.ts";
import { movement } from "./movement.ts";
import { type Bindings, type Expression, functionOf, type Slot, Writer } from "./writer.ts";

type Launch<O extends keyof OpAttrs> = (
  node: Node<O>,
  inputs: readonly Expression[],
  l: Lowering,
) => Slot[];

/** Element types of `put` in WGSL. */
function putInto(slot: Slot, bindings: Bindings): string {
  const type = slot.dtype === "i32" ? "i32" : "f32";
  return `fn put(i: u32, v: ${type}) { ${bindings.name(slot, { writes: true })}[i] = v; }`;
}

/** A function over rows and places in them, of any leading shape. */
const rowFunction = (name: string, x: Expression, bindings: Bindings) => {
  const length = x.shape[x.shape.length - 1];
  return functionOf(name, x, {
    parameters: ["r", "i"],
    bindings,
    index: (w) => w.plus(w.times("r", length), "i"),
  });
};

const flatFunction = (name: string, x: Expression, bindings: Bindings) =>
  functionOf(name, x, { parameters: ["i"], bindings, index: () => "i" });

/** Four values of row r from place i on: a vector of memory where they lie so, otherwise one by one. */
function fourFunction(
  name: string,
  x: Expression,
  { lead, bindings }: { lead: Shape; bindings: Bindings },
): string {
  const w = new Writer(bindings), index = (i: string) => [...w.split("r", lead), i];
  const { view } = x;
  const vectors = view !== undefined && view.slot.dtype === "f32" && view.strides.at(-1) === 1 &&
    [...view.strides.slice(0, -1), view.offset, sizeOf(view.slot.shape)].every((n) => n % 4 === 0);
  const value = vectors
    ? `${bindings.name(view.slot, { vectors: true })}[(${
      index("i").reduce((sum, i, d) => w.plus(sum, w.times(i, view.strides[d])), `${view.offset}u`)
    }) / 4u]`
    : `vec4f(${[0, 1, 2, 3].map((j) => x.at(w, index(w.plus("i", j)))).join(", ")})`;
  return [
    `fn ${name}(r: u32, i: u32) -> vec4f {`,
    ...w.lines.map((line) => `  ${line}`),
    `  return ${value};`,
    "}",
  ].join("\n");
}

/** A value repeated to a shape. */
const repeated = (x: Expression, shape: Shape): Expression =>
  movement.broadcast({ shape, dtype: x.dtype } as Node<"broadcast">, [x]);

const rowsOf = (x: Expression) => {
  const length = x.shape[x.shape.length - 1] ?? 1;
  return { rows: sizeOf(x.shape) / length, length };
};

function fold(n: Node<"reduce">, [x]: readonly Expression[], l: Lowering): Slot[] {
  const { fn, axes } = n.attrs, shape = x.shape;
  const kept = shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const outer = kept.map((i) => shape[i]), inner = axes.map((i) => shape[i]);
  const out: Slot = { shape: n.shape, dtype: "f32", label: `${fn} over ${axes}` };
  const kernel = reduceKernel({
    ...{ count: sizeOf(outer), length: sizeOf(inner), fn },
    along: axes.includes(shape.length - 1),
  });
  l.launch(kernel, (bindings) => [
    functionOf("value", x, {
      parameters: ["o", "r"],
      bindings,
      index: (w) => {
        const o = w.split("o", outer), r = w.split("r", inner);
        return shape.map((_, i) => axes.includes(i) ? r[axes.indexOf(i)] : o[kept.indexOf(i)]);
      },
    }),
    putInto(out, bindings),
  ]);
  return [out];
}

function softmax(
  n: Node<"softmax"> | Node<"logSoftmax">,
  [given]: readonly Expression[],
  l: Lowering,
): Slot[] {
  // The row is read three times.
  const x = l.settled(given, { cost: 3, label: n.op });
  const out: Slot = { shape: n.shape, dtype: "f32", label: n.op };
  const kernel = softmaxKernel({ ...rowsOf(x), log: n.op === "logSoftmax" });
  l.launch(kernel, (b) => [rowFunction("x_at", x, b), putInto(out, b)]);
  return [out];
}

function attend(n: Node<"treeAttention">, inputs: readonly Expression[], l: Lowering): Slot[] {
  const given = inputs.map((x) => l.inMemory(x, "attention"));
  const [qkv, oldKeys, oldValues, length, positions, bias, cos, sin] = given;
  const [batch, rows] = qkv.shape, [, , capacity, headSize] = oldKeys.shape;
  const sizes = { batch, rows, capacity, headSize, ...n.attrs };
  const keys = l.state(oldKeys, "keys"), values = l.state(oldValues, "values");
  const shared = (bindings: Bindings) => {
    const angle = (name: string, table: Expression) =>
      functionOf(name, table, {
        parameters: ["b", "t", "i"],
        bindings,
        index: (w) => {
          const at = positions.at(w, ["b", "t"]);
          return [w.bind(`u32(clamp(${at}, 0i, ${table.shape[0] - 1}i))`), "i"];
        },
      });
    return [
      functionOf("qkv", qkv, {
        parameters: ["b", "t", "j"],
        bindings,
        index: () => ["b", "t", "j"],
      }),
      functionOf("length_at", length, { parameters: ["b"], bindings, index: () => ["b"] }),
      angle("angle_cos", cos),
      angle("angle_sin", sin),
    ];
  };
  const put = (name: string, slot: Slot, bindings: Bindings) =>
    `fn ${name}(i: u32, v: f32) { ${bindings.name(slot, { writes: true })}[i] = v; }`;
  l.launch(cacheRowsKernel(sizes), (bindings) => [
    ...shared(bindings),
    put("put_key", keys, bindings),
    put("put_value", values, bindings),
  ]);
  const context: Slot = { shape: n.shape, dtype: "f32", label: "context" };
  l.launch(treeAttentionKernel(sizes), (bindings) => [
    ...shared(bindings),
    functionOf("bias_at", bias, {
      parameters: ["b", "t", "c"],
      bindings,
      index: () => [bias.shape[0] === 1 ? "0u" : "b", "0u", "t", "c"],
    }),
    ...[["key_at", keys], ["value_at", values]].map(([name, slot]) =>
      `fn ${name}(i: u32) -> vec4f { return ${bindings.name(slot as Slot, { vectors: true })}[i]; }`
    ),
    putInto(context, bindings),
  ]);
  return [context, keys, values];
}

function keep(
  n: Node<"keepRows">,
  [given, ...indices]: readonly Expression[],
  l: Lowering,
): Slot[] {
  const [from, offsets] = indices.map((x) => l.inMemory(x, "keepRows"));
  const cache = l.state(given, "cache"), [capacity, width] = n.shape.slice(-2);
  const lead = sizeOf(n.shape) / capacity / width, [count] = offsets.shape;
  l.launch(keepRowsKernel({ lead, capacity, width, count }), (bindings) => {
    const name = bindings.name(cache, { writes: true });
    return [
      functionOf("from_at", from, { parameters: [], bindings, index: () => ["0u"] }),
      flatFunction("offset_at", offsets, bindings),
      `fn cache_get(p: u32) -> f32 { return ${name}[p]; }`,
      `fn cache_put(p: u32, v: f32) { ${name}[p] = v; }`,
    ];
  });
  return [cache];
}

type Launched = "matmul" | "reduce" | "scatterAdd" | "topK";
type Native =
  | ("softmax" | "logSoftmax" | "rmsNorm" | "crossEntropy" | "treeAttention" | "keepRows" | "adamw")
  | ("rope" | "quantizedMatmul" | "argmaxRows" | "sampleRows")
  | ("streamAttention" | "streamAttentionGradient");

/** Kernels by op. */
export const launches: { [O in Launched | Native]: Launch<O> } = {
  matmul: (n, inputs, l) => launchProduct(n, inputs, { l }),
  quantizedMatmul: (n, inputs, l) => launchPacked(n, inputs, { l }),
  reduce: fold,
  scatterAdd: (n, [ids, values], l) => {
    const count = sizeOf(ids.shape), width = sizeOf(n.shape.slice(1));
    const out: Slot = { shape: n.shape, dtype: "f32", label: "scatterAdd" };
    l.launch(scatterAddKernel({ rows: n.shape[0], count, width }), (bindings) => [
      flatFunction("id_at", ids, bindings),
      functionOf("value", values, {
        parameters: ["i", "j"],
        bindings,
        index: (w) => w.plus(w.times("i", width), "j"),
      }),
      putInto(out, bindings),
    ]);
    return [out];
  },
  topK: (n, [given], l) => {
    const x = l.settled(given, { cost: 0, label: "topK" });
    const out: Slot = { shape: n.shape, dtype: "i32", label: "topK" };
    const kernel = topKKernel({ ...rowsOf(x), k: n.attrs.k });
    l.launch(kernel, (b) => [rowFunction("x_at", x, b), putInto(out, b)]);
    return [out];
  },
  softmax,
  logSoftmax: softmax,
  rmsNorm: (n, inputs, l) => {
    const [x, w] = inputs.map((input) => l.settled(input, { cost: 3, label: "rmsNorm" }));
    const out: Slot = { shape: n.shape, dtype: "f32", label: "rmsNorm" };
    const kernel = rmsNormKernel({ ...rowsOf(x), epsilon: n.attrs.epsilon });
    l.launch(kernel, (bindings) => [
      rowFunction("x_at", x, bindings),
      flatFunction("w_at", w, bindings),
      putInto(out, bindings),
    ]);
    return [out];
  },
  rope: (n, [given, cos, sin], l) => {
    // Each element is read once, whatever it takes to compute it.
    const [x, ...tables] = l.fitting([given, cos, sin], "rope"), lead = n.shape.slice(0, -1);
    const out: Slot = { shape: n.shape, dtype: "f32", label: "rope" };
    l.launch(ropeKernel(rowsOf(x)), (bindings) => [
      fourFunction("x_four", x, { lead, bindings }),
      ...tables.map((table, i) =>
        fourFunction(["cos_four", "sin_four"][i], repeated(table, [...lead, x.shape.at(-1)! / 2]), {
          ...{ lead, bindings },
        })
      ),
      `fn put(p: u32, v: vec4f) { ${bindings.name(out, { writes: true, vectors: true })}[p] = v; }`,
    ]);
    return [out];
  },
  crossEntropy: (n, inputs, l) => {
    const [x, p] = inputs.map((input) => l.settled(input, { cost: 3, label: "crossEntropy" }));
    const out: Slot = { shape: n.shape, dtype: "f32", label: "crossEntropy" };
    l.launch(crossEntropyKernel(rowsOf(x)), (bindings) => [
      rowFunction("x_at", x, bindings),
      rowFunction("p_at", p, bindings),
      putInto(out, bindings),
    ]);
    return [out];
  },
  argmaxRows: (n, [x], l) => {
    const out: Slot = { shape: n.shape, dtype: "i32", label: "argmax" };
    l.launch(argmaxKernel(rowsOf(x)), (b) => [rowFunction("x_at", x, b), putInto(out, b)]);
    return [out];
  },
  sampleRows: (n, [given, u], l) => {
    // The row is read once and a little of it again.
    const p = l.settled(given, { cost: 3, label: "probabilities" });
    const [lean] = l.fitting([u], "uniforms");
    const uniforms = lean.slots.size + p.slots.size >= l.limits.bindings
      ? l.inMemory(lean, "uniforms")
      : lean;
    const out: Slot = { shape: n.shape, dtype: "i32", label: "sample" };
    l.launch(sampleKernel(rowsOf(p)), (bindings) => [
      rowFunction("p_at", p, bindings),
      flatFunction("uniform_at", uniforms, bindings),
      putInto(out, bindings),
    ]);
    return [out];
  },
  treeAttention: attend,
  keepRows: keep,
  streamAttention: attendStreams,
  streamAttentionGradient: attendStreamsBack,
  adamw: (n, [parameter, gradient, first, second, schedule], l) => {
    const states = [parameter, first, second].map((x, i) => l.state(x, "pmv"[i]));
    const [g] = l.fitting([gradient], "gradient");
    const lean = g.slots.size + 4 > l.limits.bindings ? l.inMemory(g, "gradient") : g;
    l.launch(adamwKernel({ ...n.attrs, count: sizeOf(n.shape) }), (bindings) => [
      flatFunction("gradient", lean, bindings),
      flatFunction("schedule_at", l.inMemory(schedule, "schedule"), bindings),
      ...states.flatMap((slot, i) => {
        const name = bindings.name(slot, { writes: true });
        return [
          `fn ${"pmv"[i]}_get(i: u32) -> f32 { return ${name}[i]; }`,
          `fn ${"pmv"[i]}_put(i: u32, x: f32) { ${name}[i] = x; }`,
        ];
      }),
    ]);
    return states;
  },
};

/** Slots that `tree_attention.wgsl` binds: eight operands and what it writes. */
const ATTENTION_SLOTS = 9;

/**
 * Is there a kernel for this composite? Heads of odd sizes, and all heads where a shader binds too few slots, are
 * attended to by the expansion.
 */
export function claims(n: Node, limits: LowerLimits): boolean {
  if (limits.expanded?.has(n.op)) return false;
  if (n.op === "streamAttention" || n.op === "streamAttentionGradient") {
    return claimsStreams(n, limits);
  }
  if (isOp(n, "quantizedMatmul")) return claimsPacked(n);
  if (n.op === "rope") return n.shape.at(-1)! % 8 === 0; // four pairs a thread
  if (n.op === "treeAttention") {
    const headSize = n.inputs[1].shape[3];
    return headSize % 4 === 0 && headSize <= 256 && limits.bindings >= ATTENTION_SLOTS;
  }
  return n.op in launches || ELEMENTWISE_COMPOSITES.has(n.op);
}
