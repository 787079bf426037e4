/**
 * Composite ops: constructors, and for each the expansion into primitives that *defines* it. A backend
 * may compute one natively (an ONNX operator, a kernel) or not at all: `expand` is always right, and
 * "native = expansion" is its test. Next on the walk: `gradients.ts`.
 */
import { expandExpertMix } from "./expert_mix.ts";
import {
  add,
  broadcast,
  cast,
  compare,
  concat,
  constant,
  div,
  exp,
  fill,
  log,
  matmul,
  max,
  min,
  mul,
  neg,
  pick,
  reciprocal,
  reduce,
  reshape,
  sigmoid,
  sliceAxis,
  sqrt,
  sub,
  sum,
  takeAlong,
  transpose,
  where,
} from "./ops.ts";
import { expandArgmaxRows, expandSampleRows } from "./choose_rows.ts";
import { expandStreamAttention, expandStreamAttentionGradient } from "./stream_attention.ts";
import {
  broadcastShapes,
  type CompositeAttrs,
  type CompositeName,
  HIDDEN,
  makeNode,
  type Node,
  sameShape,
  showShape,
  sizeOf,
} from "./node.ts";
import { expandKeepRows } from "./keep_rows.ts";

export { argmaxRows, processRows, type RowSampling, sampleRows } from "./choose_rows.ts";
export { streamAttention } from "./stream_attention.ts";

const last = (x: Node): number => x.shape[x.shape.length - 1];

function same<O extends CompositeName>(op: O, inputs: Node[], attrs: CompositeAttrs[O]): Node {
  return makeNode(op, inputs, attrs as never, { shape: inputs[0].shape, dtype: "f32" });
}

/** Softmax over the last axis. */
export const softmax = (x: Node): Node => same("softmax", [x], {});
/** Logarithm of the softmax over the last axis, without overflow. */
export const logSoftmax = (x: Node): Node => same("logSoftmax", [x], {});
/** x * sigmoid(x). */
export const silu = (x: Node): Node => same("silu", [x], {});

/** RMSNorm over the last axis: `w * x / sqrt(mean(x^2) + epsilon)`; w is [D]. */
export function rmsNorm(x: Node, w: Node, { epsilon }: { epsilon: number }): Node {
  if (!sameShape(w.shape, [last(x)])) {
    throw new Error(
      `Cannot normalise ${showShape(x.shape)} with weight ${showShape(w.shape)}: wanted [${
        last(x)
      }]`,
    );
  }
  return same("rmsNorm", [x, w], { epsilon });
}

/**
 * Rotary positions, half-split layout (LLaMA in Hugging Face form): the pair (i, i + K/2) turns by the
 * angle of row t. x [.., T, K]; cos, sin [T, K/2], or any shape that broadcasts to [.., T, K/2].
 */
export function rope(x: Node, cos: Node, sin: Node): Node {
  const half = [...x.shape.slice(0, -1), last(x) / 2];
  if (
    last(cos) * 2 !== last(x) || !sameShape(cos.shape, sin.shape) ||
    !sameShape(broadcastShapes(half, cos.shape, "rotate"), half)
  ) {
    throw new Error(
      `Cannot rotate ${showShape(x.shape)} by tables ${showShape(cos.shape)}, ${
        showShape(sin.shape)
      }: wanted tables that broadcast to ${showShape(half)}`,
    );
  }
  return same("rope", [x, cos, sin], {});
}

/** SmoothL1 with beta 1, elementwise: `0.5 d^2` where |d| < 1, otherwise `|d| - 0.5`. */
export function smoothL1(a: Node, b: Node): Node {
  if (!sameShape(a.shape, b.shape)) {
    throw new Error(`Cannot compare ${showShape(a.shape)} with ${showShape(b.shape)} by SmoothL1`);
  }
  return same("smoothL1", [a, b], {});
}

/** Soft cross entropy of each row: `-sum_v p(v) log softmax(logits)(v)`; [.., V], [.., V] -> [..]. p gets no gradient. */
export function crossEntropy(logits: Node, p: Node): Node {
  if (!sameShape(logits.shape, p.shape)) {
    throw new Error(
      `Cannot take the cross entropy of ${showShape(logits.shape)} and ${showShape(p.shape)}`,
    );
  }
  return makeNode("crossEntropy", [logits, p], {}, {
    shape: logits.shape.slice(0, -1),
    dtype: "f32",
  });
}

