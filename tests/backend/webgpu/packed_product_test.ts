/**
 * Products with packed matrices on a device: to the last bits of f32 what the definition says, at rows, columns and
 * blocks around the sizes of the pages; what is added, what is computed on the way, and what stays packed.
 */
import assert from "node:assert/strict";
import { referenceBackend } from "../../../lib/backend/reference.ts";
import { openWebGpuBackend } from "../../../lib/backend/webgpu/backend.ts";
import { lower } from "../../../lib/backend/webgpu/lower.ts";
import type { Backend } from "../../../lib/backend/backend.ts";
import { quantizedMatmul, silu } from "../../../lib/graph/composites.ts";
import type { HostArray, Node, Shape } from "../../../lib/graph/node.ts";
import * as ops from "../../../lib/graph/ops.ts";
import { program } from "../../../lib/graph/program.ts";
import { quantize } from "../../../lib/model/quantize.ts";
import { testOnWebGpu } from "../../adapter.ts";
import { values } from "../../graph/evaluate.ts";
import { assertClose } from "../../tolerance.ts";

interface Sizes {
  rows: number;
  outer: number;
  blocks: number;
  block: number;
  bits: 8 | 4;
}

const numbers = (shape: Shape, name: string) => Float32Array.from(values(shape, name));
const show = ({ rows, outer, blocks, block, bits }: Sizes) =>
  `${rows} rows, [${outer},${blocks} x ${block}] in ${bits} bits`;

/** A call with inputs x, w, s and y of the result's shape, and data for them. */
function call(
  { rows, outer, blocks, block, bits }: Sizes,
  build: (inputs: Record<"x" | "w" | "s" | "y", Node>) => Node,
) {
  const inner = blocks * block,
    { packed, scales } = quantize(
      numbers([outer, inner], "w"),
      ...[block, bits] as [number, 8 | 4],
    );
  const data: Record<string, { data: HostArray; shape: Shape }> = {
    x: { data: numbers([rows, inner], "x"), shape: [rows, inner] },
    w: { data: packed, shape: [outer, blocks, block * bits / 8] },
    s: { data: scales, shape: [outer, blocks] },
    y: { data: numbers([rows, outer], "y"), shape: [rows, outer] },
  };
  const input = (name: string) => ops.input(name, data[name].shape, name === "w" ? "u8" : "f32");
  const result = build({ x: input("x"), w: input("w"), s: input("s"), y: input("y") });
  return { data, p: program({ result }), tolerance: { a: 3e-6 * Math.sqrt(inner), n: inner } };
}

async function run(backend: Backend, { p, data }: ReturnType<typeof call>): Promise<HostArray> {
  using executable = await backend.compile(p);
  const inputs = Object.fromEntries(
    Object.entries(data).map(([name, { data, shape }]) => [
      name,
      backend.tensor(data.slice(), shape),
    ]),
  );
  const found = (await (await executable.run(inputs)).result.read()).slice();
  for (const tensor of Object.values(inputs)) tensor[Symbol.dispose]();
  return found;
}

const SIZES: Sizes[] = ([8, 4] as const).flatMap((bits) =>
  [
    ...[[1, 1, 1, 16], [1, 65, 17, 32], [3, 17, 1, 128], [7, 15, 5, 64], [8, 63, 9, 16]],
    ...[[9, 63, 1, 16], [65, 66, 5, 32]],
  ].map(([rows, outer, blocks, block]) => ({ rows, outer, blocks, block, bits }))
);

const reference = referenceBackend();

testOnWebGpu("packed products are the definition's, for few rows and for many", async (backend) => {
  for (const sizes of SIZES) {
    const one = call(sizes, ({ x, w, s }) => quantizedMatmul(x, w, s));
    assertClose(await run(backend, one), await run(reference, one), {
      what: `${show(sizes)}:`,
      shape: [sizes.rows, sizes.outer],
      ...one.tolerance,
    });
  }
});

