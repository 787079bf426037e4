/**
 * How does each op look in ONNX? One table row an op: primitives all, composites where ONNX Runtime has an
 * operator that beats the expansion. Emits fused forms directly (FusedMatMul, Gemm, GroupQueryAttention),
 * because they make up nearly all of the time. Next on the walk: `protobuf.ts` writes the bytes.
 */
import { expand, isComposite } from "../../graph/composites.ts";
import {
  type CompositeName,
  isOp,
  type Node,
  type OpAttrs,
  type PrimitiveName,
  sizeOf,
  zeroArray,
} from "../../graph/node.ts";
import type { Program } from "../../graph/program.ts";
import { Emitter, MICROSOFT } from "./emitter.ts";
import { ONNX_TYPE, type OnnxModel, type OnnxNode, type OnnxValueInfo } from "./protobuf.ts";

type Rule<O extends keyof OpAttrs> = (node: Node<O>, inputs: string[], emit: Emitter) => string;
type CompositeRule<O extends CompositeName> = (
  node: Node<O>,
  inputs: string[],
  emit: Emitter,
) => string[];

const UNARY = {
  neg: "Neg",
  exp: "Exp",
  log: "Log",
  sqrt: "Sqrt",
  reciprocal: "Reciprocal",
  sigmoid: "Sigmoid",
  tanh: "Tanh",
  abs: "Abs",
  sign: "Sign",
} as const;
const BINARY = { add: "Add", sub: "Sub", mul: "Mul", div: "Div", max: "Max", min: "Min" } as const;
const COMPARE = {
  lt: "Less",
  le: "LessOrEqual",
  gt: "Greater",
  ge: "GreaterOrEqual",
  eq: "Equal",
} as const;

const primitives: { [O in PrimitiveName]: Rule<O> } = {
  input: (n) => n.attrs.name,
  constant: (n, _, e) => e.initializer(n.dtype, n.attrs.data, n.shape),
  fill: (n, _, e) => {
    if (n.shape.length === 0 && n.dtype === "f32") return e.number(n.attrs.value);
    const one = e.initializer(n.dtype, zeroArray(n.dtype, 1).fill(n.attrs.value), []);
    return n.shape.length === 0 ? one : e.one("Expand", [one, e.integers(n.shape)]);
  },
  unary: (n, xs, e) => e.one(UNARY[n.attrs.fn], xs),
  binary: (n, xs, e) => e.one(BINARY[n.attrs.fn], xs),
  compare: (n, xs, e) => e.one(COMPARE[n.attrs.fn], xs),
  where: (_, xs, e) => e.one("Where", xs),
  cast: (n, xs, e) => e.one("Cast", xs, { to: { int: ONNX_TYPE[n.attrs.to] } }),
  detach: (_, [x]) => x,
  reduce: (n, [x], e) => {
    const { fn, axes, keep } = n.attrs;
    const name = { sum: "ReduceSum", mean: "ReduceMean", max: "ReduceMax" }[fn];
    return e.one(name, [x, e.integers(axes)], { keepdims: { int: keep ? 1 : 0 } });
  },
  reshape: (n, [x], e) => e.one("Reshape", [x, e.integers(n.shape)]),
  transpose: (n, xs, e) => e.one("Transpose", xs, { perm: { ints: n.attrs.perm } }),
  broadcast: (n, [x], e) => e.one("Expand", [x, e.integers(n.shape)]),
  slice: (n, [x], e) => {
    const full = n.inputs[0].shape, { starts, ends } = n.attrs;
    const axes = full.flatMap((d, i) => starts[i] !== 0 || ends[i] !== d ? [i] : []);
    const at = (v: readonly number[]) => e.integers(axes.map((a) => v[a]));
    return e.one("Slice", [x, at(starts), at(ends), e.integers(axes)]);
  },
  pad: (n, [x], e) => e.one("Pad", [x, e.integers([...n.attrs.before, ...n.attrs.after])]),
  concat: (n, xs, e) => e.one("Concat", xs, { axis: { int: n.attrs.axis } }),
  matmul: (n, [a, b], e) => {
    const { transA, transB, alpha } = n.attrs;
    const attrs = {
      transA: { int: transA ? 1 : 0 },
      transB: { int: transB ? 1 : 0 },
      alpha: { float: alpha },
    };
    if (n.shape.length === 2) return e.one("Gemm", [a, b], attrs);
    if (!e.standard) return e.one("FusedMatMul", [a, b], attrs, MICROSOFT);
    const perm = n.shape.map((_, i) => i).toSpliced(-2, 2, n.shape.length - 1, n.shape.length - 2);
    const turn = (x: string) => e.one("Transpose", [x], { perm: { ints: perm } });
    const product = e.one("MatMul", [transA ? turn(a) : a, transB ? turn(b) : b]);
    return alpha === 1 ? product : e.one("Mul", [product, e.number(alpha)]);
  },
  gather: (_, xs, e) => e.one("Gather", xs, { axis: { int: 0 } }),
  takeAlong: (n, xs, e) => e.one("GatherElements", xs, { axis: { int: n.attrs.axis } }),
  scatterAdd: (n, [ids, values], e) => {
    const count = sizeOf(n.inputs[0].shape), width = n.shape.slice(1);
    const zero = e.one("Expand", [e.number(0), e.integers(n.shape)]);
    const wide = e.one("Cast", [ids], { to: { int: ONNX_TYPE.i64 } });
    const rows = e.one("Reshape", [wide, e.integers([count, 1])]);
    const flat = e.one("Reshape", [values, e.integers([count, ...width])]);
    return e.one("ScatterND", [zero, rows, flat], { reduction: { string: "add" } });
  },
  topK: (n, [x], e) => {
    const [, at] = e.op("TopK", [x, e.integers([n.attrs.k])], {
      attrs: { axis: { int: -1 } },
      results: 2,
    });
    return e.one("Cast", [at], { to: { int: ONNX_TYPE.i32 } });
  },
};

