/** `deno task doctor` without a checkpoint: what this machine offers, what `--device auto` would use, and why. */
import { lookForGpu, openBackend } from "../backend/choose.ts";
import { openOnnxBackend } from "../backend/onnx/backend.ts";
import { describeAdapter, LIMITS, probeFeatures } from "../backend/webgpu/device.ts";
import { readEnvironment } from "../report/environment.ts";
import { formatTable } from "../report/table.ts";
import type { Io } from "./command.ts";

/** Looks for a GPU, opens what `--device auto` would, and prints both. */
export async function describeMachine({ say, result }: Pick<Io, "say" | "result">): Promise<void> {
  const { adapter, software } = await lookForGpu();
  using onnx = await openOnnxBackend();
  const { date: _date, commit: _commit, backend: _backend, ...machine } = await readEnvironment({
    backend: onnx.name,
  });
  const gpu = adapter === undefined ? undefined : {
    adapter: describeAdapter(adapter),
    software,
    limits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
    features: await probeFeatures(),
  };
  const { backend, kind, reason } = await openBackend("auto");
  backend[Symbol.dispose]();
  const rows: string[][] = [
    ["what", "found"],
    ...Object.entries(machine).map(([k, v]) => [k, `${v}`]),
  ];
  rows.push(["ONNX Runtime", `${onnx.version}, ${onnx.runner}`]);
  rows.push([
    "adapter",
    gpu === undefined ? "none" : `${gpu.adapter}${software ? " (software)" : ""}`,
  ]);
  for (const [name, value] of Object.entries(gpu?.limits ?? {})) rows.push([name, `${value}`]);
  if (gpu !== undefined) {
    rows.push(["features", gpu.features.join(", ") || "none of those asked for"]);
  }
  rows.push(["--device auto", reason]);
  say(formatTable(rows));
  result({
    machine,
    onnx: { version: onnx.version, runner: onnx.runner },
    gpu,
    auto: { kind, reason },
  });
}
