/**
 * Attention over streams in float64: its own gradient against the sweep through its expansion and against central
 * differences, the logarithms that the gradient is given, and what is refused. Which row sees what, by loops:
 * `tests/train/attention_test.ts`; on a device: `tests/backend/webgpu/streams_test.ts`.
 */
import assert from "node:assert/strict";
import { expand, streamAttention } from "../../lib/graph/composites.ts";
import { gradients, pullback } from "../../lib/graph/gradients.ts";
import { flatten } from "../../lib/graph/flatten.ts";
import { isOp, type Node } from "../../lib/graph/node.ts";
import * as ops from "../../lib/graph/ops.ts";
import { program } from "../../lib/graph/program.ts";
import { assertClose } from "../tolerance.ts";
import { evaluator, valueOf, values } from "./evaluate.ts";

const B = 2, H = 4, HK = 2, T = 7, K = 3;
type Rule = Parameters<typeof streamAttention>[1];

const RULES: Record<string, { rule: Rule; starts?: number[] }> = {
  "one stream": { rule: { gap: 0, backs: [] } },
  "three streams": { rule: { gap: 2, backs: [1, 0] } },
  "three streams by roots": { rule: { gap: 0, backs: [0, 0] } },
  "rows to come count": { rule: { gap: 2, backs: [1, 0], future: true } },
  "several examples a row": {
    rule: { gap: 1, backs: [0] },
    starts: [...[0, 0, 0, 3, 3, 5, 5], ...[0, 1, 1, 1, 1, 1, 6]],
  },
};

/** The context, its inputs and data for them. */
function attention({ rule, starts }: { rule: Rule; starts?: number[] }) {
  const point: Record<string, Float64Array> = {};
  const given = (name: string, shape: number[]) => {
    point[name] = values(shape, name);
    return ops.input(name, shape);
  };
  const q = given("q", [B, H, T, K]), count = [0, ...rule.backs].map((_, s) => s);
  const keys = count.map((s) => given(`k${s}`, [B, HK, T, K]));
  const own = count.map((s) => given(`v${s}`, [B, HK, T, K]));
  const start = starts && ops.constant(Float32Array.from(starts), [B, T]);
  const context = streamAttention({ q, keys, values: own, start }, rule);
  return { context, wrt: [q, ...keys, ...own], point };
}

const named = (nodes: readonly (Node | undefined)[]) =>
  Object.fromEntries(nodes.map((n, i) => [`g${i}`, n!]));

for (const [name, c] of Object.entries(RULES)) {
  Deno.test(`gradient of attention over streams, ${name} = the sweep through its expansion`, async () => {
    const { context, wrt, point } = attention(c);
    const dy = ops.constant(Float32Array.from(values(context.shape, "dy")), context.shape);
    const whole = pullback([context], [dy], { wrt });
    const parts = pullback([expand(context.inputs[0])[0]], [dy], { wrt });
    assert.ok(whole.every((g) => isOp(g!.inputs[0], "streamAttentionGradient")));
    const found = await (await evaluator(named(whole)))(point);
    const wanted = await (await evaluator(named(parts)))(point);
    wrt.forEach(({ shape }, i) => {
      const what = `gradient ${i}, ${name}:`;
      assertClose(found[`g${i}`], wanted[`g${i}`], { what, shape, a: 1e-13, eps: 1e-12 });
    });
  });
}

Deno.test("gradient of attention over streams = central differences along a direction", async () => {
  const { context, wrt, point } = attention(RULES["several examples a row"]), h = 1e-3;
  const weights = ops.constant(Float32Array.from(values(context.shape, "w")), context.shape);
  const loss = ops.sum(ops.mul(context, weights)), slopes = gradients(loss, wrt);
  const found = await (await evaluator(named(slopes)))(point), run = await evaluator({ loss });
  for (const [i, name] of Object.keys(point).entries()) {
    const direction = values(wrt[i].shape, `direction ${name}`);
    const at = async (step: number) => {
      const moved = point[name].map((x, j) => x + step * direction[j]);
      return (await run({ ...point, [name]: moved })).loss[0];
    };
    const near = await at(h) - await at(-h), far = await at(2 * h) - await at(-2 * h);
    const along = found[`g${i}`].reduce((sum, g, j) => sum + g * direction[j], 0);
    assert.ok(Math.abs(along - (8 * near - far) / (12 * h)) < 1e-8, name);
  }
});

