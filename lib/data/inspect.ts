/**
 * What a folder of training examples holds, in numbers, and whether its loss masks are sound: from ids and
 * masks, features are not read. It prints nothing; `lib/cli/inspect.ts` does. The shards: `features.ts`; what
 * a mask promises: `lib/text/chat.ts`.
 */
import { encodePrompt } from "../text/chat.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { listShards, type Settings, type Shard, type ShardsOf } from "./features.ts";

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

async function shardsOf(folder: string): Promise<Shard[]> {
  const shards = await listShards(folder);
  if (shards.length > 0) return shards;
  throw new Error(`Cannot inspect ${folder}: it holds no .arrow shards`);
}

/**
 * Counts what the shards of a folder hold; lengths in steps of `lengthStep` tokens.
 * @throws when the folder holds no shards, a damaged one, or shards of different targets.
 */
export async function inspectShards(
  folder: string,
  { lengthStep = 64 }: { lengthStep?: number } = {},
): Promise<Inspection> {
  const shards = await shardsOf(folder);
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

/** An example without its features. */
export interface Rows {
  id: string;
  ids: Int32Array;
  mask: Uint8Array;
}

const rowsOf = ({ names, starts, ids, mask }: Shard, i: number): Rows => ({
  id: names[i],
  ids: ids.subarray(starts[i], starts[i + 1]),
  mask: mask.subarray(starts[i], starts[i + 1]),
});

/** Ids and mask of example `index` (from 0). @throws when the folder has no such example. */
export async function readRows(folder: string, index: number): Promise<Rows> {
  let before = 0;
  for (const shard of await shardsOf(folder)) {
    const at = index - before;
    if (at >= 0 && at < shard.names.length) return rowsOf(shard, at);
    before += shard.names.length;
  }
  throw new Error(
    `Cannot show example ${index} of ${folder}: it holds ${before}, wanted 0 to ${before - 1}`,
  );
}

/** The ids that end every prompt: what two prompts of different questions have in common at their ends. */
export function promptEnding(tokenizer: Tokenizer): Int32Array {
  const [a, b] = ["one", "Something else, with 2 numbers: 34."].map((content) =>
    encodePrompt(tokenizer, [{ role: "user", content }])
  );
  let common = 0;
  while (common < Math.min(a.length, b.length) && a.at(-1 - common) === b.at(-1 - common)) common++;
  return a.slice(a.length - common);
}

/** What is wrong with a mask, if anything. `ending`: the ids that end every prompt. */
export function maskFault({ ids, mask }: Rows, { ending }: { ending: Int32Array }) {
  const odd = mask.findIndex((m) => m > 1);
  if (odd >= 0) return `row ${odd} holds ${mask[odd]}, wanted 0 or 1`;
  if (!mask.includes(1)) return `none of its ${mask.length} rows is trained`;
  // The last row predicts what does not exist; the one before has no feature to learn from.
  const last = mask.lastIndexOf(1);
  if (last > mask.length - 3) {
    return `row ${last} of ${mask.length} is trained and predicts nothing`;
  }
  for (let t = 0; t < mask.length; t++) {
    if (mask[t] === 0 || mask[t - 1] === 1) continue;
    const before = ids.subarray(Math.max(0, t + 1 - ending.length), t + 1);
    if (before.length < ending.length || before.some((id, i) => id !== ending[i])) {
      return `its first trained row, ${t}, is not the last token of a prompt`;
    }
  }
  return undefined;
}

/** An example whose mask breaks a promise. */
export interface MaskFault {
  /** Number of the example in the folder, from 0. */
  index: number;
  id: string;
  fault: string;
}

/** Checks the masks of all examples of a folder. @throws as `inspectShards`. */
export async function inspectMasks(
  folder: string,
  { ending }: { ending: Int32Array },
): Promise<MaskFault[]> {
  const faults: MaskFault[] = [];
  let index = 0;
  for (const shard of await shardsOf(folder)) {
    for (let i = 0; i < shard.names.length; i++, index++) {
      const fault = maskFault(rowsOf(shard, i), { ending });
      if (fault !== undefined) faults.push({ index, id: shard.names[i], fault });
    }
  }
  return faults;
}
