/**
 * Opens an adapter and its device: which limits and features are asked for, and what is said when that fails or the
 * device is lost. It knows no program. Used by `backend.ts` and by the doctor.
 */

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
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
] as const;

/** The adapter's name, as its driver gives it. */
export function describeAdapter({ info }: GPUAdapter): string {
  return info.description ||
    [info.vendor, info.architecture, info.device].filter(Boolean).join(" ") ||
    "an adapter without a name";
}

/** Opens the device of the first adapter. @throws when there is no WebGPU, no adapter or no device. */
export async function openDevice(
  { gpu = navigator.gpu }: { gpu?: GPU } = {},
): Promise<OpenedDevice> {
  if (gpu === undefined) {
    throw new Error(
      "Cannot open WebGPU: this runtime has no navigator.gpu; wanted Deno 2.9 or newer",
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
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
