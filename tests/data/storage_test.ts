/** Tests lib/data/storage.ts: rows of 8 bits by hand and at their limits; packing and its reverse. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { fromBytes, pack, rowError, toBytes, unpack } from "../../lib/data/storage.ts";
import { random } from "../../lib/random.ts";

Deno.test("the largest of a row becomes 127, whatever its sign; others keep their share", () => {
  const rows = Float32Array.of(1, -127, 63.6, 0, 0, 0, 0, 0, 254, 1, 0.9, -3);
  const { values, scales } = toBytes(rows, 4);
  deepEqual([...values], [1, -127, 64, 0, 0, 0, 0, 0, 127, 1, 0, -1]);
  deepEqual([...scales], [1, 0, 2]);
  deepEqual([...fromBytes({ values, scales })], [1, -127, 64, 0, 0, 0, 0, 0, 254, 2, 0, -2]);
});

Deno.test("rounding again changes nothing, and tiny and huge rows stay finite", () => {
  const from = random(1, "rows");
  for (const size of [1e-44, 1e-38, 1e-3, 1, 1e4, 3e38]) {
    const rows = Float32Array.from({ length: 64 }, () => size * (2 * from.uniform() - 1));
    const once = toBytes(rows, 16), back = fromBytes(once);
    ok(back.every((x, i) => Math.abs(x - rows[i]) <= size / 127 + 2e-43), `size ${size}`);
    deepEqual(toBytes(back, 16).values, once.values, `size ${size}`);
  }
});

Deno.test("packing 16 bits rounds to f16, 8 bits by row and tapped layer, none keeps nothing", () => {
  const from = random(2, "rows"), width = 8;
  const features = Float32Array.from({ length: 3 * width }, () => from.normal());
  // The second tapped layer is a thousand times the first: with a shared scale the first would vanish.
  const tapped = Float32Array.from(
    { length: 6 * width },
    (_, i) => from.normal() * (i % 16 < 8 ? 1 : 1000),
  );
  const half = unpack(pack({ features, tapped }, { storage: "f16", width }));
  deepEqual(half.features, new Float32Array(new Float16Array(features)));
  deepEqual(half.tapped, new Float32Array(new Float16Array(tapped)));
  const bytes = unpack(pack({ features, tapped }, { storage: "i8", width }));
  ok(rowError(bytes.features, { wanted: features, width }) < 0.01);
  ok(rowError(bytes.tapped, { wanted: tapped, width }) < 0.01);
  ok(rowError(bytes.features, { wanted: features, width }) > 1e-4);
  deepEqual(pack({ features, tapped }, { storage: "none", width }), {});
});

Deno.test("the error of rows is the mean of relative distances; zero rows do not count", () => {
  const wanted = Float32Array.of(3, 4, 0, 0, 1, 0), found = Float32Array.of(3, 5, 0, 0, 1, 0.5);
  equal(rowError(found, { wanted, width: 2 }), (0.2 + 0.5) / 2);
  equal(rowError(wanted, { wanted, width: 2 }), 0);
});
