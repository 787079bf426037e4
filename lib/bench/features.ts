/**
 * Sources of training features to time and weigh: shards of 16 and 8 bits read from disk, and the target run
 * over whole texts, in chunks of a prompt, or over several texts side by side. It prints nothing.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Backend, zeros } from "../backend/backend.ts";
import {
  openExamples,
  openShardWriter,
  type StoredExamples,
  type TokenizedText,
  type TrainingExample,
} from "../data/features.ts";
import { onlineExamples, rowsFor } from "../data/online.ts";
import { bytesPerToken } from "../data/shards.ts";
import { rowError } from "../data/storage.ts";
import { TargetDecoder } from "../decode/target.ts";
import { program } from "../graph/program.ts";
import { targetProgram } from "../model/llama.ts";
import type { Target } from "../model/load.ts";
import { newBatchCache } from "../model/placement.ts";
import { random } from "../random.ts";
import { type Candidate, timeInTurn, type Timing } from "./timing.ts";

/** A source of features, its speed, and what it costs. */
export interface FeatureRow extends Timing {
  tokensPerSecond: number;
  /** Bytes a token takes on disk, ids and mask included; 0 where nothing is stored. */
  bytesPerToken: number;
  /** Mean relative error of the feature rows, and of the rows of tapped layers. */
  featureError: number;
  tappedError: number;
}

/** Layers that EAGLE-3 reads: 2, the middle one, and the third from the end. */
export function eagleTaps(layers: number): number[] {
  return [
    ...new Set([2, layers >> 1, layers - 3].map((l) => Math.max(0, Math.min(l, layers - 1)))),
  ];
}

/** Texts to time with: the first ones of a folder, or made up. */
function textsOf(data: StoredExamples | undefined, { count, vocabulary }: {
  count: number;
  vocabulary: number;
}): TokenizedText[] {
  if (data !== undefined) {
    return Array.from({ length: Math.min(count, data.count) }, (_, i) => data.readText(i));
  }
  return Array.from({ length: count }, (_, i) => {
    const from = random(1, "bench", i), length = 96 + from.integer(64);
    const ids = Int32Array.from({ length }, () => from.integer(vocabulary));
    return { id: `text-${i}`, ids, mask: new Uint8Array(length).fill(1, 0, length - 1) };
  });
}

/** A candidate that runs all texts in batches of `batch` of similar length, padded to the longest of each. */
async function sideBySide(
  target: Target,
  { backend, texts, batch, taps }: {
    backend: Backend;
    texts: readonly TokenizedText[];
    batch: number;
    taps: readonly number[];
  },
): Promise<Candidate> {
  const { config, weights } = target, runs: (() => Promise<unknown>)[] = [];
  const sorted = [...texts].sort((a, b) => a.ids.length - b.ids.length);
  for (let at = 0; at < sorted.length; at += batch) {
    const group = sorted.slice(at, at + batch), rows = rowsFor(group.at(-1)!.ids.length);
    const { outputs, updates } = targetProgram(config, { rows, capacity: rows, batch, taps });
    const { logits: _, ...wanted } = outputs;
    const run = await backend.compile(program(wanted, { updates }), { weights });
    const { tensors } = newBatchCache(backend, config, {
      capacity: rows,
      layers: config.layers,
      batch,
    });
    const lead = [batch, rows], ids = new Int32Array(batch * rows);
    group.forEach((t, b) => ids.set(t.ids, b * rows));
    const positions = Int32Array.from(ids, (_, i) => i % rows);
    const given = {
      ids: backend.tensor(ids, lead),
      positions: backend.tensor(positions, lead),
      length: zeros(backend, [batch], { dtype: "i32" }),
      bias: zeros(backend, [1, 1, rows, rows]),
      ...tensors,
    };
    runs.push(() => run.run(given));
  }
  return {
    name: `target, ${batch} texts side by side`,
    async run() {
      for (const run of runs) await run();
    },
  };
}

/** Stores examples and opens them again. */
async function stored(
  examples: readonly TrainingExample[],
  { folder, storage, of }: {
    folder: string;
    storage: "f16" | "i8";
    of: Pick<StoredExamples["of"], "target" | "width" | "taps">;
  },
): Promise<StoredExamples> {
  const writer = await openShardWriter(folder, { of: { ...of, storage } });
  for (const e of examples) await writer.append(e);
  await writer.flush();
  return await openExamples(folder);
}

/**
 * Times sources of features on the first `count` texts of the folder `data`, or on made-up ones; with the
 * inputs of `taps` layers. What is stored goes to a temporary folder.
 */
export async function featureSources(
  target: Target,
  { backend, data, count = 16, rounds = 3, taps = eagleTaps(target.config.layers) }: {
    backend: Backend;
    data?: string;
    count?: number;
    rounds?: number;
    taps?: readonly number[];
  },
): Promise<FeatureRow[]> {
  const { vocabulary, width } = target.config;
  const texts = textsOf(data === undefined ? undefined : await openExamples(data), {
    count,
    vocabulary,
  });
  const all = texts.map((_, i) => i), tokens = texts.reduce((n, t) => n + t.ids.length, 0);
  const folder = await mkdtemp(join(tmpdir(), "features-"));
  using online = onlineExamples(texts, { target, backend, taps });
  using decoder = new TargetDecoder(target, { backend, taps });
  using cache = decoder.newCache();
  try {
    const exact = await online.readMany!(all), of = online.of;
    const halves = await stored(exact, { folder: join(folder, "f16"), storage: "f16", of });
    const bytes = await stored(exact, { folder: join(folder, "i8"), storage: "i8", of });
    const fromDisk = [["disk, 16 bits", halves], ["disk, 8 bits", bytes]] as const;
    const candidates: Candidate[] = [
      ...fromDisk.map(([name, from]) => ({
        name,
        run: async () => {
          for (const i of all) await from.read(i);
        },
      })),
      { name: "target, whole texts", run: () => online.readMany!(all) },
      {
        name: "target, chunks of 64 rows",
        run: async () => {
          for (const { ids } of texts) {
            cache.length = 0;
            await decoder.prefill(ids, cache);
          }
        },
      },
      await sideBySide(target, { backend, texts, batch: 4, taps }),
    ];
    const timings = await timeInTurn(candidates, { rounds });
    return await Promise.all(timings.map(async (timing, i): Promise<FeatureRow> => {
      const from = fromDisk[i]?.[1],
        found = from && await Promise.all(all.map((n) => from.read(n)));
      const error = (key: "features" | "tapped") =>
        (found ?? []).reduce(
          (sum, e, n) => sum + rowError(e[key], { wanted: exact[n][key], width }) / all.length,
          0,
        );
      return {
        ...timing,
        tokensPerSecond: tokens / (timing.median / 1000),
        bytesPerToken: from === undefined ? 0 : 5 + bytesPerToken(from.of),
        featureError: error("features"),
        tappedError: error("tapped"),
      };
    }));
  } finally {
    await rm(folder, { recursive: true });
  }
}
