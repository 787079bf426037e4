/**
 * Which WebGPU: the runtime's own, or Dawn, that of Chrome, where `GRIFFIN_WEBGPU=dawn` asks for it. Dawn comes as an
 * npm package of 130 MB that is fetched when it is first asked for, and no part of the default install. Used by
 * `device.ts`.
 */

/** Read when it is imported, not by the type checker: nobody who does not ask for it fetches it. */
const DAWN = "npm:webgpu@0.6.2";

let dawn: Promise<GPU> | undefined;

async function loadDawn(): Promise<GPU> {
  try {
    const { create } = await import(DAWN);
    return create([]);
  } catch (cause) {
    throw new Error(
      `Cannot load Dawn (${DAWN}): ${(cause as Error).message}; wanted the package and --allow-ffi`,
      { cause },
    );
  }
}

/**
 * The WebGPU that is used unless another is given; none where the runtime has none.
 * @throws when `GRIFFIN_WEBGPU` names another than `dawn`, or Dawn cannot be loaded.
 */
export async function implementation(): Promise<GPU | undefined> {
  const name = "GRIFFIN_WEBGPU",
    { state } = Deno.permissions.querySync({ name: "env", variable: name });
  const wanted = state === "granted" ? Deno.env.get(name) : undefined;
  if (wanted === undefined || wanted === "") return navigator.gpu;
  if (wanted !== "dawn") {
    throw new Error(`Cannot choose a WebGPU: found ${name}=${wanted}, wanted dawn or nothing`);
  }
  return await (dawn ??= loadDawn());
}