Deno.test("the second result is the logarithm of each row's sum of exponentials", async () => {
  const zero = (shape: number[]) => ops.fill(0, shape), rows = [1, 1, 4, 2];
  const given = { q: zero(rows), keys: [zero(rows), zero(rows)], values: [zero(rows), zero(rows)] };
  const logs = async (rule: Rule) =>
    (await valueOf(ops.pick(streamAttention(given, rule).inputs[0], 1))).map(Math.exp);
  const close = (found: number[], wanted: number[]) =>
    assertClose(found, wanted, { what: "sums", shape: [4], a: 1e-12 });
  close(await logs({ gap: 1, backs: [0] }), [1, 2, 3, 4]);
  close(await logs({ gap: 0, backs: [0] }), [2, 3, 4, 5]);
  close(await logs({ gap: 1, backs: [0], future: true }), [4, 4, 4, 4]);
});

Deno.test("forward and gradient share their weights; logarithms that nothing needs are not run", () => {
  const { context, wrt } = attention(RULES["three streams"]);
  const [dq] = pullback([context], [ops.input("dy", context.shape)], { wrt });
  const { steps } = flatten(program({ context, dq: dq! }));
  const count = (test: (n: Node) => boolean) => steps.filter(test).length;
  assert.equal(count((n) => isOp(n, "unary") && n.attrs.fn === "exp"), 1, "one softmax");
  assert.equal(count((n) => isOp(n, "unary") && n.attrs.fn === "log"), 0, "no logarithms");
  assert.equal(count(({ op }) => op === "matmul"), 4, "scores, context, and for dq two");
});

const x = (...shape: number[]) => ops.input("x", shape);
const refusals: [() => unknown, string][] = [
  [
    () =>
      streamAttention({ q: x(1, 4, 5, 2), keys: [x(1, 2, 5, 2)], values: [x(1, 2, 4, 2)] }, {
        ...{ gap: 0, backs: [] },
      }),
    "Cannot attend with queries [1,4,5,2] over 2 key heads: found [1,2,4,2], wanted [1,2,5,2]",
  ],
  [
    () =>
      streamAttention({ q: x(1, 3, 5, 2), keys: [x(1, 2, 5, 2)], values: [x(1, 2, 5, 2)] }, {
        ...{ gap: 0, backs: [] },
      }),
    "Cannot share 2 key heads among 3 query heads: not a multiple",
  ],
  [
    () =>
      streamAttention({
        ...{ q: x(1, 2, 5, 2), keys: [x(1, 2, 5, 2)], values: [x(1, 2, 5, 2)], start: x(5) },
      }, { gap: 0, backs: [] }),
    "Cannot attend with queries [1,2,5,2] over 2 key heads: found [5], wanted [1,5]",
  ],
  [
    () =>
      streamAttention({ q: x(1, 2, 5, 2), keys: [x(1, 2, 5, 2)], values: [x(1, 2, 5, 2)] }, {
        ...{ gap: 1, backs: [0] },
      }),
    "Cannot attend over 1 keys and 1 values: wanted 2 streams of both",
  ],
  [
    () =>
      streamAttention({ q: x(1, 2, 5, 2), keys: [x(1, 2, 5, 2)], values: [x(1, 2, 5, 2)] }, {
        ...{ gap: 1, backs: [] },
      }),
    "Cannot attend 1 rows back in stream 0 alone: its first rows would see nothing, wanted a later stream of 0 back",
  ],
];

for (const [build, message] of refusals) {
  Deno.test(`refused: ${message}`, () => {
    assert.throws(build, { message });
  });
}

Deno.test("a gradient of the logarithms, and one of the gradient, is refused", () => {
  const { context, wrt } = attention(RULES["one stream"]), logs = ops.pick(context.inputs[0], 1);
  assert.throws(() => gradients(ops.sum(logs), wrt), {
    message: "Cannot differentiate through result 1 of streamAttention: wanted result 0",
  });
  const [dq] = gradients(ops.sum(context), wrt);
  assert.throws(() => gradients(ops.sum(dq), wrt), {
    message: "Cannot differentiate through streamAttentionGradient: it has no gradient",
  });
});