/** Elements of a stored f16 matrix that are in f32 at a time: 16 MB, the least memory of the sizes tried. */
const HALF_BLOCK = 2 ** 22;

/**
 * x times a matrix stored in f16, block by block of its rows, each cast to f32 when x is there and freed behind its
 * product. ONNX Runtime would share one cast among all products of a step, and hold it to the end: so the rows of a
 * block begin at a number made of x, which is always the same and which it cannot know.
 */
function halfProduct(
  { inputs, attrs: { transB } }: Node<"halfMatmul">,
  [x, w]: string[],
  e: Emitter,
): string {
  const [rows] = inputs[0].shape, [outer, inner] = inputs[1].shape;
  // Parts of a result are there twice while they are joined: with many rows that is more than the matrix in f32.
  const whole = transB && rows >= inner;
  const size = whole ? outer : Math.max(1, Math.floor(HALF_BLOCK / inner));
  const one = e.one("Slice", [x, e.integers([0, 0]), e.integers([1, 1]), e.integers([0, 1])]);
  const less = e.one("Less", [e.one("Reshape", [one, e.integers([1])]), e.number(0)]);
  const bit = e.one("Cast", [less], { to: { int: ONNX_TYPE.i64 } });
  const zero = e.one("Mul", [bit, e.integers([0])]);
  const products: string[] = [];
  for (let start = 0; start < outer; start += size) {
    const end = Math.min(start + size, outer), to = [e.integers([end]), e.integers([0])];
    const stored = e.one("Slice", [w, e.one("Add", [zero, e.integers([start])]), ...to]);
    const block = e.one("Cast", [stored], { to: { int: ONNX_TYPE.f32 } });
    const part = transB || size >= outer
      ? x
      : e.one("Slice", [x, e.integers([start]), e.integers([end]), e.integers([1])]);
    const sum = transB ? [] : products.splice(0);
    products.push(e.one("Gemm", [part, block, ...sum], { transB: { int: transB ? 1 : 0 } }));
  }
  return products.length === 1 ? products[0] : e.one("Concat", products, { axis: { int: 1 } });
}

