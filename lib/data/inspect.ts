/**
 * What a folder of training examples holds, in numbers: counted from ids and masks, features are not read.
 * It judges nothing and prints nothing; `lib/cli/data.ts` does. The shards: `features.ts`.
 */
import { listShards, type Settings, type ShardsOf } from "./features.ts";

/** Counts over a folder of shards. */
export interface Inspection {
  of: ShardsOf;
  /** What the answers were made with, as the first shard says; older ones do not. */
  settings?: Settings;
  shards: number;
  /** Size of the files. */
  bytes: number;
  examples: number;
  tokens: number;
  /** Rows whose loss mask is 1. */
  trainedRows: number;
  /** Examples without a trained row: answers of one token. */
  untrained: number;
  /** Examples whose id an earlier one has. */
  repeated: number;
  /** Number of examples with from <= tokens < to, ascending, from the shortest to the longest. */
  lengths: { from: number; to: number; examples: number }[];
}

/**
 * Counts what the shards of a folder hold; lengths in steps of `lengthStep` tokens.
 * @throws when the folder holds no shards, a damaged one, or shards of different targets.
 */
export async function inspectShards(
  folder: string,
  { lengthStep = 64 }: { lengthStep?: number } = {},
): Promise<Inspection> {
  const shards = await listShards(folder);
  if (shards.length === 0) {
    throw new Error(`Cannot inspect ${folder}: it holds no .arrow shards`);
  }
  const ids = new Set<string>(), counts = new Map<number, number>();
  let bytes = 0, examples = 0, tokens = 0, trainedRows = 0, untrained = 0;
  for (const { names, starts, mask, bytes: size } of shards) {
    bytes += size;
    examples += names.length;
    tokens += mask.length;
    names.forEach((name, i) => {
      const rows = mask.subarray(starts[i], starts[i + 1]),
        trained = rows.reduce((n, m) => n + m, 0);
      const step = Math.floor(rows.length / lengthStep);
      ids.add(name);
      counts.set(step, (counts.get(step) ?? 0) + 1);
      trainedRows += trained;
      if (trained === 0) untrained++;
    });
  }
  const steps = [...counts.keys()], shortest = Math.min(...steps), longest = Math.max(...steps);
  const lengths = Array.from({ length: longest - shortest + 1 }, (_, i) => {
    const from = (shortest + i) * lengthStep;
    return { from, to: from + lengthStep, examples: counts.get(shortest + i) ?? 0 };
  });
  const repeated = examples - ids.size;
  return {
    of: shards[0].of,
    ...shards[0].settings && { settings: shards[0].settings },
    shards: shards.length,
    bytes,
    examples,
    tokens,
    trainedRows,
    untrained,
    repeated,
    lengths,
  };
}
