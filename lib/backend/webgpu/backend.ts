/**
 * The GPU backend: Programs as our own WGSL kernels, on any adapter that the runtime sees. A run is one submission;
 * states, parameters and results stay on the device until they are read. Lowering is in `lower.ts`, order and
 * memory in `plan.ts`.
 */
import { dtypeOf, type HostArray, type OpName, type Shape, showShape } from "../../graph/node.ts";
import type { Program } from "../../graph/program.ts";
import { type Backend, checkInputs, type Executable, type Params } from "../backend.ts";
import { openDevice } from "./device.ts";
import { type Dispatch, lower } from "./lower.ts";
import { isCopy, plan } from "./plan.ts";
import { DeviceMemory, DeviceTensor } from "./tensors.ts";
import { bytesOf, type Slot } from "./writer.ts";

/** The backend with what it runs on. */
export interface WebGpuBackend extends Backend {
  readonly adapter: string;
  readonly device: GPUDevice;
  /** Bytes that tensors and programs hold on the device. */
  readonly bytes: number;
}

function placed(memory: DeviceMemory, data: HostArray, shape: Shape, host?: HostArray) {
  const tensor = new DeviceTensor(memory, shape, dtypeOf(data), { host });
  tensor.write(data);
  return tensor;
}

function deviceTensor(name: string, tensor: Params[string], memory: DeviceMemory): DeviceTensor {
  if (tensor instanceof DeviceTensor && tensor.memory === memory) return tensor;
  throw new Error(`Cannot run: input ${name} is a tensor of another backend, wanted webgpu`);
}

/** A shader with what it binds; the group is made anew when an input is another tensor than before. */
class BoundDispatch {
  #pipeline: GPUComputePipeline;
  #group: GPUBindGroup | undefined;
  #buffers: readonly GPUBuffer[] = [];
  constructor(readonly memory: DeviceMemory, readonly dispatch: Dispatch) {
    this.#pipeline = memory.pipeline(dispatch.text, dispatch.name);
  }

  encode(pass: GPUComputePassEncoder, bufferOf: (slot: Slot) => GPUBuffer): void {
    const buffers = this.dispatch.bindings.map(({ slot }) => bufferOf(slot));
    if (this.#group === undefined || buffers.some((b, i) => b !== this.#buffers[i])) {
      this.#group = this.memory.device.createBindGroup({
        layout: this.#pipeline.getBindGroupLayout(0),
        entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
      this.#buffers = buffers;
    }
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, this.#group);
    pass.dispatchWorkgroups(...this.dispatch.groups);
  }
}

/** Does what needs the device's consent. @throws what the device says against it. */
async function checked<T>(memory: DeviceMemory, make: () => T): Promise<T> {
  const { device } = memory;
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("validation");
  let result: T | undefined, thrown: unknown;
  try {
    result = make();
  } catch (error) {
    thrown = error;
  }
  // Both at once: another program may be compiled while this one waits.
  const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  if (thrown !== undefined) throw thrown;
  const problem = errors.find((error) => error !== null);
  if (problem === undefined) return result!;
  throw new Error(`Cannot compile a program on ${memory.description}: ${problem!.message}`);
}

