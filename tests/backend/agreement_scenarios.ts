/**
 * Programs on which the backends must agree as a whole: caches written in place, AdamW steps, and updates
 * whose old value is still wanted elsewhere (through aliases, in the other order, unchanged). Not a test
 * itself: `agreement_test.ts` runs it.
 */
import { adamw, expand, rmsNorm, silu, treeAttention } from "../../lib/graph/composites.ts";
import { gradients } from "../../lib/graph/gradients.ts";
import { keepRows } from "../../lib/graph/keep_rows.ts";
import type { HostArray, Node, Shape } from "../../lib/graph/node.ts";
import * as ops from "../../lib/graph/ops.ts";
import { type Program, program } from "../../lib/graph/program.ts";
import { integers, values } from "../graph/evaluate.ts";
import type { Tolerance } from "../tolerance.ts";

/** A Program, the data of its inputs, and how often it runs over the same tensors. */
export interface Scenario {
  build: () => Program;
  data: Record<string, HostArray>;
  runs?: number;
  tolerance?: Tolerance;
  /** Elements of an output or update that may hold anything. */
  free?: (name: string, index: number) => boolean;
}

const random = (shape: Shape, name: string) => Float32Array.from(values(shape, name));
const A: Shape = [16, 16];
const state = { a: random(A, "a"), b: random(A, "b") };

/** Two states a, b [16,16] and what becomes of them. */
function twoStates(
  build: (a: Node, b: Node) => { outputs?: Record<string, Node>; updates: Record<string, Node> },
): Scenario {
  return {
    data: state,
    tolerance: { a: 1e-4, n: 256 },
    build: () => {
      const { outputs = {}, updates } = build(ops.input("a", A), ops.input("b", A));
      return program(outputs, { updates });
    },
  };
}

const half = (x: Node) => ops.mul(x, 0.5);
const product = (x: Node, y: Node) => ops.matmul(x, y, { alpha: 0.05 });

const updateScenarios: Record<string, Scenario> = {
  "states that change places": twoStates((a, b) => ({ updates: { a: b, b: a } })),
  "a state written over while the other needs it": twoStates((a, b) => ({
    updates: { a: half(ops.add(a, b)), b: half(ops.sub(a, b)) },
  })),
  "the old state as an output": twoStates((a, b) => ({
    outputs: { a, product: product(a, b) },
    updates: { a: half(ops.add(a, b)) },
  })),
  "the new state as an output too": twoStates((a, b) => {
    const next = half(ops.add(a, b));
    return { outputs: { next, again: next, product: product(next, a) }, updates: { a: next } };
  }),
  "one new value for two states": twoStates((a, b) => {
    const next = half(ops.add(a, b));
    return { updates: { a: next, b: next } };
  }),
  "a state unchanged": twoStates((a, b) => ({
    outputs: { sum: ops.add(a, b) },
    updates: { a, b: half(b) },
  })),
  "the old state read late through reshape": twoStates((a, b) => {
    const flat = ops.reshape(a, [256]), next = half(ops.add(a, ops.reshape(half(flat), A)));
    const late = product(ops.reshape(flat, A), product(next, b));
    return { outputs: { late }, updates: { a: ops.add(next, b) } };
  }),
  "the old state read late through detach": twoStates((a, b) => {
    const kept = ops.detach(a), next = half(ops.add(a, ops.mul(kept, b)));
    return { outputs: { late: product(kept, product(next, b)) }, updates: { a: next } };
  }),
  "the old state read late through a broadcast": twoStates((a, b) => {
    const wide = ops.broadcast(a, [1, ...A]), next = half(ops.add(a, ops.reshape(wide, A)));
    const late = ops.add(wide, ops.reshape(product(next, b), [1, ...A]));
    return { outputs: { late }, updates: { a: next } };
  }),
  "a state made of its own reduction": twoStates((a, b) => ({
    updates: {
      a: ops.sub(a, ops.reduce("mean", a, { axes: [0], keep: true })),
      b: ops.mul(b, ops.reduce("max", b, { axes: [1], keep: true })),
    },
  })),
  "a state turned, multiplied by itself, shifted": twoStates((a, b) => ({
    updates: {
      a: ops.transpose(product(a, a), [1, 0]),
      b: ops.concat([ops.sliceAxis(b, 0, { start: 1 }), ops.sliceAxis(b, 0, { end: 1 })], 0),
    },
  })),
  // Optimisers like to fuse these pairs into one op, which then reads and writes the state at once.
  "a state multiplied, then scaled or added to": twoStates((a, b) => ({
    updates: { a: ops.mul(ops.matmul(a, b), 0.05), b: ops.add(product(b, a), a) },
  })),
  "a state multiplied in a batch, then scaled": twoStates((a, b) => {
    const lift = (x: Node) => ops.reshape(x, [1, ...A]);
    const c = ops.mul(ops.matmul(lift(a), lift(a)), 0.05);
    return { updates: { a: ops.reshape(c, A), b: half(ops.add(b, silu(product(b, b)))) } };
  }),
  "a state read twice by its last op": twoStates((a, b) => ({
    updates: { a: ops.where(ops.compare("gt", a, 0), half(a), ops.neg(a)), b: ops.mul(b, b) },
  })),
};