/**
 * x [R, I] times the transpose of a block-quantised matrix [O, I], with scales f32 [O, I/block]: in 8 bits packed u8
 * [O, I/block, block] holds round(w / scale) + 128; in 4 bits [O, I/block, block/2] holds two of round(w / scale) + 8
 * a byte, the earlier one in the low half. Result [R, O].
 */
export function quantizedMatmul(x: Node, packed: Node, scales: Node): Node {
  const [outer, blocks, bytes] = packed.shape, block = x.shape[1] / blocks;
  const bits = 8 * bytes / block;
  if (
    packed.dtype !== "u8" || packed.shape.length !== 3 || x.shape.length !== 2 ||
    (bits !== 8 && bits !== 4) || !sameShape(scales.shape, [outer, blocks])
  ) {
    throw new Error(
      `Cannot multiply ${showShape(x.shape)} by quantised ${packed.dtype} ${
        showShape(packed.shape)
      } with scales ${showShape(scales.shape)}`,
    );
  }
  return makeNode("quantizedMatmul", [x, packed, scales], { block, bits }, {
    shape: [x.shape[0], outer],
    dtype: "f32",
  });
}

/**
 * x times a matrix stored in f16, w [O, I]: x [R, I] times its transpose, or with `transB` false x [R, O] times w.
 * Apart from `matmul(x, cast(w))` so that a backend need not keep the matrix in f32 from one product to the next.
 * w gets no gradient.
 */
export function halfMatmul(x: Node, w: Node, { transB = true }: { transB?: boolean } = {}): Node {
  if (
    w.dtype !== "f16" || w.shape.length !== 2 || x.shape.length !== 2 ||
    x.shape[1] !== w.shape[transB ? 1 : 0]
  ) {
    throw new Error(
      `Cannot multiply ${showShape(x.shape)} by ${w.dtype} ${showShape(w.shape)}${
        transB ? " transposed" : ""
      }: wanted f16 and equal inner sizes`,
    );
  }
  const shape = [x.shape[0], w.shape[transB ? 0 : 1]];
  return makeNode("halfMatmul", [x, w], { transB }, { shape, dtype: "f32" });
}

/** Operands of {@link treeAttention}. */
export interface TreeAttentionInputs {
  /** Projections side by side: [B, T, (H + 2 Hk) K], queries first. */
  qkv: Node;
  /** Caches [B, Hk, C, K]; rows from `length` on are free. */
  keys: Node;
  values: Node;
  /** Rows in use before this call, i32 [B]. */
  length: Node;
  /** Position of each row, i32 [B, T]: equals length + depth. */
  positions: Node;
  /** Added to the scores, [1 or B, 1, T, C]: 0 where row i may see cache row c, very negative otherwise. */
  bias: Node;
  /** Rotary tables [max position, K/2]. */
  cos: Node;
  sin: Node;
}

/**
 * Attention of T new rows over a cache plus themselves: rotates queries and keys, writes keys and values
 * to cache rows [length, length + T), and lets row i see cache rows c <= length + i to which `bias` adds.
 * Returns context [B, T, H K] and the two new caches; a Program updates the caches in place.
 */
export function treeAttention(
  inputs: TreeAttentionInputs,
  { heads, kvHeads }: { heads: number; kvHeads: number },
): { context: Node; keys: Node; values: Node } {
  const { qkv, keys, values, length, positions, bias, cos, sin } = inputs;
  const [b, t, width] = qkv.shape, [, , capacity, k] = keys.shape;
  const wanted = [
    [qkv, [b, t, (heads + 2 * kvHeads) * k]],
    [keys, [b, kvHeads, capacity, k]],
    [values, keys.shape],
    [length, [b]],
    [positions, [b, t]],
    [bias, [bias.shape[0] === 1 ? 1 : b, 1, t, capacity]],
    [cos, [cos.shape[0], k / 2]],
    [sin, cos.shape],
  ] as const;
  for (const [node, shape] of wanted) {
    if (!sameShape(node.shape, shape)) {
      throw new Error(
        `Cannot attend with ${heads} heads over ${kvHeads} key heads: found ${
          showShape(node.shape)
        }, wanted ${showShape(shape)}`,
      );
    }
  }
  if (heads % kvHeads !== 0) {
    throw new Error(`Cannot share ${kvHeads} key heads among ${heads} query heads: not a multiple`);
  }
  const node = makeNode(
    "treeAttention",
    [qkv, keys, values, length, positions, bias, cos, sin],
    { heads, kvHeads },
    {
      shape: [b, t, heads * k],
      dtype: "f32",
      parts: [
        { shape: [b, t, (width / k - 2 * kvHeads) * k], dtype: "f32" },
        { shape: keys.shape, dtype: "f32" },
        { shape: keys.shape, dtype: "f32" },
      ],
    },
  );
  return { context: pick(node, 0), keys: pick(node, 1), values: pick(node, 2) };
}

