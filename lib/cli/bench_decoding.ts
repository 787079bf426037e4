/** `deno task bench decoding`: forwards of target and draft over 1 to 64 rows. Called by `bench.ts`; `--vs`: `bench_speed.ts`. */
import type { OnnxBackend } from "../backend/onnx/backend.ts";
import { draftForwards, targetForwards } from "../bench/decoding.ts";
import { timeInTurn, type Timing } from "../bench/timing.ts";
import { loadTarget, readDraft } from "../model/load.ts";
import { formatTable } from "../report/table.ts";
import type { Io } from "./command.ts";

/** Times and prints: median and minimum of each forward, and how many plain tokens it is worth. */
export async function benchDecoding(
  backend: OnnxBackend,
  { say, rounds, target: folder, draft: trained }: Pick<Io, "say"> & {
    rounds: number;
    target: string;
    draft: string;
  },
): Promise<(Timing & { plain_tokens: number })[]> {
  const target = await loadTarget(folder, { backend });
  const rounded = await loadTarget(folder, { backend, bits: 8 });
  const draft = await readDraft(trained, { target });
  const exact = await targetForwards(target, { backend });
  const quick = await targetForwards(rounded, { backend });
  const candidates = [
    ...exact.flatMap((forward, i) => [forward, quick[i]]),
    ...await draftForwards(draft, { backend, target }),
  ];
  const timings = await timeInTurn(candidates, { rounds }), plain = timings[0].median;
  const rows = timings.map((t) => ({ ...t, plain_tokens: t.median / plain }));
  say(formatTable([
    ["forward behind 200 tokens", "median ms", "min ms", "in plain tokens"],
    ...rows.map(({ name, median, minimum, plain_tokens }) => [
      name,
      median.toFixed(2),
      minimum.toFixed(2),
      plain_tokens.toFixed(2),
    ]),
  ]));
  return rows;
}
