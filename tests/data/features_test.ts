/** Tests lib/data/features.ts: round trips, resume, settings, damage, foreign targets; the files are Arrow. */
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
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
  listShards,
  openExamples,
  openShardWriter,
  type ShardsOf,
  type TrainingExample,
} from "../../lib/data/features.ts";
import { fromHalf } from "../../lib/io/float16.ts";
import { random } from "../../lib/random.ts";

const of: ShardsOf = { target: "abc", width: 6, taps: [], storage: "f16" };

/** Finite f16 values of all sizes. */
const halves = (from: ReturnType<typeof random>, length: number) =>
  fromHalf(Uint16Array.from({ length }, () => from.integer(0x7c00) | from.integer(2) << 15));

function example(n: number, { width, taps }: ShardsOf = of): TrainingExample {
  const from = random(n, "example"), length = 1 + from.integer(9);
  return {
    id: `e${n}`,
    ids: Int32Array.from({ length }, () => from.integer(4096)),
    mask: Uint8Array.from({ length }, () => from.integer(2)),
    features: halves(from, length * width),
    tapped: halves(from, length * width * taps.length),
  };
}

async function fill(folder: string, examples: TrainingExample[], shardExamples = 3): Promise<void> {
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

const plain = (e: TrainingExample) => [
  e.id,
  [...e.ids],
  [...e.mask],
  [...e.features],
  [...e.tapped],
];
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

Deno.test("every finite f16 value is kept, subnormals and negative zero included", async () => {
  await withShards(0, async (folder) => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((i) =>
      (i & 0x7c00) !== 0x7c00
    );
    const length = bits.length / 4, features = fromHalf(bits), tapped = new Float32Array(0);
    const e = {
      id: "Äpfel 🍎",
      ids: new Int32Array(length),
      mask: new Uint8Array(length),
      features,
      tapped,
    };
    const writer = await openShardWriter(folder, { of: { ...of, width: 4 } });
    await writer.append(e);
    await writer.flush();
    const back = await (await openExamples(folder)).read(0);
    deepEqual([back.id, back.features], [e.id, features]);
  });
});

Deno.test("tapped values come back beside the features, and belong to their layers", async () => {
  await withShards(0, async (folder) => {
    const tapped: ShardsOf = { ...of, taps: [2, 4, 5] };
    const writer = await openShardWriter(folder, { of: tapped, shardExamples: 3 });
    for (let n = 0; n < 7; n++) await writer.append(example(n, tapped));
    await writer.flush();
    const examples = await openExamples(folder);
    deepEqual(examples.of, tapped);
    for (let n = 6; n >= 0; n--) {
      deepEqual(plain(await examples.read(n)), plain(example(n, tapped)));
    }
    await rejects(openShardWriter(folder, { of }), /taps 2,4,5, wanted none$/);
    const swapped = { ...tapped, taps: [2, 5, 4] };
    await rejects(openShardWriter(folder, { of: swapped }), /taps 2,4,5, wanted 2,5,4$/);
  });
});

Deno.test("8-bit rows come back as whole multiples of their row's scale, near what they were", async () => {
  await withShards(0, async (folder) => {
    const bytes: ShardsOf = { ...of, taps: [1], storage: "i8" };
    const writer = await openShardWriter(folder, { of: bytes, shardExamples: 2 });
    for (let n = 0; n < 5; n++) await writer.append(example(n, bytes));
    await writer.flush();
    const examples = await openExamples(folder);
    for (let n = 0; n < 5; n++) {
      const back = await examples.read(n), wanted = example(n, bytes);
      deepEqual([back.id, back.ids, back.mask], [wanted.id, wanted.ids, wanted.mask]);
      for (const key of ["features", "tapped"] as const) {
        for (let at = 0; at < wanted[key].length; at += 6) {
          const row = wanted[key].subarray(at, at + 6), largest = Math.max(...row.map(Math.abs));
          row.forEach((x, i) => {
            const off = Math.abs(back[key][at + i] - x);
            ok(off <= largest / 127 * 0.5001, `example ${n}, ${key} ${at + i}: ${off} off`);
          });
        }
      }
    }
    await rejects(
      openShardWriter(folder, { of: { ...bytes, storage: "f16" } }),
      /of storage i8, wanted f16$/,
    );
  });
});

Deno.test("without storage ids and masks are there, and features say why they are not", async () => {
  await withShards(0, async (folder) => {
    const texts: ShardsOf = { ...of, storage: "none" }, nothing = new Float32Array(0);
    const writer = await openShardWriter(folder, { of: texts });
    await writer.append({ ...example(0), features: nothing });
    await writer.append(example(1));
    await writer.flush();
    const examples = await openExamples(folder);
    deepEqual(examples.of, texts);
    for (const n of [0, 1]) {
      const { id, ids, mask } = example(n);
      deepEqual(examples.readText(n), { id, ids, mask });
    }
    await rejects(examples.read(0), /holds ids and masks only .*--features online/);
    ok(readFileSync(shard(folder, 0)).length < 3000);
  });
});

