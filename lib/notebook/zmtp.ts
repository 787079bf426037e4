/**
 * The part of ZeroMQ's wire protocol that a Jupyter client needs: ZMTP 3.0 with the NULL mechanism over TCP, as a
 * DEALER or as a SUB of everything. No native code, no other transports, no reconnecting. What is said over it:
 * `kernel.ts`. Source: the ZMTP 3.0 specification (RFC 23).
 */
import { setTimeout as sleep } from "node:timers/promises";

const MORE = 1, LONG = 2, COMMAND = 4;
const GREETING = 64;

/** Bytes one after the other. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const encode = (text: string) => new TextEncoder().encode(text);

/** One frame: flags, length (a byte, or eight), data. */
export function encodeFrame(data: Uint8Array, flags: number): Uint8Array<ArrayBuffer> {
  if (data.length < 256) return joinBytes([Uint8Array.of(flags, data.length), data]);
  const head = new Uint8Array(9);
  head[0] = flags | LONG;
  new DataView(head.buffer).setBigUint64(1, BigInt(data.length));
  return joinBytes([head, data]);
}

/** A READY command with the properties of a socket. */
function ready(properties: Record<string, string>): Uint8Array<ArrayBuffer> {
  const fields = Object.entries(properties).map(([name, value]) => {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, encode(value).length);
    return joinBytes([Uint8Array.of(encode(name).length), encode(name), size, encode(value)]);
  });
  const body = joinBytes([Uint8Array.of(5), encode("READY"), ...fields]);
  return encodeFrame(body, COMMAND);
}

/** Version 3.0, mechanism NULL, not a server. */
function greeting(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(GREETING);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes.set(encode("NULL"), 12);
  return bytes;
}

/** Reads exact numbers of bytes from a stream of chunks. */
class ByteReader {
  #source: ReadableStreamDefaultReader<Uint8Array>;
  #held: Uint8Array[] = [];
  #count = 0;
  constructor(stream: ReadableStream<Uint8Array>) {
    this.#source = stream.getReader();
  }

  /** @throws when the other side closes before. */
  async take(n: number): Promise<Uint8Array> {
    while (this.#count < n) {
      const { value, done } = await this.#source.read();
      if (done) throw new Error(`The connection was closed, wanted ${n - this.#count} bytes more`);
      this.#held.push(value);
      this.#count += value.length;
    }
    // Joined once a frame, not once a chunk: long frames come in thousands of chunks.
    const all = this.#held.length === 1 ? this.#held[0] : joinBytes(this.#held);
    this.#held = n === all.length ? [] : [all.subarray(n)];
    this.#count = all.length - n;
    return all.subarray(0, n);
  }
}

/** A connection: messages of several frames go out by `send` and come in by iteration. */
export class ZmtpSocket implements Disposable {
  #connection: Deno.TcpConn;
  #reader: ByteReader;
  #writing: Promise<void> = Promise.resolve();

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
    this.#reader = new ByteReader(connection.readable);
  }

  /**
   * Connects to a port of this machine, waiting up to `patience` milliseconds for someone to listen.
   * @throws when nobody does, or who listens speaks something else.
   */
  static async connect(
    type: "DEALER" | "SUB",
    { port, patience = 20_000, signal }: { port: number; patience?: number; signal?: AbortSignal },
  ): Promise<ZmtpSocket> {
    const began = performance.now();
    let connection: Deno.TcpConn | undefined;
    while (connection === undefined) {
      signal?.throwIfAborted();
      try {
        connection = await Deno.connect({ hostname: "127.0.0.1", port });
      } catch (cause) {
        if (performance.now() - began > patience) {
          throw new Error(`Cannot reach port ${port}: nobody listened for ${patience} ms`, {
            cause,
          });
        }
        await sleep(30);
      }
    }
    connection.setNoDelay(true);
    const socket = new ZmtpSocket(connection);
    await socket.#write(greeting());
    const peer = await socket.#reader.take(GREETING);
    if (peer[0] !== 0xff || peer[10] < 3) {
      throw new Error(`Cannot talk to port ${port}: found version ${peer[10]}, wanted ZMTP 3`);
    }
    const identity: Record<string, string> = type === "DEALER" ? { Identity: "" } : {};
    await socket.#write(ready({ "Socket-Type": type, ...identity }));
    const { flags } = await socket.#frame();
    if (!(flags & COMMAND)) throw new Error(`Cannot talk to port ${port}: wanted READY`);
    // A subscription to every topic: a message of one byte.
    if (type === "SUB") await socket.#write(encodeFrame(Uint8Array.of(1), 0));
    return socket;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  async #frame(): Promise<{ flags: number; data: Uint8Array }> {
    const [flags, short] = await this.#reader.take(2);
    let size = short;
    if (flags & LONG) {
      const rest = await this.#reader.take(7);
      const bytes = joinBytes([Uint8Array.of(short), rest]);
      size = Number(new DataView(bytes.buffer).getBigUint64(0));
    }
    return { flags, data: size === 0 ? new Uint8Array(0) : await this.#reader.take(size) };
  }

  /** Sends a message; messages go out whole and in order. */
  send(frames: readonly (string | Uint8Array)[]): Promise<void> {
    const parts = frames.map((frame, i) => {
      const data = typeof frame === "string" ? encode(frame) : frame;
      return encodeFrame(data, i + 1 < frames.length ? MORE : 0);
    });
    return this.#writing = this.#writing.then(() => this.#write(joinBytes(parts)));
  }

  /** Messages as they come, each its frames; ends when the connection does. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array[]> {
    let frames: Uint8Array[] = [];
    for (;;) {
      let frame: { flags: number; data: Uint8Array };
      try {
        frame = await this.#frame();
      } catch {
        return;
      }
      if (frame.flags & COMMAND) continue;
      frames.push(frame.data);
      if (frame.flags & MORE) continue;
      yield frames;
      frames = [];
    }
  }

  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch {
      // closed by the other side
    }
  }
}