/** Sizes of an attention: B sequences, T rows, C cache rows, K head size. */
interface Attention {
  t: number;
  capacity: number;
  k: number;
  heads: number;
  kvHeads: number;
  lengths: number[];
  /** Also outputs something made of the context and the old keys, which are overwritten by then. */
  old?: boolean;
  /** Run the expansion instead of the node. */
  expanded?: boolean;
  /** One bias for all sequences, or as many as there are. */
  biases?: number;
}

function attention(
  { t, capacity, k, heads, kvHeads, lengths, old = false, expanded = false, biases = 1 }: Attention,
): Scenario {
  const b = lengths.length, cache = [b, kvHeads, capacity, k], table = [128, k / 2];
  const shapes = {
    qkv: [b, t, (heads + 2 * kvHeads) * k],
    keys: cache,
    values: cache,
    bias: [biases, 1, t, capacity],
  };
  // Depths and a tree mask: row i may see the cache and those of rows 0..i whose number divides its own.
  const bias = new Float32Array(biases * t * capacity),
    depths = integers([t], "depths", { below: t });
  for (let i = 0; i < t; i++) {
    for (let c = 0; c < capacity; c++) {
      const row = c - lengths[0], hidden = row >= 0 && (row > i || (i + 1) % (row + 1) !== 0);
      bias[i * capacity + c] = hidden ? -1e9 : 0;
    }
  }
  // Those of other sequences hide their first rows.
  for (let s = 1; s < biases; s++) {
    for (let i = 0; i < t; i++) bias.fill(-1e9, (s * t + i) * capacity, (s * t + i) * capacity + s);
  }
  const angles = Float32Array.from({ length: 128 * k / 2 }, (_, i) => {
    return Math.floor(i / (k / 2)) * 100 ** -((i % (k / 2)) / k);
  });
  const positions = lengths.flatMap((length) => Array.from(depths, (d) => length + d));
  return {
    // One run where the old rows count: a second one writes the same keys again.
    runs: old ? 1 : 2,
    tolerance: { a: 2e-5, n: 4 * (capacity + k) },
    // Cache rows behind the new ones are nobody's: they are never read before they are written.
    free: (name, i) => {
      const row = Math.floor(i / k) % capacity, sequence = Math.floor(i / k / capacity / kvHeads);
      return (name === "keys" || name === "values") && row >= lengths[sequence] + t;
    },
    data: {
      qkv: random(shapes.qkv, "qkv"),
      keys: random(cache, "keys"),
      values: random(cache, "values"),
      bias,
      length: Int32Array.from(lengths),
      positions: Int32Array.from(positions),
      cos: angles.map(Math.cos),
      sin: angles.map(Math.sin),
    },
    build: () => {
      const keys = ops.input("keys", cache);
      const found = treeAttention({
        qkv: ops.input("qkv", shapes.qkv),
        keys,
        values: ops.input("values", cache),
        bias: ops.input("bias", shapes.bias),
        length: ops.input("length", [b], "i32"),
        positions: ops.input("positions", [b, t], "i32"),
        cos: ops.input("cos", table),
        sin: ops.input("sin", table),
      }, { heads, kvHeads });
      const [context, newKeys, newValues] = expanded
        ? expand(found.context.inputs[0])
        : [found.context, found.keys, found.values];
      const late = ops.mul(keys, ops.reduce("mean", context, { axes: [0, 1, 2] }));
      return program({ context, ...(old && { late }) }, {
        updates: { keys: newKeys, values: newValues },
      });
    },
  };
}