/** A shard as version 0.1.0 wrote it: two examples of width 2, f16, without taps, storage and settings. */
function oldShard(): Uint8Array {
  const list = (child: arrow.Data) =>
    arrow.makeVector(arrow.makeData({
      type: new arrow.List(new arrow.Field("item", child.type, false)),
      length: 2,
      valueOffsets: Int32Array.of(0, 1, 3),
      child,
    }));
  const half = arrow.makeData({
    type: new arrow.Float16(),
    data: Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0xc600),
  });
  const type = new arrow.FixedSizeList(2, new arrow.Field("value", half.type, false));
  const table = new arrow.Table({
    id: arrow.vectorFromArray(["a", "b"], new arrow.Utf8()),
    ids: list(arrow.makeData({ type: new arrow.Int32(), data: Int32Array.of(7, 8, 9) })),
    mask: list(arrow.makeData({ type: new arrow.Uint8(), data: Uint8Array.of(0, 1, 0) })),
    features: list(arrow.makeData({ type, length: 3, child: half })),
  } as never);
  const metadata = new Map([["target", "abc"], ["width", "2"]]);
  const schema = new arrow.Schema(table.schema.fields, metadata);
  return arrow.tableToIPC(new arrow.Table(schema, table.batches), "file");
}

Deno.test("shards of older versions are read, and added to only without settings to keep", async () => {
  await withShards(0, async (folder) => {
    writeFileSync(shard(folder, 0), oldShard());
    const examples = await openExamples(folder), old = { ...of, width: 2 };
    deepEqual(examples.of, old);
    deepEqual(plain(await examples.read(1)), ["b", [8, 9], [1, 0], [3, 4, 5, -6], []]);
    const writer = await openShardWriter(folder, { of: old, settings: { seed: 0 } });
    deepEqual([...writer.done], ["a", "b"]);
    const wanted = /shard-00000\.arrow does not say what settings its answers were made with/;
    throws(() => writer.checkSettings(), wanted);
    await rejects(writer.append(example(0, old)), wanted);
    await (await openShardWriter(folder, { of: old })).append(example(0, old));
  });
});

Deno.test("other settings are refused, named with found and wanted; the same go on", async () => {
  await withShards(0, async (folder) => {
    const settings = { seed: 3, temperature: 0.7, prompts: "made" };
    const open = (changes: Record<string, string | number>) =>
      openShardWriter(folder, { of, settings: { ...settings, ...changes } });
    const writer = await open({});
    await writer.append(example(0));
    await writer.flush();
    deepEqual((await listShards(folder))[0].settings, settings);
    await rejects(
      open({ temperature: 1, seed: 4 }),
      /Cannot add examples to .*: .* made with seed 3, wanted 4; temperature 0\.7, wanted 1$/,
    );
    await rejects(open({ "top-p": 1 }), /made with top-p undefined, wanted 1$/);
    const again = await open({});
    await again.append(example(1));
    await again.flush();
    equal((await openExamples(folder)).count, 2);
  });
});

Deno.test("a limit gives the first examples, opens no more shards, and may not exceed them", async () => {
  await withShards(10, async (folder) => {
    writeFileSync(shard(folder, 3), "damaged"); // holds the tenth example
    await rejects(openExamples(folder), /shard-00003/);
    for (const limit of [1, 3, 4, 9]) {
      const examples = await openExamples(folder, { limit });
      deepEqual([examples.count, examples.lengths.length], [limit, limit]);
      deepEqual(plain(await examples.read(limit - 1)), plain(example(limit - 1)));
    }
    rmSync(shard(folder, 3));
    await rejects(openExamples(folder, { limit: 10 }), /the first 10 .* it holds 9/);
    await rejects(openExamples(folder, { limit: 0 }), /the first 0 .* it holds/);
  });
});

Deno.test("values that a storage cannot hold are refused", async () => {
  await withShards(0, async (folder) => {
    const bad = (value: number) => {
      const e = example(3);
      e.features[4] = value;
      return e;
    };
    const writer = await openShardWriter(folder, { of });
    await rejects(writer.append(bad(NaN)), /example e3 as f16: feature value 4 is NaN/);
    await rejects(writer.append(bad(70000)), /feature value 4 is 70000, wanted at most 65504/);
    const bytes = await openShardWriter(folder, { of: { ...of, storage: "i8" } });
    await rejects(bytes.append(bad(-Infinity)), /as i8: feature value 4 is -Infinity/);
    await bytes.append(bad(70000));
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
    deepEqual(
      table.schema.metadata,
      new Map([["target", "abc"], ["width", "6"], ["taps", ""], ["storage", "f16"]]),
    );
    equal(table.numRows, 3);
    const row = table.get(1)!.toJSON(), wanted = example(1);
    deepEqual([row.id, [...row.ids], [...row.mask]], [
      wanted.id,
      [...wanted.ids],
      [...wanted.mask],
    ]);
    deepEqual(
      [...row.features].map((r) => [...r]),
      [...wanted.ids].map((_, t) => [...wanted.features.subarray(t * 6, (t + 1) * 6)]),
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
    const wide = { ...good, features: new Float32Array(good.ids.length * 7) };
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
      /shard-00000.arrow: its features are of target abc, wanted xyz$/,
    );
    await rejects(openShardWriter(folder, { of: { ...of, width: 8 } }), /of width 6, wanted 8$/);
    const elsewhere = await Deno.makeTempDir();
    await rejects(openExamples(elsewhere), /it holds no \.arrow shards/);
    await rejects(openExamples(join(elsewhere, "no")), /it holds no \.arrow shards/);
    const writer = await openShardWriter(elsewhere, { of: { ...of, target: "xyz" } });
    await writer.append(example(3));
    await writer.flush();
    writeFileSync(shard(folder, 1), readFileSync(shard(elsewhere, 0)));
    rmSync(elsewhere, { recursive: true });
    await rejects(openExamples(folder), /shard-00001.arrow: .* target xyz, wanted abc/);
  });
});
