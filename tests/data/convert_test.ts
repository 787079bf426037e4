/** Tests lib/data/convert.ts: values, order and settings; interruption; what is refused. */
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type ConvertedEvent, convertShards } from "../../lib/data/convert.ts";
import {
  listShards,
  openExamples,
  openShardWriter,
  type ShardsOf,
} from "../../lib/data/features.ts";
import { pack, type Storage, unpack } from "../../lib/data/storage.ts";
import { random } from "../../lib/random.ts";

const of: ShardsOf = { target: "abc", width: 4, taps: [0, 3], storage: "f16" };
const settings = { seed: 1, temperature: 0.7 };

/** Runs `use` on a folder with `in`, which holds seven examples in shards of three. */
async function withShards(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const writer = await openShardWriter(join(folder, "in"), { of, settings, shardExamples: 3 });
    for (let n = 0; n < 7; n++) {
      const from = random(n, "example"), length = 2 + from.integer(6);
      const values = (size: number) => Float32Array.from({ length: size }, () => from.normal());
      await writer.append({
        id: `e${n}`,
        ids: Int32Array.from({ length }, () => from.integer(99)),
        mask: Uint8Array.from({ length }, () => from.integer(2)),
        features: values(length * 4),
        tapped: values(length * 8),
      });
    }
    await writer.flush();
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function convert(folder: string, to: Storage, signal?: AbortSignal) {
  const events: ConvertedEvent[] = [], out = join(folder, to);
  const run = convertShards(join(folder, "in"), { out, storage: to, signal });
  for await (const event of run) events.push(event);
  return events;
}

Deno.test("every example is stored anew at its place, from f16 to each storage", async () => {
  await withShards(async (folder) => {
    const old = await openExamples(join(folder, "in"));
    for (const storage of ["i8", "f16"] as const) {
      rmSync(join(folder, storage), { recursive: true, force: true });
      const events = await convert(folder, storage);
      deepEqual(events.map((e) => [e.done, e.total, e.examples]), [[1, 3, 3], [2, 3, 3], [
        3,
        3,
        1,
      ]]);
      for (const { path, bytes } of events) equal(bytes, statSync(path).size);
      const examples = await openExamples(join(folder, storage));
      deepEqual(examples.of, { ...of, storage });
      deepEqual(examples.lengths, old.lengths);
      for (let i = 0; i < 7; i++) {
        const wanted = await old.read(i);
        const rounded = unpack(pack(wanted, { storage, width: 4 }));
        deepEqual(await examples.read(i), { ...wanted, ...rounded });
      }
      for (const shard of await listShards(join(folder, storage))) {
        deepEqual(shard.settings, settings);
      }
    }
    await convert(folder, "none");
    const texts = await openExamples(join(folder, "none"));
    for (let i = 0; i < 7; i++) deepEqual(texts.readText(i), old.readText(i));
  });
});

Deno.test("an interrupted run goes on; what is done is not written again", async () => {
  await withShards(async (folder) => {
    const abort = new AbortController(), out = join(folder, "i8");
    for await (
      const event of convertShards(join(folder, "in"), {
        out,
        storage: "i8",
        signal: abort.signal,
      })
    ) {
      if (event.done === 2) abort.abort();
    }
    deepEqual(readdirSync(out), ["shard-00000.arrow", "shard-00001.arrow"]);
    const before = statSync(join(out, "shard-00000.arrow"));
    equal((await convert(folder, "i8")).length, 3);
    equal(statSync(join(out, "shard-00000.arrow")).ino, before.ino);
    equal((await openExamples(out)).count, 7);
    // A deleted one is made again, byte for byte.
    const path = join(out, "shard-00001.arrow"), bytes = readFileSync(path);
    rmSync(path);
    await convert(folder, "i8");
    ok(readFileSync(path).equals(bytes));
  });
});

Deno.test("itself, nothing, texts without features and foreign folders are refused", async () => {
  await withShards(async (folder) => {
    const from = join(folder, "in"),
      next = (source: string, out: string, storage: Storage) =>
        convertShards(join(folder, source), { out: join(folder, out), storage }).next();
    await rejects(convertShards(from, { out: `${from}/`, storage: "i8" }).next(), /into itself/);
    await rejects(next("no", "out", "i8"), /Cannot convert .*no: it holds no \.arrow shards/);
    await convert(folder, "none");
    await rejects(next("none", "out", "f16"), /to f16: it holds ids and masks only/);
    await convert(folder, "i8");
    await rejects(next("in", "i8", "f16"), /of storage i8, wanted f16$/);
    rmSync(join(from, "shard-00002.arrow"));
    await rejects(next("in", "i8", "i8"), /shard-00002\.arrow holds other examples/);
  });
});
