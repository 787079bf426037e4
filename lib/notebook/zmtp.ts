/**
 * A ZeroMQ connection over TCP, as much of ZMTP 3.0 as a Jupyter client needs: NULL mechanism, DEALER and SUB sockets
 * (rfc.zeromq.org/spec/23). No native code. Next on the walk: `kernel.ts`.
 */

const text = new TextEncoder();
const MORE = 1, LONG = 2, COMMAND = 4;

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function framed(body: Uint8Array, flags: number): Uint8Array {
  if (body.length < 256) return joined([Uint8Array.of(flags, body.length), body]);
  const head = new Uint8Array(9);
  head[0] = flags | LONG;
  new DataView(head.buffer).setBigUint64(1, BigInt(body.length));
  return joined([head, body]);
}

/** A property of the READY command: a short name, a long value. */
function property(name: string, value: string): Uint8Array {
  const size = new Uint8Array(4), bytes = text.encode(value);
  new DataView(size.buffer).setUint32(0, bytes.length);
  return joined([Uint8Array.of(name.length), text.encode(name), size, bytes]);
}

/** Signature, version 3.0, mechanism NULL, client. */
function greeting(): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set([0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0]);
  bytes.set(text.encode("NULL"), 12);
  return bytes;
}

/** An open connection; iterate over it for messages, each a list of frames. */
export class ZmtpSocket implements Disposable {
  #connection: Deno.TcpConn;
  #reader: ReadableStreamDefaultReader<Uint8Array>;
  #held = new Uint8Array(0);

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
    this.#reader = connection.readable.getReader();
  }

  /** Connects, shakes hands, and subscribes a SUB socket to everything. @throws when the peer is no ZMTP 3. */
  static async connect(kind: "DEALER" | "SUB", port: number): Promise<ZmtpSocket> {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connection.setNoDelay(true);
    const socket = new ZmtpSocket(connection);
    await socket.#write(greeting());
    const peer = await socket.#take(64);
    if (peer[0] !== 0xff || peer[10] < 3) {
      throw new Error(`Cannot talk to port ${port}: the peer does not greet as ZMTP 3`);
    }
    const ready = joined([
      Uint8Array.of(5),
      text.encode("READY"),
      property("Socket-Type", kind),
      ...(kind === "DEALER" ? [property("Identity", "")] : []),
    ]);
    await socket.#write(framed(ready, COMMAND));
    const { flags } = await socket.#frame();
    if ((flags & COMMAND) === 0) throw new Error(`Cannot talk to port ${port}: it is not ready`);
    if (kind === "SUB") await socket.#write(framed(Uint8Array.of(1), 0));
    return socket;
  }

  async send(frames: readonly string[]): Promise<void> {
    const last = frames.length - 1;
    await this.#write(joined(frames.map((f, i) => framed(text.encode(f), i < last ? MORE : 0))));
  }

  /** Messages until the connection closes. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array[]> {
    let frames: Uint8Array[] = [];
    for (;;) {
      let frame: { flags: number; body: Uint8Array };
      try {
        frame = await this.#frame();
      } catch {
        return; // closed, by either side
      }
      if ((frame.flags & COMMAND) !== 0) continue;
      frames.push(frame.body);
      if ((frame.flags & MORE) !== 0) continue;
      yield frames;
      frames = [];
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  async #take(count: number): Promise<Uint8Array> {
    while (this.#held.length < count) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error("the connection was closed");
      this.#held = joined([this.#held, value]) as Uint8Array<ArrayBuffer>;
    }
    const taken = this.#held.slice(0, count);
    this.#held = this.#held.subarray(count);
    return taken;
  }

  async #frame(): Promise<{ flags: number; body: Uint8Array }> {
    const [flags] = await this.#take(1);
    if ((flags & LONG) === 0) return { flags, body: await this.#take((await this.#take(1))[0]) };
    const size = await this.#take(8);
    return { flags, body: await this.#take(Number(new DataView(size.buffer).getBigUint64(0))) };
  }

  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch {
      return; // closed by the other side
    }
  }
}