const one = { capacity: 65, k: 16, heads: 4, kvHeads: 2 };
const grouped = { capacity: 64, k: 64, heads: 7, kvHeads: 1 };
const attentionScenarios: Record<string, Scenario> = {
  "treeAttention: one row": attention({ ...one, t: 1, lengths: [17] }),
  "treeAttention: one row, empty cache": attention({ ...one, t: 1, lengths: [0] }),
  "treeAttention: first rows, empty cache": attention({ ...one, t: 15, lengths: [0] }),
  "treeAttention: a tree": attention({ ...one, t: 17, lengths: [7] }),
  "treeAttention: a tree that fills the cache": attention({ ...one, t: 16, lengths: [49] }),
  "treeAttention: rows that fill the cache from the start": attention({
    ...{ ...one, capacity: 16 },
    ...{ t: 16, lengths: [0] },
  }),
  "treeAttention: one key head": attention({ ...grouped, t: 7, lengths: [16] }),
  "treeAttention: small heads": attention({ ...one, k: 8, t: 7, lengths: [16] }),
  "treeAttention: sequences of different lengths": attention({ ...one, t: 3, lengths: [9, 0, 61] }),
  "treeAttention: sequences of different lengths, one row": attention({
    ...{ ...one, t: 1 },
    ...{ lengths: [9, 0, 61, 64] },
  }),
  "treeAttention: a bias for each sequence": attention({
    ...{ ...one, t: 1 },
    ...{ lengths: [9, 17, 61], biases: 3 },
  }),
  "treeAttention: a bias for each sequence, rows": attention({
    ...{ ...one, t: 3 },
    ...{ lengths: [9, 17, 61], biases: 3 },
  }),
  "treeAttention: old keys wanted too": attention({ ...one, t: 3, lengths: [9], old: true }),
  "treeAttention expanded": attention({ ...one, t: 17, lengths: [7], expanded: true }),
  "treeAttention expanded, different lengths": attention({
    ...{ ...one, t: 3, expanded: true },
    ...{ lengths: [9, 0, 61] },
  }),
};

/** A cache whose accepted rows move together, twice in a run; `old` asks for what it was before. */
function keptRows({ old = false, from }: { old?: boolean; from: number }): Scenario {
  const shape: Shape = [2, 3, 20, 8];
  return {
    data: {
      cache: random(shape, "cache"),
      from: Int32Array.of(from),
      offsets: Int32Array.of(0, 2, 5, 3),
    },
    build: () => {
      const cache = ops.input("cache", shape), at = ops.input("from", [1], "i32");
      const offsets = ops.input("offsets", [4], "i32");
      const once = keepRows(cache, { from: at, offsets });
      const twice = keepRows(once, { from: ops.add(at, 1), offsets });
      const late = ops.sum(ops.mul(old ? cache : twice, once), [3]);
      return program(old ? { late } : {}, { updates: { cache: twice } });
    },
  };
}

const keepScenarios: Record<string, Scenario> = {
  "keepRows: where they lie": keptRows({ from: 5 }),
  "keepRows: up to the end": keptRows({ from: 13 }),
  "keepRows: the old cache wanted too": keptRows({ from: 5, old: true }),
};

/** A small network, its gradients and AdamW as one Program: `clip` and weight decay on. */
function training(shapes: Record<string, Shape>, rows: number): Scenario {
  const [[, [d]]] = Object.entries(shapes),
    data: Scenario["data"] = {
      x: random([rows, d], "x"),
      schedule: Float32Array.of(0.01, 0.19, 0.0975),
    };
  for (const [name, s] of Object.entries(shapes)) {
    data[name] = random(s, name);
    data[`${name}.first`] = random(s, "first").map((v) => 0.01 * v);
    data[`${name}.second`] = random(s, "second").map((v) => 0.01 * v * v);
  }
  return {
    data,
    tolerance: { a: 5e-5, n: 400 },
    build: () => {
      const p = Object.fromEntries(Object.entries(shapes).map(([n, s]) => [n, ops.input(n, s)]));
      const x = ops.input("x", [rows, d]), updates: Record<string, Node> = {};
      const hidden = silu(ops.matmul(rmsNorm(x, p.norm, { epsilon: 1e-5 }), p.up));
      const y = ops.add(x, ops.matmul(hidden, p.down));
      const loss = ops.reduce("mean", ops.mul(y, y), { axes: [0, 1] });
      const slopes = gradients(loss, Object.values(p)), schedule = ops.input("schedule", [3]);
      Object.entries(p).forEach(([name, parameter], i) => {
        const first = ops.input(`${name}.first`, parameter.shape);
        const second = ops.input(`${name}.second`, parameter.shape);
        const step = adamw({ parameter, gradient: slopes[i], first, second, schedule }, {
          ...{ beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clip: 0.01 },
        });
        updates[name] = step.parameter;
        updates[`${name}.first`] = step.first;
        updates[`${name}.second`] = step.second;
      });
      return program({ loss }, { updates });
    },
  };
}

/** Programs by what they show. */
export const scenarios: Record<string, Scenario> = {
  ...updateScenarios,
  ...attentionScenarios,
  ...keepScenarios,
  "training steps with adamw": training({ norm: [17], up: [17, 63], down: [63, 17] }, 15),
};
