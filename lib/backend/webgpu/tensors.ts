/**
 * Tensors on a device: a buffer each, or several that share the rows of one larger than a binding; explicitly
 * destroyed. Reads that are asked for together come back in one
 * copy, since each wait for the device costs more than ten milliseconds in some runtimes. Used by `backend.ts`.
 */
import {
  type DType,
  type HostArray,
  type Shape,
  showShape,
  sizeOf,
  zeroArray,
} from "../../graph/node.ts";
import type { Tensor } from "../backend.ts";
import { keepRowsKernel } from "../../../kernels/in_place.ts";
import { shaderOf } from "../../../kernels/kernel.ts";
import type { OpenedDevice } from "./device.ts";
import { rowsOfParts } from "./parts.ts";
import { bytesOf } from "./writer.ts";

/** What a buffer holds. */
interface Stored {
  /** @throws when it was disposed since. */
  buffer(): GPUBuffer;
  readonly shape: Shape;
  readonly dtype: DType;
}

interface Read {
  readonly what: Stored;
  done(data: HostArray): void;
  fail(error: unknown): void;
}

/** A device with its pipelines, and reads that wait for their turn. */
export class DeviceMemory {
  readonly device: GPUDevice;
  /** What tensors and blocks hold now, in bytes. */
  bytes = 0;
  #opened: OpenedDevice;
  #pipelines = new Map<string, GPUComputePipeline>();
  #reads: Read[] = [];

  /** Bytes of a buffer that a shader binds, at most. */
  readonly largest: number;

  constructor(opened: OpenedDevice, { bindingLimit = Infinity }: { bindingLimit?: number } = {}) {
    this.#opened = opened;
    this.device = opened.device;
    const { maxStorageBufferBindingSize, maxBufferSize } = opened.device.limits;
    this.largest = Math.min(bindingLimit, maxStorageBufferBindingSize, maxBufferSize);
  }

  get description(): string {
    return this.#opened.description;
  }

  /** @throws when the device was lost or ran out of memory. */
  check(action: string): void {
    const failure = this.#opened.failure();
    if (failure !== undefined) {
      throw new Error(`Cannot ${action} on ${this.description}: ${failure}`);
    }
  }

  /** A buffer of its own. @throws when it is larger than the device binds. */
  buffer(bytes: number, label: string): GPUBuffer {
    if (bytes > this.largest) {
      throw new Error(
        `Cannot place ${label} on ${this.description}: it has ${bytes} bytes, the adapter binds ${this.largest}`,
      );
    }
    this.bytes += Math.max(4, bytes);
    const { STORAGE, COPY_DST, COPY_SRC } = GPUBufferUsage;
    return this.device.createBuffer({
      label,
      size: Math.max(4, bytes),
      usage: STORAGE | COPY_DST | COPY_SRC,
    });
  }

  free(buffer: GPUBuffer): void {
    this.bytes -= buffer.size;
    buffer.destroy();
  }

  /** The pipeline of a shader, compiled once. */
  pipeline(text: string, label: string): GPUComputePipeline {
    let found = this.#pipelines.get(text);
    if (found === undefined) {
      const module = this.device.createShaderModule({ code: text, label });
      found = this.device.createComputePipeline({
        label,
        layout: "auto",
        compute: { module, entryPoint: "main" },
      });
      this.#pipelines.set(text, found);
    }
    return found;
  }

  /** Reads a buffer, together with all that are asked for before the current task ends or the next run. */
  read(what: Stored): Promise<HostArray> {
    return new Promise((done, fail) => {
      this.#reads.push({ what, done, fail });
      if (this.#reads.length === 1) queueMicrotask(() => this.flushReads());
    });
  }

  /** Has what was asked for copied now: what is submitted later may overwrite it. */
  flushReads(): void {
    const { maxBufferSize } = this.device.limits, reads = this.#reads;
    this.#reads = [];
    for (let from = 0, to = 0; from < reads.length; from = to) {
      let bytes = 0; // of one copy
      do bytes += bytesOf(reads[to++].what); while (
        to < reads.length && bytes + bytesOf(reads[to].what) <= maxBufferSize
      );
      void this.#readTogether(reads.slice(from, to), bytes);
    }
  }

  async #readTogether(reads: readonly Read[], total: number): Promise<void> {
    let staging: GPUBuffer | undefined;
    try {
      this.check("read");
      const { COPY_DST, MAP_READ } = GPUBufferUsage;
      staging = this.device.createBuffer({ size: total, usage: COPY_DST | MAP_READ });
      const encoder = this.device.createCommandEncoder();
      let start = 0;
      const starts = reads.map(({ what }) => {
        const at = start, size = bytesOf(what);
        encoder.copyBufferToBuffer(what.buffer(), 0, staging!, at, size);
        start += size;
        return at;
      });
      this.device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      this.check("read");
      const mapped = staging.getMappedRange();
      reads.forEach(({ what, done }, i) =>
        done(hostArray(mapped.slice(starts[i], starts[i] + bytesOf(what)), what))
      );
    } catch (error) {
      for (const { fail } of reads) fail(error);
    } finally {
      staging?.destroy();
    }
  }
}

