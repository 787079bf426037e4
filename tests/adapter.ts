/** Is there an adapter to test on? A test without one is ignored under its own name. Not a test itself. */
import { openWebGpuBackend, type WebGpuBackend } from "../lib/backend/webgpu/backend.ts";

const missing = await openWebGpuBackend().then(
  (backend) => backend[Symbol.dispose](),
  (error: Error) => error.message.split("\n")[0],
);

/** A test on WebGPU: any adapter, software too. */
export function testOnWebGpu(name: string, run: (backend: WebGpuBackend) => Promise<void>): void {
  if (missing !== undefined) {
    Deno.test({ name: `${name} (webgpu not available: ${missing})`, ignore: true, fn() {} });
    return;
  }
  Deno.test(`${name} (webgpu)`, async () => {
    using backend = await openWebGpuBackend();
    await run(backend);
  });
}
