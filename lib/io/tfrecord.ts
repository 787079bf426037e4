/**
 * Records one after another in a file, each with checksums: TensorFlow's TFRecord framing, which TensorBoard
 * reads. A record is its length (u64), the masked CRC of these 8 bytes, the data, the masked CRC of the data;
 * all little-endian. What a record holds is not looked at; `lib/report/tensorboard.ts` fills them.
 */

/** CRC of each byte under the Castagnoli polynomial, bits reversed. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C (Castagnoli) of bytes, as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ crc >>> 8;
  return (crc ^ 0xffffffff) >>> 0;
}

/** The CRC as it stands in files: rotated and shifted, so that a CRC of data with CRCs inside stays useful. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}

/** One framed record: 16 bytes more than its data. */
export function frameRecord(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const framed = new Uint8Array(data.length + 16), view = new DataView(framed.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(framed.subarray(0, 8)), true);
  framed.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return framed;
}
