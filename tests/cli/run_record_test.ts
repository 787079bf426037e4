/** The record of a training over several starts, and hashes of what is read. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  dataThing,
  openTrainingRecord,
  readDataCommand,
  suiteThing,
  writeDataCommand,
} from "../../lib/cli/run_record.ts";
import type { StoredExamples } from "../../lib/data/features.ts";
import { SOMEWHERE, TRAINING_RECORD } from "../report/stored_runs.ts";
import { madeUp } from "../train/tiny_run.ts";

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("nothing is written before the first update; costs add up over starts, moves are kept", async () => {
  await inFolder(async (folder) => {
    const { cost: _, drafts: __, ...record } = TRAINING_RECORD;
    const read = async () => JSON.parse(await Deno.readTextFile(join(folder, "run.json")));
    const first = await openTrainingRecord(folder, record);
    await assert.rejects(read(), Deno.errors.NotFound);
    await first.begin();
    assert.deepEqual(await read(), JSON.parse(JSON.stringify(record)));
    await first.finish(100);
    assert.equal((await read()).cost.tokens, 100);

    // The same place at another time is no move; another processor is one, and only once.
    const later = { ...SOMEWHERE, date: "2000-02-02 00:00" },
      moved = { ...later, cpu: "slide rule" };
    for (const environment of [later, moved, { ...moved, date: "2000-03-03 00:00" }]) {
      const again = await openTrainingRecord(folder, { ...record, environment });
      await again.begin();
      await again.finish(10);
    }
    const { cost, environment, resumed, drafts } = await read();
    assert.equal(cost.tokens, 130);
    assert.ok(cost.peakBytes > 1e7 && cost.seconds > 0);
    assert.deepEqual(environment, SOMEWHERE);
    assert.deepEqual(resumed, [moved]);
    assert.deepEqual(drafts, []);
  });
});

/** Examples in memory as if they stood in a folder. */
async function stored(lengths: number[], edit = (_: Uint8Array) => {}): Promise<StoredExamples> {
  const examples = madeUp(lengths);
  const texts = await Promise.all(lengths.map((_, i) => examples.read(i)));
  edit(texts[0].mask);
  return { ...examples, folder: "f", readText: (i) => texts[i] };
}

Deno.test("the hash of data is of ids and masks, in their order, and nothing else", async () => {
  const thing = dataThing(await stored([8, 12]));
  assert.deepEqual([thing.name, thing.count, thing.tokens], ["f", 2, 20]);
  assert.equal(dataThing(await stored([8, 12])).hash, thing.hash);
  const others = [
    await stored([12, 8]),
    await stored([8]),
    await stored([8, 12], (m) => m[5] ^= 1),
  ];
  const hashes = others.map((o) => dataThing(o).hash);
  assert.equal(new Set([thing.hash, ...hashes]).size, 4);
});

Deno.test("the hash of a suite is of its questions, whatever it is called", () => {
  const suite = (name: string, text: string) => ({
    name,
    questions: [{ id: "1", category: "c", text }],
  });
  const { hash, count, name } = suiteThing(suite("a", "Why?"), "a.jsonl");
  assert.deepEqual([count, name], [1, "a.jsonl"]);
  assert.equal(suiteThing(suite("b", "Why?"), "b.jsonl").hash, hash);
  assert.notEqual(suiteThing(suite("a", "How?"), "a.jsonl").hash, hash);
});

Deno.test("data of before there was a record have no command", async () => {
  await inFolder(async (folder) => {
    assert.equal(await readDataCommand(folder), undefined);
    const { command } = TRAINING_RECORD;
    await writeDataCommand(folder, command!);
    assert.deepEqual(await readDataCommand(folder), command);
  });
});
