/** CRC-32C against the vectors of RFC 3720 (B.4), and a framed record byte by byte. */
import assert from "node:assert/strict";
import { crc32c, frameRecord, maskedCrc32c } from "../../lib/io/tfrecord.ts";

const ascii = (text: string) => new TextEncoder().encode(text);

Deno.test("crc32c: the published vectors", () => {
  assert.equal(crc32c(new Uint8Array(0)), 0);
  assert.equal(crc32c(ascii("123456789")), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
});

Deno.test("masked: rotated right by 15, plus a constant, modulo 2^32", () => {
  for (const text of ["", "123456789", "a"]) {
    const crc = BigInt(crc32c(ascii(text)));
    const rotated = (crc >> 15n | crc << 17n) & 0xffffffffn;
    assert.equal(BigInt(maskedCrc32c(ascii(text))), (rotated + 0xa282ead8n) % 2n ** 32n);
  }
});

Deno.test("a record: length, its crc, data, its crc, all little-endian", () => {
  const framed = frameRecord(ascii("abc")), view = new DataView(framed.buffer);
  assert.equal(framed.length, 19);
  assert.deepEqual([...framed.subarray(0, 8)], [3, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(view.getUint32(8, true), maskedCrc32c(framed.subarray(0, 8)));
  assert.equal(new TextDecoder().decode(framed.subarray(12, 15)), "abc");
  assert.equal(view.getUint32(15, true), maskedCrc32c(ascii("abc")));
});
