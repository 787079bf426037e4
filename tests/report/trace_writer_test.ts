/** Writing traces: events pass unchanged, lines are whole, and a file goes on after a cut line. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { GenerationEvent } from "../../lib/report/events.ts";
import { readTrace } from "../../lib/report/trace.ts";
import { openTrace, type TraceWriter } from "../../lib/report/trace_writer.ts";
import { madeUpGeneration, subject } from "./traces.ts";

async function inFile(use: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(join(folder, "sub", "trace.jsonl"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const all = (events: AsyncIterable<GenerationEvent>) => Array.fromAsync(events);
const write = (writer: TraceWriter, seed: number) =>
  all(writer.record(madeUpGeneration({ seed }), subject(`p${seed}`)));

Deno.test("events pass unchanged and a row of each is in the file before it is passed on", async () => {
  await inFile(async (path) => {
    using writer = openTrace(path);
    const seen: GenerationEvent[] = [];
    for await (const event of writer.record(madeUpGeneration({ seed: 1 }), subject("p"))) {
      seen.push(event);
      assert.equal(Deno.readTextFileSync(path).split("\n").length, seen.length + 1);
    }
    assert.deepEqual(seen, await all(madeUpGeneration({ seed: 1 })));
  });
});

Deno.test("generations at once, one after the other, and one that is given up", async () => {
  await inFile(async (path) => {
    {
      using writer = openTrace(path);
      await Promise.all([write(writer, 1), write(writer, 2)]);
      for await (const event of writer.record(madeUpGeneration({ seed: 3 }), subject("p3"))) {
        if (event.type === "round") break;
      }
      await write(writer, 4);
    }
    const { generations } = await readTrace(path);
    assert.deepEqual(generations.map((g) => g.start.id), ["p1", "p2", "p3", "p4"]);
    assert.deepEqual(generations.map((g) => g.end !== undefined), [true, true, false, true]);
    assert.equal(generations[2].rounds.length, 1);
  });
});

Deno.test("a new trace takes the place of the old; an appended one goes on after its last whole row", async () => {
  await inFile(async (path) => {
    for (const append of [false, false, true]) {
      using writer = openTrace(path, { append });
      await write(writer, 1);
    }
    assert.equal((await readTrace(path)).generations.length, 2);
    const text = Deno.readTextFileSync(path);
    // As after a kill: within a row, and after a row but before its line break.
    for (const [length, generations] of [[text.length - 9, 3], [text.length - 1, 3]]) {
      Deno.writeTextFileSync(path, text.slice(0, length));
      {
        using writer = openTrace(path, { append: true });
        await write(writer, 2);
      }
      const trace = await readTrace(path);
      assert.equal(trace.cutLine, undefined);
      assert.equal(trace.generations.length, generations);
      assert.equal(trace.generations[2].start.id, "p2");
    }
  });
});

Deno.test("a file of something else is not gone on with, and stays as it was", async () => {
  await inFile((path) => {
    openTrace(path)[Symbol.dispose]();
    Deno.writeTextFileSync(path, "a diary\n");
    assert.throws(
      () => openTrace(path, { append: true }),
      /line 1: found "a diary", wanted a JSON/,
    );
    assert.equal(Deno.readTextFileSync(path), "a diary\n");
    assert.throws(() => openTrace(join(path, "x")), /Cannot write .*trace\.jsonl/);
    return Promise.resolve();
  });
});
