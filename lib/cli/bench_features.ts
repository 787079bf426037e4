/** `deno task bench features`: where a step's features come from, the disk or the target. Called by `bench.ts`. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { OnnxBackend } from "../backend/onnx/backend.ts";
import { type FeatureRow, featureSources } from "../bench/features.ts";
import { loadTarget } from "../model/load.ts";
import { formatTable } from "../report/table.ts";
import type { Io } from "./command.ts";

/** Times and prints: tokens a second, bytes, and how far rows are from those of f32. */
export async function benchFeatures(
  backend: OnnxBackend,
  { say, rounds, target: folder, data }: Pick<Io, "say"> & {
    rounds: number;
    target: string;
    data: string;
  },
): Promise<FeatureRow[]> {
  const target = await loadTarget(folder, { backend }), train = join(data, "train");
  const source = existsSync(train) ? { data: train } : {};
  const rows = await featureSources(target, { backend, rounds: Math.min(rounds, 5), ...source });
  const share = (x: number) => Number.isFinite(x) ? `${(100 * x).toFixed(2)} %` : "";
  say(formatTable([
    ["features", "tokens/s", "bytes a token", "row error", "row error, taps"],
    ...rows.map((r) => [
      r.name,
      r.tokensPerSecond.toFixed(0),
      r.bytesPerToken.toFixed(0),
      share(r.featureError),
      share(r.tappedError),
    ]),
  ]));
  return rows;
}
