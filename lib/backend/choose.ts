/**
 * Which backend a run uses: the CPU through ONNX Runtime, the GPU through our own kernels, or whichever this machine
 * is better at. It opens one and says why; what a GPU can do is read by `webgpu/device.ts`.
 */
import type { Backend } from "./backend.ts";
import { openOnnxBackend } from "./onnx/backend.ts";
import { openWebGpuBackend } from "./webgpu/backend.ts";
import { requestAdapter } from "./webgpu/device.ts";

/** What may be asked for. `auto` takes a GPU if there is one that is not software. */
export const DEVICES = ["cpu", "webgpu", "auto"] as const;
export type Device = typeof DEVICES[number];

/** An open backend and why it was chosen. */
export interface ChosenBackend {
  readonly backend: Backend;
  readonly kind: "cpu" | "webgpu";
  /** One line for people. */
  readonly reason: string;
}

/** What WebGPU offers here, in a line; opens nothing. */
export async function lookForGpu(
  { gpu }: { gpu?: GPU } = {},
): Promise<{ adapter: GPUAdapter | undefined; software: boolean }> {
  const adapter = await requestAdapter({ gpu }) ?? undefined;
  return { adapter, software: adapter?.info.isFallbackAdapter === true };
}

/**
 * Opens the backend of a device. `gpu` stands in for the runtime's own WebGPU.
 * @throws when `webgpu` is asked for and cannot be opened; `auto` falls back to the CPU instead, and says so.
 */
export async function openBackend(
  device: Device,
  { gpu }: { gpu?: GPU } = {},
): Promise<ChosenBackend> {
  const cpu = async (reason: string): Promise<ChosenBackend> => {
    const backend = await openOnnxBackend();
    return { backend, kind: "cpu", reason: `CPU, ${backend.name}: ${reason}` };
  };
  const webgpu = async (reason: string): Promise<ChosenBackend> => {
    const backend = await openWebGpuBackend({ gpu });
    return { backend, kind: "webgpu", reason: `${backend.adapter}, webgpu: ${reason}` };
  };
  if (device === "cpu") return await cpu("asked for");
  if (device === "webgpu") return await webgpu("asked for");
  const { adapter, software } = await lookForGpu({ gpu });
  if (adapter === undefined) return await cpu("WebGPU has no adapter here");
  if (software) return await cpu("the only adapter is software, slower than ONNX Runtime");
  try {
    return await webgpu("a GPU is there");
  } catch (error) {
    return await cpu((error as Error).message);
  }
}

/**
 * The backend for a notebook: `using backend = await device()`.
 * @throws when `webgpu` is asked for and there is none.
 */
export async function device(wanted: Device = "auto"): Promise<Backend> {
  return (await openBackend(wanted)).backend;
}