/** Composites that ONNX Runtime computes better than their expansion. */
const natives: { [O in CompositeName]?: CompositeRule<O> } = {
  softmax: (_, xs, e) => [e.one("Softmax", xs, { axis: { int: -1 } })],
  logSoftmax: (_, xs, e) => [e.one("LogSoftmax", xs, { axis: { int: -1 } })],
  silu: (_, xs, e) => [e.one("QuickGelu", xs, { alpha: { float: 1 } }, MICROSOFT)],
  rmsNorm: (n, xs, e) => [
    e.one("SimplifiedLayerNormalization", xs, {
      axis: { int: -1 },
      epsilon: { float: n.attrs.epsilon },
    }),
  ],
  // Tables [T,K/2] by row of the table; a start of 0 stands for positions 0, 1, ... of every sequence.
  rope: (_, [x, cos, sin], e) => [
    e.one(
      "RotaryEmbedding",
      [x, e.integers([0]), cos, sin],
      { interleaved: { int: 0 } },
      MICROSOFT,
    ),
  ],
  // The expansion with its constants folded into the step size: p (1 - lr wd) - a m / (sqrt(v) + eps c),
  // c = sqrt(1 - beta2^t), a = lr c / (1 - beta1^t). Each state is read once, before it is written.
  adamw: (n, [parameter, gradient, first, second, schedule], e) => {
    const { beta1, beta2, epsilon, weightDecay, clip } = n.attrs,
      number = (x: number) => e.number(x);
    const at = (i: number) => e.one("Gather", [schedule, e.scalar(i)], { axis: { int: 0 } });
    const [rate, c1, c2] = [at(0), at(1), at(2)], root = e.one("Sqrt", [c2]);
    const size = e.one("Div", [e.one("Mul", [rate, root]), c1]);
    const floor = e.one("Mul", [root, number(epsilon)]);
    const kept = e.one("Sub", [number(1), e.one("Mul", [rate, number(weightDecay)])]);
    const g = clip > 0 ? e.one("Clip", [gradient, number(-clip), number(clip)]) : gradient;
    const scaled = (x: string, by: number) => e.one("Mul", [x, number(by)]);
    const m = e.one("Add", [scaled(first, beta1), scaled(g, 1 - beta1)]);
    const v = e.one("Add", [scaled(second, beta2), scaled(e.one("Mul", [g, g]), 1 - beta2)]);
    const ratio = e.one("Div", [m, e.one("Add", [e.one("Sqrt", [v]), floor])]);
    const p = e.one("Sub", [e.one("Mul", [parameter, kept]), e.one("Mul", [ratio, size])]);
    return [p, m, v];
  },
  quantizedMatmul: (n, xs, e) => [
    e.one("MatMulNBits", xs, {
      K: { int: n.inputs[0].shape[1] },
      N: { int: n.shape[1] },
      bits: { int: n.attrs.bits },
      block_size: { int: n.attrs.block },
      // 4 = int8 activations, the quick path; the products sum in i32, exact for a block.
      accuracy_level: { int: 4 },
    }, MICROSOFT),
  ],
  halfMatmul: (n, [x, w], e) => [halfProduct(n, [x, w], e)],
  // Of equal values ArgMax takes the first.
  argmaxRows: (_, xs, e) => {
    const at = e.one("ArgMax", xs, { axis: { int: -1 }, keepdims: { int: 0 } });
    return [e.one("Cast", [at], { to: { int: ONNX_TYPE.i32 } })];
  },
  treeAttention: (n, [qkv, keys, values, length, positions, bias, cos, sin], e) => {
    const [, t] = n.inputs[0].shape, [, , capacity, k] = n.inputs[1].shape;
    // GroupQueryAttention counts to the last row it will hold: length + T - 1.
    const lastRow = e.one("Add", [length, e.initializer("i32", Int32Array.of(t - 1), [1])]);
    const total = e.initializer("i32", Int32Array.of(capacity), [1]);
    const at = e.one("Cast", [positions], { to: { int: ONNX_TYPE.i64 } });
    const inputs = [qkv, "", "", keys, values, lastRow, total, cos, sin, at, bias];
    return e.op("GroupQueryAttention", inputs, {
      attrs: {
        num_heads: { int: n.attrs.heads },
        kv_num_heads: { int: n.attrs.kvHeads },
        do_rotary: { int: 1 },
        scale: { float: 1 / Math.sqrt(k) },
      },
      domain: MICROSOFT,
      results: 3,
    });
  },
  // The chosen experts alone, the rows of each together. Gate and up in turn is what it calls interleaved.
  expertMix: (n, [x, scores, up, down], e) => [
    e.one("MoE", [x, scores, up, "", down], {
      k: { int: n.attrs.chosen },
      activation_type: { string: "swiglu" },
      activation_alpha: { float: 1 },
      activation_beta: { float: 0 },
      swiglu_fusion: { int: 1 },
      normalize_routing_weights: { int: 1 },
    }, MICROSOFT),
  ],
};

/** Composites whose native operator is ONNX Runtime's own: its names, some of them in the standard's domain. */
const OWN_OPERATORS: ReadonlySet<CompositeName> = new Set<CompositeName>([
  "silu",
  "rmsNorm",
  "rope",
  "quantizedMatmul",
  "treeAttention",
  "expertMix",
]);

/**
 * Can the native operator take these sizes? RotaryEmbedding wants one row of its tables for each of T rows.
 * GroupQueryAttention wants head sizes in steps of 16, several rows
 * of one sequence or one row of several, and takes T = C for a first prompt, whose rules are others.
 */
