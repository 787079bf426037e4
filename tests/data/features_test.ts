/** Tests lib/data/features.ts: round trip, resume, damage, foreign targets. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Example, openExamples, openShardWriter } from "../../lib/data/features.ts";
import { random } from "../../lib/random.ts";

const of = { target: "abc", width: 6 };

function example(n: number): Example {
  const from = random(n, "example"), length = 1 + from.integer(9);
  return {
    id: `e${n}`,
    ids: Int32Array.from({ length }, () => from.integer(4096)),
    mask: Uint8Array.from({ length }, () => from.integer(2)),
    features: Uint16Array.from({ length: length * of.width }, () => from.integer(65536)),
  };
}

async function filled(count: number, shardExamples = 3): Promise<string> {
  const folder = await Deno.makeTempDir();
  const writer = await openShardWriter(folder, { of, shardExamples });
  for (let n = 0; n < count; n++) await writer.append(example(n));
  await writer.flush();
  return folder;
}

const plain = (e: Example) => [e.id, [...e.ids], [...e.mask], [...e.features]];

Deno.test("examples come back bit for bit, in any order, also with a tiny cache", async () => {
  const folder = await filled(10);
  for (const cacheBytes of [1, 1e9]) {
    const examples = await openExamples(folder, { cacheBytes });
    equal(examples.count, 10);
    deepEqual(examples.of, of);
    for (const n of [9, 0, 4, 5, 1, 9]) {
      deepEqual(plain(await examples.read(n)), plain(example(n)));
      equal(examples.lengths[n], example(n).ids.length);
    }
  }
});

Deno.test("a second run knows what is done and appends", async () => {
  const folder = await filled(4);
  const writer = await openShardWriter(folder, { of, shardExamples: 3 });
  deepEqual([...writer.done].sort(), ["e0", "e1", "e2", "e3"]);
  await writer.append(example(4));
  await writer.flush();
  const examples = await openExamples(folder);
  deepEqual(plain(await examples.read(4)), plain(example(4)));
  deepEqual(readdirSync(folder), [0, 1, 2].map((i) => `shard-0000${i}.arrow`));
});

Deno.test("without a flush only complete shards count; a leftover of a dead run is ignored", async () => {
  const folder = await Deno.makeTempDir();
  const writer = await openShardWriter(folder, { of, shardExamples: 3 });
  for (let n = 0; n < 5; n++) await writer.append(example(n));
  writeFileSync(join(folder, "shard-00001.arrow.partial"), "half");
  deepEqual([...(await openShardWriter(folder, { of })).done], ["e0", "e1", "e2"]);
});

Deno.test("damage and foreign targets are named", async () => {
  const folder = await filled(3), path = join(folder, "shard-00000.arrow");
  await rejects(
    openShardWriter(folder, { of: { ...of, target: "xyz" } }),
    /shard-00000.arrow: its features are of target abc with width 6, wanted target xyz/,
  );
  truncateSync(path, readFileSync(path).length >> 1);
  await rejects(openExamples(folder), /shard-00000.arrow: it is not a complete Arrow file/);
  await rejects(openExamples(await Deno.makeTempDir()), /it holds no .arrow shards/);
});
