/**
 * What an adapter can do at best, measured: bytes copied and multiplications added in a second. Shares of these are
 * what `kernels.ts` reports, since data sheets of integrated and software adapters say nothing.
 */
import { median } from "./timing.ts";

/** Rates of an adapter. */
export interface GpuRates {
  /** Bytes read and written a second by a copy shader. */
  bytesPerSecond: number;
  /** f32 operations a second, two for a multiplication that is added. */
  flopsPerSecond: number;
}

const COPY = `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  y[id.x] = x[id.x];
}`;

/** Eight chains that do not wait for each other. */
const FMA = `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = x[id.x];
  var s0 = a; var s1 = a + 1.0; var s2 = a + 2.0; var s3 = a + 3.0;
  var s4 = a + 4.0; var s5 = a + 5.0; var s6 = a + 6.0; var s7 = a + 7.0;
  for (var i = 0u; i < STEPS; i++) {
    s0 = fma(s0, a, a); s1 = fma(s1, a, a); s2 = fma(s2, a, a); s3 = fma(s3, a, a);
    s4 = fma(s4, a, a); s5 = fma(s5, a, a); s6 = fma(s6, a, a); s7 = fma(s7, a, a);
  }
  y[id.x] = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
}`;

/** Milliseconds of one of several repetitions that are waited for once. */
export async function timeRepeated(
  run: (times: number) => Promise<unknown>,
  { enough = 200, rounds = 3 }: { enough?: number; rounds?: number } = {},
): Promise<number> {
  const timed = async (times: number) => {
    const before = performance.now();
    await run(times);
    return performance.now() - before;
  };
  await timed(1);
  let times = 1, ms = await timed(times);
  // A wait costs some milliseconds by itself: repeat until it no longer counts.
  while (ms < enough && times < 4096) {
    times = Math.min(4096, Math.ceil(times * Math.max(2, 1.2 * enough / Math.max(ms, 1))));
    ms = await timed(times);
  }
  const all = [ms];
  while (all.length < rounds) all.push(await timed(times));
  return median(all) / times;
}

/** Measures an adapter's rates over `elements` f32. */
export async function measureRates(
  device: GPUDevice,
  { elements = 1 << 23, steps = 512 }: { elements?: number; steps?: number } = {},
): Promise<GpuRates> {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
  const make = () => device.createBuffer({ size: elements * 4, usage });
  const x = make(), y = make();
  device.queue.writeBuffer(x, 0, new Float32Array(elements).map((_, i) => (i % 97) / 100));
  const prepare = (code: string) => {
    const module = device.createShaderModule({ code });
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    const layout = pipeline.getBindGroupLayout(0);
    const entries = [x, y].map((buffer, binding) => ({ binding, resource: { buffer } }));
    return { pipeline, group: device.createBindGroup({ layout, entries }) };
  };
  const runner = (code: string, groups: number) => {
    const { pipeline, group } = prepare(code);
    return async (times: number) => {
      const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < times; i++) pass.dispatchWorkgroups(groups);
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
    };
  };
  try {
    const copied = await timeRepeated(runner(COPY, elements / 1024));
    const threads = Math.min(elements / 4, 1 << 16);
    const fma = FMA.replace("STEPS", `${steps}u`);
    const computed = await timeRepeated(runner(fma, threads / 256));
    return {
      bytesPerSecond: 2 * 4 * elements / copied * 1000,
      flopsPerSecond: 2 * 32 * steps * threads / computed * 1000,
    };
  } finally {
    x.destroy();
    y.destroy();
  }
}