/**
 * One AdamW step (decoupled weight decay, gradients clipped by value). `schedule` is f32 [3]: learning
 * rate, 1 - beta1^t, 1 - beta2^t. Returns the new parameter and moments.
 */
export function adamw(
  { parameter, gradient, first, second, schedule }: Record<
    "parameter" | "gradient" | "first" | "second" | "schedule",
    Node
  >,
  attrs: CompositeAttrs["adamw"],
): { parameter: Node; first: Node; second: Node } {
  for (const x of [gradient, first, second]) {
    if (!sameShape(x.shape, parameter.shape)) {
      throw new Error(
        `Cannot update parameter ${showShape(parameter.shape)} with ${showShape(x.shape)}`,
      );
    }
  }
  const part = { shape: parameter.shape, dtype: "f32" as const };
  const node = makeNode("adamw", [parameter, gradient, first, second, schedule], attrs, {
    ...part,
    parts: [part, part, part],
  });
  return { parameter: pick(node, 0), first: pick(node, 1), second: pick(node, 2) };
}

/** The halves of bytes that are given as f32 [..]: low and high, [.., 2]. */
function halvesOf(bytes: Node): Node {
  const high = cast(cast(mul(bytes, 1 / 16), "i32"), "f32"), low = sub(bytes, mul(high, 16));
  return concat([low, high].map((half) => reshape(half, [...half.shape, 1])), -1);
}

/** How each composite is made of primitives: its definition. One node for each result. */
const expansions: {
  [O in CompositeName]: (inputs: readonly Node[], attrs: CompositeAttrs[O]) => Node[];
} = {
  softmax: ([x]) => {
    const e = exp(sub(x, reduce("max", x, { axes: [-1], keep: true })));
    return [div(e, sum(e, [-1], { keep: true }))];
  },
  logSoftmax: ([x]) => {
    const shifted = sub(x, reduce("max", x, { axes: [-1], keep: true }));
    return [sub(shifted, log(sum(exp(shifted), [-1], { keep: true })))];
  },
  silu: ([x]) => [mul(x, sigmoid(x))],
  rmsNorm: ([x, w], { epsilon }) => {
    const square = reduce("mean", mul(x, x), { axes: [-1], keep: true });
    return [mul(mul(x, reciprocal(sqrt(add(square, epsilon)))), w)];
  },
  rope: ([x, cos, sin]) => {
    const half = last(x) / 2;
    const a = sliceAxis(x, -1, { end: half }), b = sliceAxis(x, -1, { start: half });
    return [concat([sub(mul(a, cos), mul(b, sin)), add(mul(b, cos), mul(a, sin))], -1)];
  },
  smoothL1: ([a, b]) => {
    const d = sub(a, b), size = max(d, neg(d));
    return [where(compare("lt", size, 1), mul(mul(d, d), 0.5), sub(size, 0.5))];
  },
  crossEntropy: ([logits, p]) => [neg(sum(mul(p, logSoftmax(logits)), [-1]))],
  quantizedMatmul: ([x, packed, scales], { block, bits }) => {
    const [outer, blocks] = packed.shape, whole = [outer, blocks, block];
    const q = bits === 8 ? cast(packed, "f32") : reshape(halvesOf(cast(packed, "f32")), whole);
    const weight = mul(sub(q, 2 ** (bits - 1)), reshape(scales, [outer, blocks, 1]));
    return [matmul(x, reshape(weight, [outer, blocks * block]), { transB: true })];
  },
  halfMatmul: ([x, w], { transB }) => [matmul(x, cast(w, "f32"), { transB })],
  treeAttention: expandTreeAttention,
  keepRows: expandKeepRows,
  streamAttention: expandStreamAttention,
  streamAttentionGradient: expandStreamAttentionGradient,
  argmaxRows: expandArgmaxRows,
  sampleRows: expandSampleRows,
  expertMix: expandExpertMix,
  adamw: ([parameter, gradient, first, second, schedule], attrs) => {
    const { beta1, beta2, epsilon, weightDecay, clip } = attrs;
    const at = (i: number) => reshape(sliceAxis(schedule, 0, { start: i, end: i + 1 }), []);
    const g = clip > 0 ? max(min(gradient, clip), -clip) : gradient;
    const m = add(mul(first, beta1), mul(g, 1 - beta1));
    const v = add(mul(second, beta2), mul(mul(g, g), 1 - beta2));
    const size = add(sqrt(div(v, at(2))), epsilon);
    const step = add(div(div(m, at(1)), size), mul(parameter, weightDecay));
    return [sub(parameter, mul(step, at(0))), m, v];
  },
};

