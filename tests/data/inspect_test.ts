/** Tests lib/data/inspect.ts: counts of a folder made by hand. */
import { deepEqual, rejects } from "node:assert/strict";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { openShardWriter, type ShardsOf } from "../../lib/data/features.ts";
import { inspectShards } from "../../lib/data/inspect.ts";

Deno.test("examples, tokens, trained rows and lengths are counted over all shards", async () => {
  const folder = await Deno.makeTempDir(), settings = { seed: 1 };
  const of: ShardsOf = { target: "abc", width: 2, taps: [], storage: "f16" };
  try {
    await rejects(inspectShards(folder), /Cannot inspect .*: it holds no \.arrow shards/);
    const writer = await openShardWriter(folder, { of, settings, shardExamples: 2 });
    const trained = [3, 0, 1, 9, 2], lengths = [7, 4, 8, 35, 15];
    for (const [i, length] of lengths.entries()) {
      await writer.append({
        id: `e${i % 4}`,
        ids: new Int32Array(length),
        mask: new Uint8Array(length).fill(1, 1, 1 + trained[i]),
        features: new Float32Array(length * 2),
        tapped: new Float32Array(0),
      });
    }
    await writer.flush();
    const bytes = readdirSync(folder).reduce((n, f) => n + statSync(join(folder, f)).size, 0);
    deepEqual(await inspectShards(folder, { lengthStep: 8 }), {
      of,
      settings,
      shards: 3,
      bytes,
      examples: 5,
      tokens: 69,
      trainedRows: 15,
      untrained: 1,
      repeated: 1,
      lengths: [
        { from: 0, to: 8, examples: 2 },
        { from: 8, to: 16, examples: 2 },
        { from: 16, to: 24, examples: 0 },
        { from: 24, to: 32, examples: 0 },
        { from: 32, to: 40, examples: 1 },
      ],
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
