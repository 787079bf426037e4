/** Tests lib/io/safetensors.ts: round trips, and every way a header can lie. */
import { deepEqual, equal, throws } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors.ts";

const folder = await Deno.makeTempDir();

function written(name: string, header: unknown, data: Uint8Array = new Uint8Array(0)): string {
  const text = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header),
  );
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

Deno.test("tensors come back in every stored type", async () => {
  const path = join(folder, "types.safetensors"), data = Float32Array.of(1, -0.5, 3, 1024);
  await writeSafetensors(path, {
    a: { shape: [2, 2], data },
    b: { shape: [4], data, dtype: "F16" },
    c: { shape: [4, 1], data, dtype: "BF16" },
    d: { shape: [3], data: Int32Array.of(7, -8, 9) },
    e: { shape: [0, 5], data: new Float32Array(0) },
    f: { shape: [], data: Float32Array.of(2) },
  }, { metadata: { note: "n" } });
  using file = openSafetensors(path);
  for (const name of ["a", "b", "c"]) deepEqual(file.readFloat32(name), data);
  deepEqual([...file.readInt("d")], [7, -8, 9]);
  equal(file.readFloat32("e").length, 0);
  deepEqual(file.info("f").shape, []);
  deepEqual(file.metadata, { format: "pt", note: "n" });
  equal(file.info("b").dtype, "F16");
  throws(() => file.readInt("a"), /Cannot read a of .*types.safetensors as integers: it is F32/);
  throws(() => file.readFloat32("zz"), /types.safetensors: it has no tensor zz/);
});

Deno.test("integers of eight, one and one byte", () => {
  const data = new Uint8Array(8 + 2 + 1);
  new DataView(data.buffer).setBigInt64(0, -5n, true);
  data.set([200, 3, 1], 8);
  const path = written("ints", {
    a: { dtype: "I64", shape: [1], data_offsets: [0, 8] },
    b: { dtype: "U8", shape: [2], data_offsets: [8, 10] },
    c: { dtype: "BOOL", shape: [1], data_offsets: [10, 11] },
  }, data);
  using file = openSafetensors(path);
  deepEqual(["a", "b", "c"].map((n) => [...file.readInt(n)]), [[-5], [200, 3], [1]]);
});

const one = (change: Record<string, unknown>) => ({
  t: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...change },
});
const lies: [string, unknown, number, RegExp][] = [
  ["not JSON", "{", 0, /header is not a JSON object/],
  ["a list", "[]", 0, /header is not a JSON object/],
  ["unknown type", one({ dtype: "F7" }), 8, /tensor t has type F7, wanted one of F64/],
  ["negative size", one({ shape: [-2] }), 8, /tensor t has shape \[-2\]/],
  ["fractional size", one({ shape: [0.5] }), 8, /tensor t has shape \[0.5\]/],
  ["bad offsets", one({ data_offsets: [8] }), 8, /tensor t has data_offsets \[8\], wanted/],
  ["reversed offsets", one({ data_offsets: [8, 0] }), 8, /data_offsets \[8,0\]/],
  ["wrong byte count", one({ data_offsets: [0, 4] }), 4, /claims 4 bytes, but F32 \[2\] takes 8/],
  [
    "hole at the start",
    one({ data_offsets: [4, 12] }),
    12,
    /starts at byte 4 of the data, wanted 0/,
  ],
  ["truncated", one({}), 5, /its header describes/],
  ["surplus", one({}), 11, /its header describes/],
  [
    "overlap",
    { ...one({}), u: { dtype: "F32", shape: [1], data_offsets: [4, 8] } },
    8,
    /u starts at/,
  ],
];
for (const [what, header, bytes, wanted] of lies) {
  Deno.test(`a lying header is refused with the file's name: ${what}`, () => {
    const path = written(`lie-${what}`, header, new Uint8Array(bytes));
    throws(
      () => openSafetensors(path),
      (e: Error) => wanted.test(e.message) && e.message.includes(path),
    );
  });
}

Deno.test("missing, empty and boastful files are refused", () => {
  throws(() => openSafetensors(join(folder, "none")), /none: no such file/);
  writeFileSync(join(folder, "short"), "abc");
  throws(() => openSafetensors(join(folder, "short")), /it has 3 bytes, wanted at least 8/);
  const bytes = new Uint8Array(20);
  new DataView(bytes.buffer).setBigUint64(0, 2n ** 60n, true);
  writeFileSync(join(folder, "boast"), bytes);
  throws(
    () => openSafetensors(join(folder, "boast")),
    /its header claims \d+ bytes, the file holds 12/,
  );
});
