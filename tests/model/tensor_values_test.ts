/** Tests lib/model/tensor_values.ts: sums against a slow way, and what tells fresh, trained and damaged tensors apart. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import { fromBrain, toBrain } from "../../lib/io/float16.ts";
import { oddityOf, sumValues } from "../../lib/model/tensor_values.ts";
import { random } from "../../lib/random.ts";

const normal = (n: number, deviation: number, seed = 1) => {
  const from = random(seed, "values");
  return Float32Array.from({ length: n }, () => deviation * from.normal());
};
const oddity = (
  values: Float32Array,
  shape: number[],
  name = "a.weight",
  initializerRange?: number,
) => oddityOf(name, sumValues(values, shape.at(-1)!), { shape, initializerRange });

Deno.test("sums are those of the definitions", () => {
  const values = normal(12, 2),
    { mean, deviation, kurtosis, least, most, count } = sumValues(values, 3);
  const average = (f: (x: number) => number) => values.reduce((s, x) => s + f(x), 0) / 12;
  const middle = average((x) => x), square = average((x) => x * x);
  assert.equal(mean, middle);
  assert.ok(Math.abs(deviation - Math.sqrt(average((x) => (x - middle) ** 2))) < 1e-12);
  assert.ok(Math.abs(kurtosis - average((x) => x ** 4) / square ** 2) < 1e-12);
  assert.deepEqual([least, most, count], [Math.min(...values), Math.max(...values), 12]);
});

Deno.test("rows of different sizes are told, and columns: by chi square", () => {
  const [rows, columns] = [64, 48], values = normal(rows * columns, 1);
  const plain = sumValues(values, columns);
  assert.ok(Math.abs(plain.rows) < 4 && Math.abs(plain.columns) < 4);
  const scaled = values.map((x, i) => x * (1 + 0.3 * Math.sin(Math.floor(i / columns))));
  assert.ok(sumValues(scaled, columns).rows > 10);
  const turned = values.map((x, i) => x * (1 + 0.3 * Math.sin(i % columns)));
  assert.ok(sumValues(turned, columns).columns > 10);
});

Deno.test("fresh matrices are recognised in all initialisations, also rounded to bf16", () => {
  const [rows, columns] = [96, 128], n = rows * columns, uniform = random(3, "uniform");
  const bound = columns ** -0.5;
  const fresh: [values: Float32Array, range: number | undefined, why: RegExp][] = [
    [normal(n, 0.006, 2), 0.006, /normal values of deviation .*initializer_range/],
    [normal(n, 0.02, 3), undefined, /normal.*the usual one/],
    [normal(n, bound, 4), undefined, /normal.*1\/sqrt\(inner size\)/],
    [
      Float32Array.from({ length: n }, () => bound * (2 * uniform.uniform() - 1)),
      undefined,
      /uniform.*PyTorch's default/,
    ],
  ];
  for (const [values, range, why] of fresh) {
    for (const stored of [values, fromBrain(toBrain(values))]) {
      const found = oddity(stored, [rows, columns], "a.weight", range);
      assert.equal(found?.level, "doubt");
      assert.match(found.what, why);
    }
  }
});

Deno.test("of 200 fresh matrices hardly one is missed", () => {
  let missed = 0;
  for (let seed = 0; seed < 200; seed++) {
    if (oddity(normal(80 * 64, 0.02, seed), [80, 64]) === undefined) missed++;
  }
  assert.ok(missed <= 2, `${missed} missed`);
});

Deno.test("no trained matrix of the shipped models is taken for a fresh one", () => {
  for (const name of ["draft", "target"]) {
    using file = openCheckpoint(join(import.meta.dirname!, "..", "..", "data", name));
    for (const tensor of file.names) {
      const { shape } = file.info(tensor);
      assert.equal(oddity(file.readFloat32(tensor), shape, tensor, 0.02), undefined, tensor);
    }
  }
});

Deno.test("fresh values that moved by a fifth of their size are trained", () => {
  const [rows, columns] = [256, 512], start = normal(rows * columns, 0.02);
  const moved = normal(rows * columns, 0.02 / 5, 9).map((x, i) => x + start[i]);
  assert.notEqual(oddity(start, [rows, columns]), undefined);
  assert.equal(oddity(moved, [rows, columns]), undefined);
});

Deno.test("damage and constants are told apart", () => {
  const broken = normal(64, 1);
  broken[3] = NaN;
  broken[9] = -Infinity;
  assert.deepEqual(oddity(broken, [8, 8]), {
    level: "fault",
    what: "2 of 64 values are NaN or infinite",
  });
  const filled = (x: number) => new Float32Array(64).fill(x);
  assert.equal(oddity(filled(0), [8, 8])?.what, "all values are 0");
  assert.equal(oddity(filled(0.25), [8, 8])?.what, "all values are 0.25");
  assert.match(oddity(filled(1), [64], "norm.weight")!.what, /exactly 1, as a norm begins/);
  assert.equal(oddity(filled(0), [64], "fc.bias")?.level, "doubt");
  assert.equal(oddity(normal(64, 1), [64], "norm.weight"), undefined);
  assert.equal(oddity(new Float32Array(0), [0, 8])?.level, "fault");
});