testOnWebGpu("what is added to them, and rows computed on the way", async (backend) => {
  const builds: Record<string, Parameters<typeof call>[1]> = {
    "with a residual": ({ x, w, s, y }) => ops.add(y, quantizedMatmul(x, w, s)),
    "of a chain": ({ x, w, s }) => quantizedMatmul(silu(ops.mul(x, ops.sigmoid(x))), w, s),
    "of columns of more": ({ x, w, s }) =>
      quantizedMatmul(
        ops.sliceAxis(ops.concat([x, ops.neg(x), x], 1), 1, {
          start: x.shape[1] + 2,
          end: 2 * x.shape[1] + 2,
        }),
        w,
        s,
      ),
    "with scales computed": ({ x, w, s }) => quantizedMatmul(x, w, ops.mul(s, 0.5)),
    "with their own rows": ({ x, w, s }) => ops.add(x, quantizedMatmul(x, w, s)),
  };
  for (const [what, build] of Object.entries(builds)) {
    for (const [rows, bits] of [[3, 4], [19, 8]] as const) {
      const sizes = { rows, outer: 48, blocks: 3, block: 16, bits };
      const one = call(sizes, build);
      assertClose(await run(backend, one), await run(reference, one), {
        what: `${show(sizes)}, ${what}:`,
        shape: [rows, 48],
        ...one.tolerance,
      });
    }
  }
});

testOnWebGpu("equal runs are equal to the bit, and so is a row in any company", async (backend) => {
  const sizes = { outer: 65, blocks: 9, block: 32, bits: 4 } as const;
  const of = (rows: number) => call({ ...sizes, rows }, ({ x, w, s }) => quantizedMatmul(x, w, s));
  const many = of(8), alone = of(1);
  const first = await run(backend, many);
  assert.deepEqual(await run(backend, many), first);
  alone.data.x.data = many.data.x.data.slice(5 * 288, 6 * 288);
  assert.deepEqual(await run(backend, alone), first.slice(5 * 65, 6 * 65));
});

testOnWebGpu("a packed matrix in parts gives what one in a single buffer gives", async (whole) => {
  const shapes: [Sizes, limit: number, parts: number][] = [
    [{ rows: 3, outer: 70, blocks: 3, block: 16, bits: 4 }, 900, 2],
    [{ rows: 11, outer: 70, blocks: 3, block: 16, bits: 8 }, 3100, 2],
    // Scales in parts of other sizes than the matrix.
    [{ rows: 1, outer: 70, blocks: 20, block: 16, bits: 4 }, 4800, 4],
    [{ rows: 9, outer: 70, blocks: 20, block: 16, bits: 8 }, 12000, 2],
  ];
  for (const [sizes, bindingLimit, parts] of shapes) {
    const one = call(sizes, ({ x, w, s, y }) => ops.add(y, quantizedMatmul(x, w, s)));
    const { dispatches } = lower(one.p, { bindings: 8, bytes: bindingLimit });
    assert.equal(dispatches.length, parts, show(sizes));
    using split = await openWebGpuBackend({ bindingLimit });
    assert.deepEqual(await run(split, one), await run(whole, one), show(sizes));
  }
});

Deno.test("a packed matrix is read as it is: one dispatch, nothing unpacked to memory", () => {
  for (const sizes of SIZES) {
    const { p } = call(sizes, ({ x, w, s, y }) => ops.add(y, quantizedMatmul(x, w, s)));
    const { dispatches } = lower(p, { bindings: 8 });
    const page = sizes.rows <= 8 ? "packed_rows" : "matmul";
    assert.deepEqual(dispatches.map(({ name }) => name), [page], show(sizes));
  }
});

Deno.test("blocks that sixteen does not divide run as their expansion", () => {
  const x = ops.input("x", [2, 24]), w = ops.input("w", [5, 2, 12], "u8");
  const y = quantizedMatmul(x, w, ops.input("s", [5, 2]));
  const names = lower(program({ y }), { bindings: 8 }).dispatches.map(({ name }) => name);
  assert.ok(!names.includes("packed_rows") && names.includes("row_product"), names.join());
});
