/**
 * Opens an adapter and its device: which limits and features are asked for, and what is said when that fails or the
 * device is lost. It knows no program. Used by `backend.ts` and by the doctor.
 */
import { tmpdir } from "node:os";
import { implementation } from "./implementation.ts";

/** An opened device. */
export interface OpenedDevice {
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
  /** The adapter in words. */
  readonly description: string;
  /** What went wrong on the device since it was opened, if anything did. */
  failure(): string | undefined;
}

/** Limits worth having as large as the adapter allows. */
export const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
] as const;

/**
 * The first adapter of a WebGPU, if it has one; see `implementation.ts`. Drivers on Linux without a desktop complain
 * about a folder that they then do not need.
 */
export async function requestAdapter(
  { gpu: given }: { gpu?: GPU } = {},
): Promise<GPUAdapter | null> {
  const gpu = given ?? await implementation();
  if (gpu === undefined) return null;
  if (given === undefined && Deno.build.os === "linux") {
    const { state } = Deno.permissions.querySync({ name: "env" });
    if (state === "granted" && !Deno.env.has("XDG_RUNTIME_DIR")) {
      Deno.env.set("XDG_RUNTIME_DIR", tmpdir());
    }
  }
  return await gpu.requestAdapter({ powerPreference: "high-performance" });
}

/** The adapter's name, as its driver gives it. */
export function describeAdapter({ info }: GPUAdapter): string {
  return info.description ||
    [info.vendor, info.architecture, info.device].filter(Boolean).join(" ") ||
    "an adapter without a name";
}

/** Opens the device of the first adapter. @throws when there is no WebGPU, no adapter or no device. */
export async function openDevice({ gpu }: { gpu?: GPU } = {}): Promise<OpenedDevice> {
  if ((gpu ?? await implementation()) === undefined) {
    throw new Error(
      "Cannot open WebGPU: this runtime has no navigator.gpu; wanted Deno 2.9 or newer",
    );
  }
  const adapter = await requestAdapter({ gpu });
  if (adapter === null) {
    throw new Error(
      "Cannot open WebGPU: found no adapter; wanted a GPU with a Vulkan, Metal or DirectX 12 driver " +
        "(on Linux without one: Mesa's software adapter, package mesa-vulkan-drivers)",
    );
  }
  const description = describeAdapter(adapter);
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
    });
  } catch (cause) {
    throw new Error(`Cannot open WebGPU on ${description}: ${(cause as Error).message}`, { cause });
  }
  let failure: string | undefined;
  device.lost.then(({ reason, message }) => {
    if (reason !== "destroyed") failure ??= `the device was lost: ${message}`;
  });
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    failure ??= (event as GPUUncapturedErrorEvent).error.message;
  });
  return { adapter, device, description, failure: () => failure };
}

/** Features that kernels could use. Some are granted though the adapter does not list them: asking is the test. */
const FEATURES = ["shader-f16", "subgroups", "timestamp-query"] as const;

/** Which features a device is given. */
export async function probeFeatures(
  { gpu }: { gpu?: GPU } = {},
): Promise<string[]> {
  const granted: string[] = [];
  for (const feature of FEATURES) {
    try {
      const adapter = await requestAdapter({ gpu });
      const device = await adapter!.requestDevice({
        requiredFeatures: [feature as GPUFeatureName],
      });
      device.destroy();
      granted.push(feature);
    } catch {
      continue; // refused: that is the answer
    }
  }
  return granted;
}
