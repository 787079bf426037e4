/** `deno task bench frozen`: frozen matrices in f32 and f16, each step in a process of its own. Called by `bench.ts`. */
import { FROZEN_SIZES, type FrozenRow } from "../bench/frozen.ts";
import { median } from "../bench/timing.ts";
import type { FrozenType } from "../model/load.ts";
import { formatTable } from "../report/table.ts";
import { measured } from "./bench_process.ts";
import type { Io } from "./command.ts";

const TYPES: readonly FrozenType[] = ["f32", "f16"], ROUNDS = 2;
const mb = (bytes: number) => (bytes / 1e6).toFixed(1);

/** Rows of all sizes and types, medians of processes in turn. */
export async function benchFrozen({ say }: Pick<Io, "say">): Promise<FrozenRow[]> {
  const rows: FrozenRow[] = [];
  for (const size of Object.keys(FROZEN_SIZES)) {
    const found = TYPES.map((): FrozenRow[] => []);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, frozen] of TYPES.entries()) {
        found[i].push(await measured("frozen", `${frozen},${size}`));
      }
    }
    rows.push(...found.map((of) => ({
      ...of[0],
      peakBytes: median(of.map((r) => r.peakBytes)),
      ms: median(of.map((r) => r.ms)),
    })));
  }
  say(formatTable([
    ["embedding and head", "in", "MB held", "MB at the peak of a step", "ms a step"],
    ...rows.map((r) => [
      r.size,
      r.frozen,
      mb(r.heldBytes),
      mb(r.peakBytes),
      r.ms.toFixed(0),
    ]),
  ]));
  return rows;
}