function expandTreeAttention(
  [qkv, keys, values, length, positions, bias, cos, sin]: readonly Node[],
  { heads, kvHeads }: CompositeAttrs["treeAttention"],
): Node[] {
  const [b, t] = qkv.shape, [, , capacity, k] = keys.shape, group = heads / kvHeads;
  const all = transpose(reshape(qkv, [b, t, heads + 2 * kvHeads, k]), [0, 2, 1, 3]); // [B,H+2Hk,T,K]
  const turn = (x: Node) => {
    const row = (table: Node) =>
      reshape(
        takeAlong(
          broadcast(reshape(table, [1, ...table.shape]), [b, ...table.shape]),
          broadcast(reshape(positions, [b, t, 1]), [b, t, k / 2]),
          1,
        ),
        [b, 1, t, k / 2],
      );
    return rope(x, row(cos), row(sin));
  };
  const q = turn(sliceAxis(all, 1, { end: heads }));
  // Cache row c becomes new row c - length where that lies in [0, T).
  const index = sub(
    reshape(constant(Int32Array.from({ length: capacity }, (_, c) => c), [capacity]), [
      1,
      capacity,
    ]),
    reshape(length, [b, 1]),
  ); // [B,C]
  const write = (cache: Node, rows: Node) => {
    const column = reshape(index, [b, 1, capacity, 1]);
    const from = broadcast(max(min(column, t - 1), 0), [b, kvHeads, capacity, k]);
    const fresh = mul(
      cast(compare("ge", column, 0), "f32"),
      cast(compare("lt", column, t), "f32"),
    );
    return where(compare("gt", fresh, 0), takeAlong(rows, from, 2), cache);
  };
  const newKeys = write(keys, turn(sliceAxis(all, 1, { start: heads, end: heads + kvHeads })));
  const newValues = write(values, sliceAxis(all, 1, { start: heads + kvHeads }));
  const scores = reshape(
    matmul(reshape(q, [b, kvHeads, group * t, k]), newKeys, {
      transB: true,
      alpha: 1 / Math.sqrt(k),
    }),
    [b, kvHeads, group, t, capacity],
  );
  const row = reshape(constant(Int32Array.from({ length: t }, (_, i) => i), [t]), [1, t, 1]);
  const seen = compare("le", reshape(index, [b, 1, capacity]), row); // [B,T,C]
  const allowed = reshape(
    where(seen, reshape(bias, [bias.shape[0], t, capacity]), fill(HIDDEN)),
    [b, 1, 1, t, capacity],
  );
  const weights = softmax(add(scores, allowed));
  const context = matmul(reshape(weights, [b, kvHeads, group * t, capacity]), newValues);
  const merged = transpose(reshape(context, [b, heads, t, k]), [0, 2, 1, 3]);
  return [reshape(merged, [b, t, heads * k]), newKeys, newValues];
}

/** Is this op a composite? */
export function isComposite(op: string): op is CompositeName {
  return op in expansions;
}

/** The results of a composite as primitives (and possibly simpler composites). */
export function expand(node: Node): Node[] {
  if (!isComposite(node.op)) throw new Error(`Cannot expand ${node.op}: it is a primitive`);
  const rule = expansions[node.op] as (inputs: readonly Node[], attrs: unknown) => Node[];
  const results = rule(node.inputs, node.attrs);
  const shapes = (node.parts ?? [node]).map((p) => sizeOf(p.shape));
  if (results.length !== shapes.length) throw new Error(`Expansion of ${node.op} is incomplete`);
  return results;
}
