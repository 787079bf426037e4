/**
 * Writes messages in the protobuf wire format: fields in the order they are given, nothing more. It knows no
 * message of anybody and reads nothing back. ONNX models are made of it in `lib/backend/onnx/protobuf.ts`,
 * TensorBoard's events in `lib/report/tensorboard.ts`.
 */

/** A message in the making. Collects chunks, so that large fields are copied once, at the end. */
export class Message {
  #chunks: Uint8Array[] = [];
  #length = 0;

  #push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  #varint(value: number | bigint): void {
    let v = BigInt.asUintN(64, BigInt(value));
    const bytes: number[] = [];
    do {
      const low = Number(v & 127n);
      v >>= 7n;
      bytes.push(v > 0n ? low | 128 : low);
    } while (v > 0n);
    this.#push(Uint8Array.from(bytes));
  }

  #fixed(field: number, { wire, bytes }: { wire: 1 | 5; bytes: DataView<ArrayBuffer> }): this {
    this.#varint(field << 3 | wire);
    this.#push(new Uint8Array(bytes.buffer));
    return this;
  }

  /** A varint: int32, int64, bool or enum. Negative values take ten bytes. */
  int(field: number, value: number | bigint): this {
    this.#varint(field << 3);
    this.#varint(value);
    return this;
  }

  float(field: number, value: number): this {
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setFloat32(0, value, true);
    return this.#fixed(field, { wire: 5, bytes });
  }

  double(field: number, value: number): this {
    const bytes = new DataView(new ArrayBuffer(8));
    bytes.setFloat64(0, value, true);
    return this.#fixed(field, { wire: 1, bytes });
  }

  /** The bytes are kept, not copied: they must not change before `finish`. */
  bytes(field: number, value: Uint8Array): this {
    this.#varint(field << 3 | 2);
    this.#varint(value.length);
    this.#push(value);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    this.#varint(field << 3 | 2);
    this.#varint(value.#length);
    // Not by spreading: a model has more chunks than a call may have arguments.
    for (const chunk of value.#chunks) this.#push(chunk);
    return this;
  }

  /** The message's bytes. */
  finish(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}
