/**
 * Tensors on a device: a buffer each, explicitly destroyed. Reads that are asked for together come back in one
 * copy, since each wait for the device costs more than ten milliseconds in some runtimes. Used by `backend.ts`.
 */
import { type DType, type HostArray, type Shape, showShape, sizeOf } from "../../graph/node.ts";
import type { Tensor } from "../backend.ts";
import { keepRowsKernel } from "../../../kernels/in_place.ts";
import { shaderOf } from "../../../kernels/kernel.ts";
import type { OpenedDevice } from "./device.ts";
import { bytesOf } from "./writer.ts";

/** A device with its pipelines, and reads that wait for their turn. */
export class DeviceMemory {
  readonly device: GPUDevice;
  /** What tensors and blocks hold now, in bytes. */
  bytes = 0;
  #opened: OpenedDevice;
  #pipelines = new Map<string, GPUComputePipeline>();
  #reads: { tensor: DeviceTensor; done: (data: HostArray) => void; fail: (e: unknown) => void }[] =
    [];

  constructor(opened: OpenedDevice) {
    this.#opened = opened;
    this.device = opened.device;
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
    const { maxStorageBufferBindingSize: binding, maxBufferSize } = this.device.limits;
    const largest = Math.min(binding, maxBufferSize);
    if (bytes > largest) {
      throw new Error(
        `Cannot place ${label} on ${this.description}: it has ${bytes} bytes, the adapter binds ${largest}`,
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

  /** Reads a tensor, together with all that are asked for before the current task ends or the next run. */
  read(tensor: DeviceTensor): Promise<HostArray> {
    return new Promise((done, fail) => {
      this.#reads.push({ tensor, done, fail });
      if (this.#reads.length === 1) queueMicrotask(() => this.flushReads());
    });
  }

  /** Has what was asked for copied now: what is submitted later may overwrite it. */
  flushReads(): void {
    if (this.#reads.length > 0) void this.#readAll();
  }

  async #readAll(): Promise<void> {
    const reads = this.#reads;
    this.#reads = [];
    let staging: GPUBuffer | undefined;
    try {
      this.check("read");
      const sizes = reads.map(({ tensor }) => bytesOf(tensor));
      const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));
      const { COPY_DST, MAP_READ } = GPUBufferUsage, total = starts.at(-1)! + sizes.at(-1)!;
      staging = this.device.createBuffer({ size: total, usage: COPY_DST | MAP_READ });
      const encoder = this.device.createCommandEncoder();
      reads.forEach(({ tensor }, i) =>
        encoder.copyBufferToBuffer(tensor.buffer, 0, staging!, starts[i], sizes[i])
      );
      this.device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      this.check("read");
      const mapped = staging.getMappedRange();
      reads.forEach(({ tensor: { shape, dtype }, done }, i) =>
        done(hostArray(mapped.slice(starts[i], starts[i] + sizes[i]), { shape, dtype }))
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

/** A tensor in a buffer. With `host`, the array that it is filled from before every run. */
export class DeviceTensor implements Tensor {
  #buffer: GPUBuffer | undefined;
  constructor(
    readonly memory: DeviceMemory,
    readonly shape: Shape,
    readonly dtype: DType,
    { buffer, host }: { buffer?: GPUBuffer; host?: HostArray } = {},
  ) {
    this.#buffer = buffer ?? memory.buffer(bytesOf(this), `a tensor ${showShape(shape)}`);
    this.host = host;
  }

  readonly host: HostArray | undefined;

  /** @throws when it was disposed. */
  get buffer(): GPUBuffer {
    if (this.#buffer !== undefined) return this.#buffer;
    throw new Error(`Cannot use a tensor ${showShape(this.shape)}: it was disposed`);
  }

  read(): Promise<HostArray> {
    return this.host !== undefined ? Promise.resolve(this.host) : this.memory.read(this);
  }

  /** Copies host data to the device. */
  write(data: HostArray): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const whole = new Uint8Array(data.byteLength % 4 === 0 ? 0 : bytesOf(this));
    if (whole.length > 0) whole.set(bytes); // devices copy words
    const sent = whole.length > 0 ? whole : bytes;
    this.memory.device.queue.writeBuffer(this.buffer, 0, sent as Uint8Array<ArrayBuffer>);
  }

  /** See {@link Tensor.keepRows}. */
  keepRows(from: number, offsets: ArrayLike<number>): void {
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
        entries: [this, moves].map(({ buffer }, binding) => ({ binding, resource: { buffer } })),
      }),
    );
    pass.dispatchWorkgroups(...kernel.groups);
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  [Symbol.dispose](): void {
    if (this.#buffer !== undefined) this.memory.free(this.#buffer);
    this.#buffer = undefined;
  }
}
