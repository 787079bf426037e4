/** `deno task bench loading`: memory and time of loading a target, each in a process of its own. Called by `bench.ts`. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { LOADING_BITS, type LoadingRow } from "../bench/loading.ts";
import { REAL_SHAPES, writeRandomTarget } from "../bench/real_target.ts";
import { formatTable } from "../report/table.ts";
import { measured } from "./bench_process.ts";
import type { Io } from "./command.ts";
import { TARGET_OPTION } from "./models.ts";
import { Progress } from "./progress.ts";

/** A published shape with random weights, and fewer layers where that is asked for. */
export interface Shape {
  shape: string;
  layers?: number;
}

/** The folder of a random target of a shape under `out`, written unless it is there. */
export async function openRealTarget(out: string, { shape, layers }: Shape): Promise<string> {
  const json = { ...REAL_SHAPES[shape], ...(layers && { num_hidden_layers: layers }) };
  const folder = join(out, `target-${shape}${layers ? `-${layers}` : ""}`);
  if (existsSync(join(folder, "config.json"))) return folder;
  using progress = new Progress(shape);
  const onShard = (done: number, total: number) => progress.update(done, { total });
  await writeRandomTarget(folder, { json, texts: TARGET_OPTION.default, onShard });
  return folder;
}

const gb = (bytes: number) => (bytes / 1e9).toFixed(2);

/** Where targets of real size are kept between runs. */
export const REAL_SIZE = "runs/real-size";

/** Rows of a target in 32, 8 and 4 bits, each made in a process of its own. */
export async function benchLoading(
  { say, target, shape, layers }: Pick<Io, "say"> & Shape & { target: string },
): Promise<LoadingRow[]> {
  const folder = target === TARGET_OPTION.default
    ? await openRealTarget(REAL_SIZE, { shape, layers })
    : target;
  const rows: LoadingRow[] = [];
  for (const bits of LOADING_BITS) {
    rows.push(await measured<LoadingRow>("loading", `${bits},${folder}`));
  }
  say(formatTable([
    [
      folder,
      "GB of files",
      "GB held",
      "largest weight",
      "peak",
      "of held",
      "running",
      "of held",
      "s",
    ],
    ...rows.map((r) => [
      `${r.bits} bits`,
      ...[r.fileBytes, r.heldBytes, r.largestBytes, r.loadPeak].map(gb),
      (r.loadPeak / r.heldBytes).toFixed(2),
      gb(r.runPeak),
      (r.runPeak / r.heldBytes).toFixed(2),
      (r.loadMs / 1000).toFixed(1),
    ]),
  ]));
  return rows;
}
