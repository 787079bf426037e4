/**
 * How attention over streams is launched: one dispatch forward; backward one for the queries, and one for the keys
 * and values of each stream. All operands are memory, read in vectors of four. Called by `launches.ts`.
 */
import type { Node, Shape } from "../../graph/node.ts";
import { operandsOf } from "../../graph/stream_attention.ts";
import {
  LARGEST_HEAD,
  streamAttentionKernel,
  streamKeysKernel,
  streamQueriesKernel,
  type StreamSizes,
} from "../../../kernels/attention.ts";
import type { Lowering, LowerLimits } from "./lower.ts";
import { type Bindings, type Expression, functionOf, loadAll, type Slot } from "./writer.ts";

type StreamOp = "streamAttention" | "streamAttentionGradient";

/** Inputs of the gradient before those of the forward: dy, context, logarithms. */
const GIVEN = 3;

/**
 * Are there kernels for these sizes? Heads of odd sizes or of more than 128, and more streams than a shader can bind
 * beside the rest, run as the expansion.
 */
export function claimsStreams(n: Node, { bindings }: LowerLimits): boolean {
  const gradient = n.op === "streamAttentionGradient", [q] = n.inputs.slice(gradient ? GIVEN : 0);
  const { backs } = n.attrs as Node<StreamOp>["attrs"], headSize = q.shape[3];
  // The gradient's kernels: q, two a stream, start; dy, context, logarithms; dq, dot. Forward needs fewer.
  const most = 2 * backs.length + 9;
  return headSize % 4 === 0 && headSize <= LARGEST_HEAD && most <= bindings;
}

/** Operands in memory, and the functions over them that all pages ask for. */
function operands(
  inputs: readonly Expression[],
  { attrs, l }: { attrs: Node<StreamOp>["attrs"]; l: Lowering },
) {
  const slots = inputs.map((x) => loadAll(l.materialise(x, "attention"), x.shape));
  const named = operandsOf(slots, attrs);
  const [batch, heads, rows, headSize] = named.q.shape;
  const sizes: StreamSizes = { batch, heads, rows, headSize, kvHeads: named.keys[0].shape[1] };
  return { ...named, sizes };
}

const vectors = (name: string, x: Expression, bindings: Bindings) =>
  `fn ${name}(p: u32) -> vec4f { return ${bindings.name(x.whole!, { vectors: true })}[p]; }`;

/** One function over several slots: stream s is the s-th. */
function choice(name: string, xs: readonly Expression[], bindings: Bindings): string {
  const each = xs.map((x, s) =>
    `  if (s == ${s}u) { return ${bindings.name(x.whole!, { vectors: true })}[p]; }`
  );
  return [`fn ${name}(s: u32, p: u32) -> vec4f {`, ...each, "  return vec4f();", "}"].join("\n");
}

const elements = (name: string, x: Expression, bindings: Bindings) =>
  `fn ${name}(p: u32) -> f32 { return ${bindings.name(x.whole!)}[p]; }`;

function startFunction(start: Expression | undefined, bindings: Bindings): string {
  if (start === undefined) return "fn start_at(b: u32, r: u32) -> u32 { return 0u; }";
  const given = functionOf("given_start", start, {
    parameters: ["b", "r"],
    bindings,
    index: () => ["b", "r"],
  });
  return `${given}\nfn start_at(b: u32, r: u32) -> u32 { return u32(given_start(b, r)); }`;
}

function backFunction(backs: readonly number[]): string {
  const each = backs.map((back, s) => `  if (s == ${s}u) { return ${back}u; }`);
  return ["fn back(s: u32) -> u32 {", ...each, "  return 0u;", "}"].join("\n");
}

const put = (name: string, slot: Slot, bindings: Bindings, { whole = true } = {}) => {
  const to = bindings.name(slot, { writes: true, vectors: whole });
  return `fn ${name}(p: u32, v: ${whole ? "vec4f" : "f32"}) { ${to}[p] = v; }`;
};

type Operands = ReturnType<typeof operands>;

/** What the pages over queries ask for. */
function byQueries({ q, keys, values, start }: Operands, backs: readonly number[], b: Bindings) {
  return [
    vectors("query_at", q, b),
    vectors("key_at", keys[0], b),
    vectors("value_at", values[0], b),
    choice("later_key", keys.slice(1), b),
    choice("later_value", values.slice(1), b),
    startFunction(start, b),
    backFunction(backs),
  ];
}

const slotOf = (shape: Shape, label: string): Slot => ({ shape, dtype: "f32", label });

/** Forward: context, and the logarithm of each row's sum. */
export function attendStreams(
  n: Node<"streamAttention">,
  inputs: readonly Expression[],
  l: Lowering,
): Slot[] {
  const given = operands(inputs, { attrs: n.attrs, l }), { backs, gap, future } = n.attrs;
  const [context, logs] = n.parts!.map(({ shape }, i) => slotOf(shape, ["context", "logs"][i]));
  const rule = { gap, future, later: backs.length };
  l.launch(streamAttentionKernel(given.sizes, rule), (b) => [
    ...byQueries(given, backs, b),
    put("put", context, b),
    put("put_log", logs, b, { whole: false }),
  ]);
  return [context, logs];
}

/** Backward: gradients of q, keys and values, stream 0 first. */
export function attendStreamsBack(
  n: Node<"streamAttentionGradient">,
  inputs: readonly Expression[],
  l: Lowering,
): Slot[] {
  const [dy, context, logs] = inputs.slice(0, GIVEN).map((x) => l.inMemory(x, "slopes"));
  const given = operands(inputs.slice(GIVEN), { attrs: n.attrs, l });
  const { backs, gap, future } = n.attrs, { q, keys, values, start, sizes } = given;
  const dot = slotOf(logs.shape, "dot"), dq = slotOf(q.shape, "dq");
  l.launch(streamQueriesKernel(sizes, { gap, future, later: backs.length }), (b) => [
    ...byQueries(given, backs, b),
    vectors("slope_at", dy, b),
    vectors("result_at", context, b),
    elements("log_at", logs, b),
    put("put", dq, b),
    put("put_dot", dot, b, { whole: false }),
  ]);
  const dKeys: Slot[] = [], dValues: Slot[] = [];
  keys.forEach((key, s) => {
    const dk = slotOf(key.shape, `dk ${s}`), dv = slotOf(key.shape, `dv ${s}`);
    const seen = s === 0 ? { first: gap, span: sizes.rows } : { first: backs[s - 1], span: 1 };
    l.launch(streamKeysKernel(sizes, seen), (b) => [
      vectors("query_at", q, b),
      vectors("key_at", key, b),
      vectors("value_at", values[s], b),
      vectors("slope_at", dy, b),
      elements("log_at", logs, b),
      elements("dot_at", loadAll(dot), b),
      startFunction(start, b),
      put("put_key", dk, b),
      put("put_value", dv, b),
    ]);
    dKeys.push(dk);
    dValues.push(dv);
  });
  return [dq, ...dKeys, ...dValues];
}