async function compile(
  program: Program,
  { memory, weights, expanded }: {
    memory: DeviceMemory;
    weights: Params;
    expanded?: ReadonlySet<OpName>;
  },
): Promise<Executable> {
  const { device } = memory;
  const bound = Object.fromEntries(Object.entries(weights).filter(([n]) => program.inputs[n]));
  const fixed = Object.keys(program.updates).find((name) => bound[name] !== undefined);
  if (fixed !== undefined) throw new Error(`Cannot update ${fixed}: it is bound as a weight`);
  const boundInputs = Object.fromEntries(Object.keys(bound).map((n) => [n, program.inputs[n]]));
  checkInputs({ ...program, inputs: boundInputs }, bound);

  using resources = new DisposableStack();
  const { lowered, operations, aliases, buffers, outputs } = await checked(memory, () => {
    const bindings = device.limits.maxStorageBuffersPerShaderStage;
    const lowered = lower(program, { bindings, bytes: memory.largest, expanded });
    const { places, blocks, ...order } = plan(lowered);
    const buffers = new Map<Slot, GPUBuffer>();
    /** A slot's own tensor: never in parts. */
    const own = (slot: Slot) => {
      const buffer = memory.buffer(bytesOf(slot), `${slot.label} ${showShape(slot.shape)}`);
      buffers.set(slot, buffer);
      return resources.use(new DeviceTensor(memory, slot.shape, slot.dtype, { buffer }));
    };
    for (const [slot, data] of lowered.constants) {
      own(slot).write(data);
    }
    const pool = blocks.map((bytes) =>
      resources.adopt(memory.buffer(bytes, "a temporary"), (buffer) => memory.free(buffer))
    );
    for (const [slot, place] of places) buffers.set(slot, pool[place]);
    const outputs: Params = {};
    for (const [name, slot] of Object.entries(lowered.outputs)) {
      if (!buffers.has(slot)) own(slot);
      const { shape, dtype } = program.outputs[name];
      outputs[name] = new DeviceTensor(memory, shape, dtype, { buffer: buffers.get(slot) });
    }
    const operations = order.operations.map((o) => isCopy(o) ? o : new BoundDispatch(memory, o));
    return { lowered, operations, aliases: order.aliases, buffers, outputs };
  });
  const owned = resources.move();

  function encode(inputs: Params): void {
    checkInputs(program, inputs, bound);
    memory.check("run");
    memory.flushReads();
    const given = new Map<Slot, GPUBuffer>();
    for (const [name, slots] of lowered.inputs) {
      const tensor = deviceTensor(name, bound[name] ?? inputs[name], memory);
      if (tensor.host !== undefined) tensor.write(tensor.host);
      slots.forEach((slot, i) => given.set(slot, tensor.buffers[i]));
    }
    const bufferOf = (slot: Slot) => given.get(aliases.get(slot) ?? slot) ?? buffers.get(slot)!;
    const encoder = device.createCommandEncoder();
    let pass: GPUComputePassEncoder | undefined;
    for (const o of operations) {
      if (o instanceof BoundDispatch) {
        pass ??= encoder.beginComputePass();
        o.encode(pass, bufferOf);
        continue;
      }
      pass?.end();
      pass = undefined;
      encoder.copyBufferToBuffer(bufferOf(o.from), 0, bufferOf(o.to), 0, bytesOf(o.to));
    }
    pass?.end();
    device.queue.submit([encoder.finish()]);
  }
  return {
    // An async function, so that errors reject instead of being thrown before there is a promise.
    // deno-lint-ignore require-await
    run: async (inputs) => {
      encode(inputs);
      return outputs;
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/**
 * Opens the GPU backend on an implementation of WebGPU, by default the runtime's own. Composites named in `expanded`
 * run as their expansions though they have a page: to compare. Tensors of more bytes than a binding of the adapter
 * (or `bindingLimit`, to try it with small ones) lie in several buffers; see `parts.ts`.
 * @throws when there is no adapter.
 */
export async function openWebGpuBackend(
  { gpu, expanded, bindingLimit }: {
    gpu?: GPU;
    expanded?: ReadonlySet<OpName>;
    bindingLimit?: number;
  } = {},
): Promise<WebGpuBackend> {
  const opened = await openDevice({ gpu }), memory = new DeviceMemory(opened, { bindingLimit });
  return {
    name: "webgpu",
    hostVisible: false,
    adapter: opened.description,
    device: opened.device,
    get bytes() {
      return memory.bytes;
    },
    tensor: (data, shape) => placed(memory, data, shape),
    shared: (data, shape) => placed(memory, data, shape, data),
    compile: (program, { weights = {} } = {}) => compile(program, { memory, weights, expanded }),
    [Symbol.dispose]: () => opened.device.destroy(),
  };
}
