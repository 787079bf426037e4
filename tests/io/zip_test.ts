/** Zip files by hand: stored entries, the fields of large files, and what is refused. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openZip } from "../../lib/io/zip.ts";

const ONES = 0xffffffff;

/** A zip of one entry; with `large`, its sizes and places stand in the 64-bit fields. */
function zipOf(name: string, data: string, { large = false, method = 0 } = {}): Uint8Array {
  const text = new TextEncoder(), body = text.encode(data), label = text.encode(name);
  const parts: number[] = [];
  const put = (value: number, size: number) => {
    for (let i = 0; i < size; i++) parts.push(Math.floor(value / 2 ** (8 * i)) % 256);
  };
  put(0x04034b50, 4);
  for (const [v, n] of [[20, 2], [0, 2], [method, 2], [0, 4], [0, 4]]) put(v, n);
  put(body.length, 4);
  put(body.length, 4);
  put(label.length, 2);
  put(0, 2);
  parts.push(...label, ...body);
  const central = parts.length;
  put(0x02014b50, 4);
  for (const [v, n] of [[20, 2], [20, 2], [0, 2], [method, 2], [0, 4], [0, 4]]) put(v, n);
  for (const value of [body.length, body.length]) put(large ? ONES : value, 4);
  put(label.length, 2);
  put(large ? 28 : 0, 2);
  for (const n of [2, 2, 2, 4]) put(0, n);
  put(large ? ONES : 0, 4);
  parts.push(...label);
  if (large) {
    for (const [v, n] of [[1, 2], [24, 2], [body.length, 8], [body.length, 8], [0, 8]]) put(v, n);
  }
  const length = parts.length - central, end = parts.length;
  if (large) {
    put(0x06064b50, 4);
    for (const [v, n] of [[44, 8], [45, 2], [45, 2], [0, 4], [0, 4], [1, 8], [1, 8]]) put(v, n);
    put(length, 8);
    put(central, 8);
    put(0x07064b50, 4);
    for (const [v, n] of [[0, 4], [end, 8], [1, 4]]) put(v, n);
  }
  put(0x06054b50, 4);
  for (const n of [2, 2]) put(0, n);
  for (const n of [2, 2]) put(large ? 0xffff : 1, n);
  put(large ? ONES : length, 4);
  put(large ? ONES : central, 4);
  put(0, 2);
  return Uint8Array.from(parts);
}

const folder = await Deno.makeTempDir();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

function written(data: Uint8Array): string {
  const path = join(folder, "a.zip");
  writeFileSync(path, data);
  return path;
}

Deno.test("stored entries are read, in part too, with the fields of small and of large files", () => {
  for (const large of [false, true]) {
    using zip = openZip(written(zipOf("a/b", "hello", { large })));
    assert.deepEqual([...zip.entries.keys()], ["a/b"]);
    const entry = zip.entries.get("a/b")!, text = (b: Uint8Array) => new TextDecoder().decode(b);
    assert.equal(text(zip.read(entry)), "hello");
    assert.equal(text(zip.read(entry, 1, 3)), "ell");
    assert.throws(() => zip.read(entry, 3, 3), /bytes 3 to 6 of 5 were asked for/);
  }
});

Deno.test("compressed entries, other files and missing ones are refused", () => {
  assert.throws(() => openZip(written(zipOf("a", "x", { method: 8 }))), /a is compressed/);
  assert.throws(() => openZip(written(new Uint8Array(100))), /end record is missing/);
  assert.throws(() => openZip(join(folder, "none")), /none: no such file/);
});