function hostArray(
  bytes: ArrayBuffer,
  { shape, dtype }: { shape: Shape; dtype: DType },
): HostArray {
  if (dtype === "f32") return new Float32Array(bytes);
  if (dtype === "i32") return new Int32Array(bytes);
  if (dtype === "f16") return new Uint16Array(bytes, 0, sizeOf(shape));
  if (dtype === "u8") return new Uint8Array(bytes, 0, sizeOf(shape));
  return Uint8Array.from(new Uint32Array(bytes));
}

/** A tensor in buffers. With `host`, the array that it is filled from before every run. */
export class DeviceTensor implements Tensor {
  #buffers: readonly GPUBuffer[] | undefined;
  /** Shapes of what each buffer holds. */
  readonly #shapes: readonly Shape[];

  /** @throws when it is larger than the device binds and one row of it is, too. */
  constructor(
    readonly memory: DeviceMemory,
    readonly shape: Shape,
    readonly dtype: DType,
    { buffer, host }: { buffer?: GPUBuffer; host?: HostArray } = {},
  ) {
    const rows = buffer ? [] : rowsOfParts(this, memory.largest);
    this.#shapes = rows.length > 1 ? rows.map((n) => shape.with(0, n)) : [shape];
    const place = (part: Shape) =>
      memory.buffer(bytesOf({ shape: part, dtype }), `a tensor ${showShape(part)}`);
    this.#buffers = buffer ? [buffer] : this.#shapes.map(place);
    this.host = host;
  }

  readonly host: HostArray | undefined;

  /** One, or those of its parts, see `parts.ts`. @throws when it was disposed. */
  get buffers(): readonly GPUBuffer[] {
    if (this.#buffers !== undefined) return this.#buffers;
    throw new Error(`Cannot use a tensor ${showShape(this.shape)}: it was disposed`);
  }

  /** The elements; those of a tensor in parts are brought together. */
  async read(): Promise<HostArray> {
    if (this.host !== undefined) return this.host;
    const { dtype } = this;
    const parts = await Promise.all(
      this.#shapes.map((shape, i) =>
        this.memory.read({ shape, dtype, buffer: () => this.buffers[i] })
      ),
    );
    if (parts.length === 1) return parts[0];
    const whole = zeroArray(dtype, sizeOf(this.shape));
    parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
    return whole;
  }

  /** Copies host data to the device. */
  write(data: HostArray): void {
    let from = 0;
    this.#shapes.forEach((shape, i) => {
      const part = data.subarray(from, from += sizeOf(shape)), { byteLength } = part;
      const bytes = new Uint8Array(part.buffer, part.byteOffset, byteLength);
      const whole = new Uint8Array(
        byteLength % 4 === 0 ? 0 : bytesOf({ shape, dtype: this.dtype }),
      );
      if (whole.length > 0) whole.set(bytes); // devices copy words
      const sent = whole.length > 0 ? whole : bytes;
      this.memory.device.queue.writeBuffer(this.buffers[i], 0, sent as Uint8Array<ArrayBuffer>);
    });
  }

  /** See {@link Tensor.keepRows}. */
  keepRows(from: number, offsets: ArrayLike<number>): void {
    if (this.buffers.length > 1) {
      throw new Error(`Cannot keep rows of a cache ${showShape(this.shape)}: it lies in parts`);
    }
    const { memory } = this, { device } = memory, [capacity, width] = this.shape.slice(-2);
    const kernel = keepRowsKernel({
      ...{ lead: sizeOf(this.shape.slice(0, -2)), capacity, width, count: offsets.length },
    });
    const text = shaderOf(kernel, {
      functions: [
        "fn from_at() -> i32 { return moves[0]; }",
        "fn offset_at(i: u32) -> i32 { return moves[i + 1u]; }",
        "fn cache_get(p: u32) -> f32 { return cache[p]; }",
        "fn cache_put(p: u32, v: f32) { cache[p] = v; }",
      ],
      bindings: "@group(0) @binding(0) var<storage, read_write> cache: array<f32>;\n" +
        "@group(0) @binding(1) var<storage, read> moves: array<i32>;",
    });
    const pipeline = memory.pipeline(text, kernel.name);
    using moves = new DeviceTensor(memory, [1 + offsets.length], "i32");
    moves.write(Int32Array.of(from, ...Array.from(offsets)));
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [this, moves].map(({ buffers: [buffer] }, binding) => ({
          binding,
          resource: { buffer },
        })),
      }),
    );
    pass.dispatchWorkgroups(...kernel.groups);
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  [Symbol.dispose](): void {
    this.#buffers?.forEach((buffer) => this.memory.free(buffer));
    this.#buffers = undefined;
  }
}
