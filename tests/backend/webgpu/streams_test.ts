/**
 * Attention over streams on a device, forward and backward: its kernels against the float64 reference and against its
 * own expansion on the device, at sizes beside those of tiles and vectors; the same bits on every run.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../../lib/backend/backend.ts";
import { referenceBackend } from "../../../lib/backend/reference.ts";
import { lower } from "../../../lib/backend/webgpu/lower.ts";
import { expand, streamAttention } from "../../../lib/graph/composites.ts";
import { pullback } from "../../../lib/graph/gradients.ts";
import { type Node, sizeOf } from "../../../lib/graph/node.ts";
import * as ops from "../../../lib/graph/ops.ts";
import { type Program, program } from "../../../lib/graph/program.ts";
import { testOnWebGpu } from "../../adapter.ts";
import { values } from "../../graph/evaluate.ts";
import { assertClose } from "../../tolerance.ts";

interface Case {
  t: number;
  k: number;
  heads?: number;
  kvHeads?: number;
  batch?: number;
  gap?: number;
  backs?: number[];
  future?: boolean;
  /** Lengths of the examples that share a row; repeated and cut to T. */
  lengths?: number[];
}

const CASES: Record<string, Case> = {
  "one row": { t: 1, k: 4 },
  "a tile, heads of 128": { t: 32, k: 128, heads: 2, kvHeads: 1, gap: 1, backs: [0] },
  "one more than a tile, heads of 100": { t: 33, k: 100, gap: 1, backs: [0] },
  "grouped heads, four streams": {
    ...{ t: 65, k: 20, heads: 6, kvHeads: 2, batch: 2, gap: 3, backs: [2, 1, 0] },
  },
  "streams by roots": { t: 63, k: 8, backs: [0, 0], heads: 2, kvHeads: 1 },
  "rows to come count": { t: 35, k: 8, gap: 1, backs: [0], future: true, batch: 2 },
  "several examples a row": {
    ...{ t: 101, k: 8, batch: 2, gap: 2, backs: [1, 0], lengths: [3, 40, 1, 2, 33] },
  },
};
/** Cases that also run as their expansion on the device: its shaders are many. */
const EXPANDED = ["rows to come count"];

/** Row at which the example of each row begins; the second sequence has its examples in other places. */
function startsOf({ t, batch = 1, lengths = [] }: Case): Float32Array {
  const starts: number[] = [];
  for (let b = 0, example = 0; b < batch; b++) {
    for (let at = 0; at < t;) {
      const end = Math.min(t, at + lengths[example++ % lengths.length]), begin = at;
      while (at < end) at = starts.push(begin) - b * t;
    }
  }
  return Float32Array.from(starts);
}

function attention(
  { t, k, heads = 1, kvHeads = heads, batch = 1, gap = 0, backs = [], future, lengths }: Case,
  { expanded = false } = {},
): { nodes: Record<string, Node>; inputs: Record<string, number[]> } {
  const wide = [batch, heads, t, k], narrow = [batch, kvHeads, t, k];
  const many = (name: string) => [0, ...backs].map((_, s) => ops.input(`${name}${s}`, narrow));
  const q = ops.input("q", wide), keys = many("k"), given = many("v");
  const start = lengths && ops.input("start", [batch, t]);
  const whole = streamAttention({ q, keys, values: given, start }, { gap, backs, future });
  const dy = ops.input("dy", whole.shape), wrt = [q, ...keys, ...given];
  const context = expanded ? expand(whole.inputs[0])[0] : whole;
  const slopes = expanded
    ? expand(pullback([whole], [dy], { wrt })[0]!.inputs[0])
    : pullback([whole], [dy], { wrt });
  const names = ["q", ...keys.map((_, s) => `k${s}`), ...keys.map((_, s) => `v${s}`)];
  return {
    nodes: { context, ...Object.fromEntries(names.map((name, i) => [`d${name}`, slopes[i]!])) },
    inputs: {
      dy: [...dy.shape],
      ...Object.fromEntries(wrt.map((x, i) => [names[i], [...x.shape]])),
    },
  };
}

async function run(backend: Backend, p: Program, c: Case): Promise<Record<string, Float32Array>> {
  using executable = await backend.compile(p);
  const tensors = Object.fromEntries(
    Object.entries(p.inputs).map(([name, { shape }]) => {
      const data = name === "start" ? startsOf(c) : Float32Array.from(values(shape, name));
      return [name, backend.tensor(data, shape)];
    }),
  );
  const read = Object.entries(await executable.run(tensors)).map(async ([name, tensor]) =>
    [name, (await tensor.read()).slice() as Float32Array] as const
  );
  return Object.fromEntries(await Promise.all(read));
}

/** On the device, but without the pages. */
async function runExpanded(backend: Backend, c: Case) {
  const parts = program(attention(c, { expanded: true }).nodes);
  assert.deepEqual(pagesOf(parts), []);
  return await run(backend, parts, c);
}

const LIMITS = { bindings: 32 };
const pagesOf = (p: Program, bindings = LIMITS.bindings) =>
  lower(p, { bindings }).dispatches.map(({ name }) => name).filter((n) => n.startsWith("stream_"));

for (const [name, c] of Object.entries(CASES)) {
  const alsoExpanded = EXPANDED.includes(name);
  const of = alsoExpanded ? "definition and expansion" : "definition";
  testOnWebGpu(`attention over streams, ${name} = ${of}`, async (backend) => {
    const p = program(attention(c).nodes);
    assert.equal(pagesOf(p).length, 3 + (c.backs ?? []).length);
    const found = await run(backend, p, c), wanted = await run(referenceBackend(), p, c);
    const expanded = alsoExpanded ? await runExpanded(backend, c) : found;
    const again = await run(backend, p, c);
    for (const [part, { shape }] of Object.entries(p.outputs)) {
      const options = { shape, a: 2e-5, n: 16 * (c.t + c.k) };
      assertClose(found[part], wanted[part], { what: `${part}, ${name}:`, ...options });
      assertClose(expanded[part], wanted[part], { what: `${part} expanded, ${name}:`, ...options });
      assert.deepEqual(again[part], found[part], `${part} differs between two runs`);
    }
  });
}

Deno.test("what the pages do not take runs as the expansion: odd heads, large ones, too few bindings", () => {
  const p = (c: Case) => program(attention(c).nodes);
  assert.deepEqual(pagesOf(p({ t: 5, k: 6 })), []);
  assert.deepEqual(pagesOf(p({ t: 5, k: 132 })), []);
  const three = p({ t: 5, k: 8, gap: 2, backs: [1, 0] });
  assert.deepEqual(pagesOf(three, 12), []);
  assert.equal(pagesOf(three, 13).length, 5);
});

Deno.test("with the pages nothing of T x T is in memory", () => {
  const t = 256,
    largest = (p: Program) => {
      const { dispatches } = lower(p, LIMITS);
      const slots = dispatches.flatMap(({ bindings }) => bindings.map(({ slot }) => slot));
      return Math.max(...slots.map(({ shape }) => sizeOf(shape)));
    };
  const c = { t, k: 16, gap: 2, backs: [1, 0] };
  assert.equal(largest(program(attention(c).nodes)), t * 16);
  assert.ok(largest(program(attention(c, { expanded: true }).nodes)) >= t * t);
});
