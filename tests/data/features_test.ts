/** Tests lib/data/features.ts: round trip, resume, damage, foreign targets; and that the files are Arrow. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as arrow from "apache-arrow";
import {
  type Example,
  listShards,
  openExamples,
  openShardWriter,
} from "../../lib/data/features.ts";
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

async function fill(folder: string, examples: Example[], shardExamples = 3): Promise<void> {
  const writer = await openShardWriter(folder, { of, shardExamples });
  for (const e of examples) await writer.append(e);
  await writer.flush();
}

/** Runs `use` with a folder of `count` examples in shards of three; removes it. */
async function withShards(
  count: number,
  use: (folder: string) => void | Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await fill(folder, Array.from({ length: count }, (_, n) => example(n)));
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const plain = (e: Example) => [e.id, [...e.ids], [...e.mask], [...e.features]];
const shard = (folder: string, n: number) => join(folder, `shard-0000${n}.arrow`);

Deno.test("examples come back bit for bit, in any order and several at a time", async () => {
  await withShards(10, async (folder) => {
    const examples = await openExamples(folder), order = [9, 0, 4, 5, 1, 9];
    equal(examples.count, 10);
    deepEqual(examples.of, of);
    const read = await Promise.all(order.map((n) => examples.read(n)));
    read.forEach((e, i) => deepEqual(plain(e), plain(example(order[i]))));
    deepEqual(examples.lengths, Array.from({ length: 10 }, (_, n) => example(n).ids.length));
  });
});

Deno.test("every f16 bit pattern is kept, NaN payloads and subnormals included", async () => {
  await withShards(0, async (folder) => {
    const length = 65536 / 4, features = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const e = {
      id: "Äpfel 🍎",
      ids: new Int32Array(length),
      mask: new Uint8Array(length),
      features,
    };
    const writer = await openShardWriter(folder, { of: { target: "abc", width: 4 } });
    await writer.append(e);
    await writer.flush();
    const back = await (await openExamples(folder)).read(0);
    deepEqual([back.id, back.features], [e.id, features]);
  });
});

Deno.test("what is read may be changed", async () => {
  await withShards(1, async (folder) => {
    const examples = await openExamples(folder), first = await examples.read(0);
    for (const values of [first.ids, first.mask, first.features]) values.fill(7);
    deepEqual(plain(await examples.read(0)), plain(example(0)));
  });
});

Deno.test("a shard is a whole Arrow file to Arrow's own reader", async () => {
  await withShards(3, (folder) => {
    const table = arrow.tableFromIPC(readFileSync(shard(folder, 0)));
    deepEqual(table.schema.metadata, new Map([["target", "abc"], ["width", "6"]]));
    equal(table.numRows, 3);
    const row = table.get(1)!.toJSON(), wanted = example(1);
    deepEqual([row.id, [...row.ids], [...row.mask]], [
      wanted.id,
      [...wanted.ids],
      [...wanted.mask],
    ]);
    const half = new Float16Array(wanted.features.buffer);
    deepEqual(
      [...row.features].map((r) => [...r]),
      [...wanted.ids].map((_, t) => [...half.subarray(t * 6, (t + 1) * 6)]),
    );
  });
});

Deno.test("a second run knows what is done and appends", async () => {
  await withShards(4, async (folder) => {
    const writer = await openShardWriter(folder, { of, shardExamples: 3 });
    deepEqual([...writer.done].sort(), ["e0", "e1", "e2", "e3"]);
    await writer.append(example(4));
    await writer.flush();
    deepEqual(plain(await (await openExamples(folder)).read(4)), plain(example(4)));
    deepEqual(readdirSync(folder), [0, 1, 2].map((i) => `shard-0000${i}.arrow`));
  });
});

Deno.test("a shard that was deleted is made again, and no other is overwritten", async () => {
  await withShards(9, async (folder) => {
    rmSync(shard(folder, 1));
    const { done } = await openShardWriter(folder, { of });
    const missing = Array.from({ length: 9 }, (_, n) => example(n)).filter((e) => !done.has(e.id));
    deepEqual(missing.map((e) => e.id), ["e3", "e4", "e5"]);
    await fill(folder, missing);
    const names = (await listShards(folder)).flatMap((s) => s.names);
    deepEqual(names, [0, 1, 2, 6, 7, 8, 3, 4, 5].map((n) => `e${n}`));
  });
});

Deno.test("without a flush only complete shards count; a leftover of a dead run is ignored", async () => {
  await withShards(0, async (folder) => {
    const writer = await openShardWriter(folder, { of, shardExamples: 3 });
    for (let n = 0; n < 5; n++) await writer.append(example(n));
    writeFileSync(`${shard(folder, 1)}.partial`, "half");
    deepEqual([...(await openShardWriter(folder, { of })).done], ["e0", "e1", "e2"]);
    await fill(folder, [example(3)]);
    deepEqual(readdirSync(folder), [0, 1].map((i) => `shard-0000${i}.arrow`));
  });
});

Deno.test("a shard ends when its features reach the size", async () => {
  await withShards(0, async (folder) => {
    const writer = await openShardWriter(folder, { of, shardBytes: 1 });
    await writer.append(example(0));
    await writer.append(example(1));
    equal(readdirSync(folder).length, 2);
    await writer.flush();
    equal(readdirSync(folder).length, 2);
  });
});

Deno.test("an example whose sizes do not agree is refused", async () => {
  await withShards(0, async (folder) => {
    const writer = await openShardWriter(folder, { of }), good = example(3);
    const short = { ...good, mask: good.mask.subarray(1) };
    await rejects(writer.append(short), /Cannot store example e3: \d+ ids, \d+ mask entries/);
    const wide = { ...good, features: new Uint16Array(good.ids.length * 7) };
    await rejects(writer.append(wide), /wanted as many mask entries and 6 feature values an id/);
    await writer.flush();
    equal(existsSync(shard(folder, 0)), false);
  });
});

Deno.test("a shard cut anywhere, an empty one and other files are named", async () => {
  await withShards(3, async (folder) => {
    const path = shard(folder, 0), whole = readFileSync(path);
    const lengths = [0, 1, 8, 9, 17, 100, 500, whole.length >> 1, whole.length - 1];
    for (const length of [...lengths, whole.length - 9, whole.length - 200]) {
      writeFileSync(path, whole);
      truncateSync(path, length);
      await rejects(
        openExamples(folder),
        /shard-00000\.arrow: it is not a complete Arrow file of training examples/,
        `cut to ${length} bytes`,
      );
      await rejects(openShardWriter(folder, { of }), /shard-00000\.arrow: it is not a complete/);
    }
    const other = arrow.tableFromArrays({ id: ["a"], ids: Int32Array.of(1) });
    for (const bytes of [arrow.tableToIPC(other, "file"), new Uint8Array(500)]) {
      writeFileSync(path, bytes);
      await rejects(openExamples(folder), /it is not a complete Arrow file of training examples/);
    }
  });
});

Deno.test("a shard that is cut after it was opened is named", async () => {
  await withShards(3, async (folder) => {
    const examples = await openExamples(folder);
    truncateSync(shard(folder, 0), 600);
    await rejects(examples.read(2), /Cannot read .*shard-00000\.arrow: the file ends at byte/);
  });
});

Deno.test("foreign targets, in part or whole, and empty folders are named", async () => {
  await withShards(3, async (folder) => {
    await rejects(
      openShardWriter(folder, { of: { ...of, target: "xyz" } }),
      /shard-00000.arrow: its features are of target abc with width 6, wanted target xyz with/,
    );
    await rejects(openShardWriter(folder, { of: { ...of, width: 8 } }), /wanted target abc .* 8/);
    const elsewhere = await Deno.makeTempDir();
    await rejects(openExamples(elsewhere), /it holds no \.arrow shards/);
    await rejects(openExamples(join(elsewhere, "no")), /it holds no \.arrow shards/);
    const writer = await openShardWriter(elsewhere, { of: { ...of, target: "xyz" } });
    await writer.append(example(3));
    await writer.flush();
    writeFileSync(shard(folder, 1), readFileSync(shard(elsewhere, 0)));
    rmSync(elsewhere, { recursive: true });
    await rejects(openExamples(folder), /shard-00001.arrow: .* target xyz .* wanted target abc/);
  });
});