function fits(n: Node): boolean {
  if (n.op === "rope") {
    const [x, cos] = n.inputs, [t, k] = x.shape.slice(-2);
    return x.shape.length === 4 && cos.shape.length === 2 && cos.shape[0] === t && k % 2 === 0;
  }
  if (n.op !== "treeAttention") return true;
  const [batch, rows] = n.inputs[0].shape, [, , capacity, headSize] = n.inputs[1].shape;
  return headSize % 16 === 0 && (batch === 1 || rows === 1) && rows < capacity;
}

/** Takes out operators that no result needs: of a composite's results not all are always asked for. */
function dropUnused(nodes: OnnxNode[], results: readonly string[]): void {
  const needed = new Set(results);
  const kept = nodes.toReversed().filter(({ inputs, outputs }) => {
    if (!outputs.some((name) => needed.has(name))) return false;
    inputs.forEach((name) => needed.add(name));
    return true;
  });
  nodes.splice(0, nodes.length, ...kept.reverse());
}

/** A lowered program: the model, and the order in which a run takes its values. */
export interface Lowered {
  readonly model: OnnxModel;
  readonly inputNames: string[];
  readonly outputNames: string[];
}

/**
 * Lowers a program. Inputs named in `weights` become initialisers supplied from outside. The session's
 * outputs are the program's outputs, then its updates, each under `out:NAME` or `new:NAME`. `standard` keeps to
 * the operators of the ONNX standard.
 */
export function lower(
  program: Program,
  weights: ReadonlySet<string> = new Set(),
  { standard = false }: { standard?: boolean } = {},
): Lowered {
  const e = new Emitter(standard), results = new Map<Node, string[]>();
  const lowerNode = (root: Node): string[] => {
    const known = results.get(root);
    if (known !== undefined) return known;
    const inputs = root.inputs.map((x) => lowerNode(x)[0]);
    const names = emitNode(root, inputs);
    results.set(root, names);
    return names;
  };
  const emitNode = (n: Node, inputs: string[]): string[] => {
    if (isOp(n, "pick")) return [results.get(n.inputs[0])![n.attrs.index]];
    if (!isComposite(n.op)) {
      return [(primitives[n.op as PrimitiveName] as Rule<PrimitiveName>)(n as never, inputs, e)];
    }
    const native = natives[n.op] as CompositeRule<CompositeName> | undefined;
    const mayUse = !standard || !OWN_OPERATORS.has(n.op);
    if (native !== undefined && mayUse && fits(n)) return native(n as never, inputs, e);
    return expand(n).map((x) => lowerNode(x)[0]);
  };
  for (const n of program.order) lowerNode(n);
  dropUnused(
    e.nodes,
    [
      ...Object.values(program.outputs),
      ...Object.values(program.updates),
    ].flatMap((n) => results.get(n)!),
  );

  const outputs: OnnxValueInfo[] = [];
  const finish = (prefix: string, nodes: Readonly<Record<string, Node>>) => {
    for (const [name, n] of Object.entries(nodes)) {
      const [source] = results.get(n)!;
      const producer = e.nodes.find((node) => node.outputs.includes(source));
      // An output that is the direct result of an operator carries the output's name, which saves a copy.
      const direct = producer !== undefined && !outputs.some((o) => o.name === source);
      const named = `${prefix}:${name}`;
      if (direct) rename(e.nodes, source, named, results);
      else {e.nodes.push({
          op: "Identity",
          inputs: [source],
          outputs: [named],
          attributes: {},
          domain: "",
        });}
      outputs.push({ name: named, type: n.dtype, shape: n.shape });
    }
  };
  finish("out", program.outputs);
  finish("new", program.updates);
  const fed = Object.values(program.inputs).filter((n) => !weights.has(n.attrs.name));
  const bound = Object.values(program.inputs).filter((n) => weights.has(n.attrs.name));
  const info = (n: Node<"input">) => ({ name: n.attrs.name, type: n.dtype, shape: n.shape });
  return {
    model: {
      nodes: e.nodes,
      inputs: fed.map(info),
      outputs,
      initializers: [...e.initializers, ...bound.map(info)],
    },
    inputNames: fed.map((n) => n.attrs.name),
    outputNames: outputs.map((o) => o.name),
  };
}

function rename(
  nodes: OnnxNode[],
  from: string,
  to: string,
  results: Map<Node, string[]>,
): void {
  const swap = (names: readonly string[]) => names.map((name) => name === from ? to : name);
  nodes.forEach((n, i) => nodes[i] = { ...n, inputs: swap(n.inputs), outputs: swap(n.outputs) });
  for (const names of results.values()) {
    names.forEach((name, i) => name === from && (names[i] = to));
  }
}
