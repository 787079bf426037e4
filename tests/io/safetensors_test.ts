/** Tests lib/io/safetensors.ts: round trips, and every way a header can lie. */
import { deepEqual, equal, rejects, throws } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../lib/io/safetensors.ts";

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

Deno.test("bits of f16 come as they stand, other types rounded, and what is too large is refused", async () => {
  const path = join(folder, "halves.safetensors"), data = Float32Array.of(1, -0.1, 65504, 1e-9);
  const bits = Uint16Array.of(0x3c00, 0xae66, 0x7bff, 0);
  await writeSafetensors(path, {
    half: { shape: [4], data: Uint16Array.of(0x3c00, 0xae66, 0x7c00, 0x0001), dtype: "F16" },
    full: { shape: [4], data },
    brain: { shape: [2], data: Float32Array.of(1, 2 ** -14), dtype: "BF16" },
    large: { shape: [2], data: Float32Array.of(-Infinity, -65520) },
    whole: { shape: [1], data: Int32Array.of(1) },
  });
  using file = openSafetensors(path);
  // An infinity that the file holds is none of ours to refuse.
  deepEqual(file.readHalf("half"), Uint16Array.of(0x3c00, 0xae66, 0x7c00, 0x0001));
  deepEqual(file.readHalf("full"), bits);
  deepEqual(file.readHalf("brain"), Uint16Array.of(0x3c00, 0x0400));
  throws(
    () => file.readHalf("large"),
    /Cannot read large of .*halves\.safetensors as f16: element 1 is -65520, wanted at most 65504/,
  );
  throws(() => file.readHalf("whole"), /Cannot read whole of .* as f32: it is I32/);
});

const one = (change: Record<string, unknown>) => ({
  t: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...change },
});
const lies: [string, unknown, number, RegExp][] = [
  ["not JSON", "{", 0, /header is not a JSON object/],
  ["a list", "[]", 0, /header is not a JSON object/],
  ["no tensor", { t: null }, 0, /tensor t is null, wanted dtype, shape, data_offsets/],
  ["metadata that are no texts", { __metadata__: { a: 1 } }, 0, /__metadata__ is \{"a":1\}/],
  ["type of an inherited name", one({ dtype: "toString" }), 8, /type toString, wanted one of F64/],
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
  ["truncated", one({}), 5, /its header describes \d+, tensor t being the last/],
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

Deno.test("an empty tensor may be listed after the one that starts where it does", () => {
  const path = written("empty", {
    b: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
    a: { dtype: "F32", shape: [0], data_offsets: [0, 0] },
  }, new Uint8Array(4));
  using file = openSafetensors(path);
  deepEqual([file.readFloat32("a").length, file.readFloat32("b").length], [0, 1]);
});

Deno.test("integers that do not fit 32 bits are refused, those that just fit are read", () => {
  const wide = (values: bigint[], dtype: string) =>
    written(`wide-${dtype}`, {
      a: { dtype, shape: [values.length], data_offsets: [0, 8 * values.length] },
    }, new Uint8Array(BigInt64Array.from(values).buffer));
  using fits = openSafetensors(wide([2n ** 31n - 1n, -(2n ** 31n)], "I64"));
  deepEqual([...fits.readInt("a")], [2 ** 31 - 1, -(2 ** 31)]);
  using large = openSafetensors(wide([1n, 2n ** 31n], "U64"));
  throws(() => large.readInt("a"), /wide-U64 as integers: element 1 is 2147483648, wanted 32 bits/);
});

Deno.test("folders, text that is not UTF-8 and closed files are named", () => {
  throws(
    () => openSafetensors(folder),
    (e: Error) => e.message.includes(`${folder}: found a fold`),
  );
  const path = written("latin", "{}");
  const bytes = Deno.readFileSync(path);
  bytes[8] = 0xff;
  writeFileSync(path, bytes);
  throws(() => openSafetensors(path), /latin: its header is not UTF-8 text/);
  const file = openSafetensors(
    written("closed", { t: { dtype: "U8", shape: [1], data_offsets: [0, 1] } }, new Uint8Array(1)),
  );
  file[Symbol.dispose]();
  file[Symbol.dispose]();
  throws(() => file.readInt("t"), /closed: it has been closed/);
});

Deno.test("a tensor that lies beyond 2 GiB is found", async () => {
  // A sparse file; the large tensor is not read, it would take its size in memory.
  const size = 2 ** 31 + 16,
    path = written("sparse", {
      large: { dtype: "U8", shape: [size], data_offsets: [0, size] },
      small: { dtype: "I32", shape: [1], data_offsets: [size, size + 4] },
    });
  const start = (await Deno.stat(path)).size;
  using handle = await Deno.open(path, { write: true });
  await handle.truncate(start + size + 4);
  await handle.seek(start + size, Deno.SeekMode.Start);
  await handle.write(Uint8Array.of(42, 0, 0, 0));
  using file = openSafetensors(path);
  deepEqual([...file.readInt("small")], [42]);
  await Deno.remove(path);
});

Deno.test("data start at a multiple of 8, and types other than f32 and i32 can be written", async () => {
  const path = join(folder, "kinds");
  await writeSafetensors(path, {
    wide: { shape: [2], data: Int32Array.of(-1, 7), dtype: "I64" },
    big: { shape: [1], data: BigInt64Array.of(-9n) },
    bits: { shape: [2], data: Uint16Array.of(0x3c00, 0xc000), dtype: "F16" },
    bytes: { shape: [2], data: Uint8Array.of(0, 255, 3).subarray(1) },
  });
  using file = openSafetensors(path);
  deepEqual(file.names.map((n) => file.info(n).dtype), ["I64", "I64", "F16", "U8"]);
  deepEqual(["wide", "big", "bytes"].map((n) => [...file.readInt(n)]), [[-1, 7], [-9], [255, 3]]);
  deepEqual([...file.readFloat32("bits")], [1, -2]);
  const view = new DataView(Deno.readFileSync(path).buffer);
  equal(Number(view.getBigUint64(0, true)) % 8, 0);
});

const unfit: [string, TensorToWrite, RegExp][] = [
  ["ints as F32", { shape: [1], data: Int32Array.of(1), dtype: "F32" }, /wanted I32 or I64/],
  ["floats as I32", { shape: [1], data: Float32Array.of(1), dtype: "I32" }, /wanted F32 or F16/],
  ["bits without a type", { shape: [1], data: Uint16Array.of(1) }, /wanted F16 or BF16/],
  ["too few", { shape: [2], data: Float32Array.of(1) }, /from 1 values: wanted 2/],
  ["nothing", { shape: [1], data: undefined as never }, /from nothing/],
];
for (const [what, tensor, wanted] of unfit) {
  Deno.test(`values that cannot be stored as asked are refused, nothing is written: ${what}`, async () => {
    const path = join(folder, `unfit-${what}`);
    await rejects(writeSafetensors(path, { t: tensor }), wanted);
    await rejects(Deno.stat(path));
  });
}

Deno.test("the name of the metadata is no tensor's", async () => {
  const tensors = { __metadata__: { shape: [1], data: Float32Array.of(1) } };
  await rejects(
    writeSafetensors(join(folder, "meta"), tensors),
    /Cannot write .*meta: __metadata__/,
  );
});
