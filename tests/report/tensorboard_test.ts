/**
 * Event files: a record against bytes that TensorBoard's own writer made, whole files through a small reader
 * here, and, where `GRIFFIN_PYTHON` names a Python that has it, through TensorBoard itself.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { frameRecord, maskedCrc32c } from "../../lib/io/tfrecord.ts";
import type { TrainingEvent } from "../../lib/report/events.ts";
import { scalarsOf } from "../../lib/report/scalars.ts";
import { encodeScalars, openTensorBoard } from "../../lib/report/tensorboard.ts";
import { sampleSteps, sampleValidation } from "./samples.ts";

type Fields = Map<number, (number | Uint8Array)[]>;

/** Fields of a message: numbers for varints and fixed widths, bytes for the rest. */
function fieldsOf(bytes: Uint8Array): Fields {
  const fields: Fields = new Map(), view = new DataView(bytes.buffer, bytes.byteOffset);
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1;; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const content = (wire: number): number | Uint8Array => {
    if (wire === 0) return varint();
    const length = wire === 1 ? 8 : wire === 5 ? 4 : varint(), start = at;
    at += length;
    assert.ok(at <= bytes.length, "a field longer than its message");
    if (wire === 1) return view.getFloat64(start, true);
    return wire === 5 ? view.getFloat32(start, true) : bytes.subarray(start, at);
  };
  while (at < bytes.length) {
    const key = varint(), values = fields.get(key >> 3) ?? [];
    fields.set(key >> 3, [...values, content(key & 7)]);
  }
  return fields;
}

const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);

/** What a file holds: its version, starts of sessions, and scalars, in order; checks every CRC. */
async function readEvents(path: string) {
  const bytes = await Deno.readFile(path), view = new DataView(bytes.buffer);
  const starts: number[] = [], times: number[] = [];
  const scalars: { step: number; tag: string; value: number }[] = [];
  let version = "";
  for (let at = 0; at < bytes.length;) {
    const length = Number(view.getBigUint64(at, true)),
      data = bytes.subarray(at + 12).subarray(0, length);
    assert.equal(view.getUint32(at + 8, true), maskedCrc32c(bytes.subarray(at, at + 8)));
    assert.equal(view.getUint32(at + 12 + length, true), maskedCrc32c(data));
    at += 16 + length;
    const event = fieldsOf(data), [step = 0] = (event.get(2) ?? []) as number[];
    times.push(event.get(1)![0] as number);
    if (event.has(3)) version = text(event.get(3)![0]);
    if (event.has(7)) {
      assert.deepEqual(fieldsOf(event.get(7)![0] as Uint8Array).get(1), [1]);
      starts.push(step);
    }
    for (const summary of event.get(5) ?? []) {
      for (const value of fieldsOf(summary as Uint8Array).get(1) ?? []) {
        const scalar = fieldsOf(value as Uint8Array);
        scalars.push({ step, tag: text(scalar.get(1)![0]), value: scalar.get(2)![0] as number });
      }
    }
  }
  return { version, starts, times, scalars };
}

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const filesOf = (folder: string) => [...Deno.readDirSync(folder)].map((f) => f.name).sort();

/** What the events of a stage should become. */
function expected(events: readonly TrainingEvent[], { stage = 1, offset = 0 }) {
  return events.flatMap((event) =>
    scalarsOf(event, { stage }).map(({ tag, value }) => ({
      step: event.step + offset,
      tag,
      value: Math.fround(value),
    }))
  );
}

Deno.test("a record of two scalars is, byte for byte, TensorBoard's own", () => {
  const scalars = [{ tag: "loss", value: 0.5 }, { tag: "pass1/top1", value: 0.25 }];
  const framed = frameRecord(encodeScalars(scalars, { step: 300, seconds: 1.5 }));
  const golden = "2e00000000000000c5cb57fa09000000000000f83f10ac022a200a0b0a046c6f7373150000003f" +
    "0a110a0a70617373312f746f7031150000803e0112314b";
  assert.equal([...framed].map((b) => b.toString(16).padStart(2, "0")).join(""), golden);
});

Deno.test("events of two stages: all read back, the count of updates goes on", async () => {
  await inFolder(async (folder) => {
    const first = [...sampleSteps(3), sampleValidation(3)];
    const second: TrainingEvent[] = [...sampleSteps(2), { type: "checkpoint", step: 2, path: "p" }];
    {
      await using writer = await openTensorBoard(folder, { now: () => 7000_500 });
      // Not awaited: writes must keep their order all the same.
      const writes = [
        ...first.map((event) => writer.write(event, { stage: 1 })),
        ...second.map((event) => writer.write(event, { stage: 2, offset: 3 })),
      ];
      await Promise.all(writes);
    }
    const [name, ...others] = filesOf(folder);
    assert.equal(name, "events.out.tfevents.0000007000.griffin");
    assert.deepEqual(others, []);
    const { version, starts, times, scalars } = await readEvents(join(folder, name));
    assert.equal(version, "brain.Event:2");
    assert.deepEqual(starts, [1]);
    assert.ok(times.every((t) => t === 7000.5));
    assert.deepEqual(scalars, [
      ...expected(first, { stage: 1 }),
      ...expected(second, { stage: 2, offset: 3 }),
    ]);
  });
});

Deno.test("a resumed run begins a later file that says from where it repeats", async () => {
  await inFolder(async (folder) => {
    const clock = { now: () => 7000_000 };
    for (const from of [1, 3, 4]) {
      await using writer = await openTensorBoard(folder, clock);
      for (const event of sampleSteps(5).slice(from - 1)) await writer.write(event);
    }
    const names = filesOf(folder);
    assert.deepEqual(names, [0, 1, 2].map((i) => `events.out.tfevents.000000700${i}.griffin`));
    const files = await Promise.all(names.map((n) => readEvents(join(folder, n))));
    assert.deepEqual(files.map((f) => f.starts), [[1], [3], [4]]);
  });
});

Deno.test("after each write the file is whole, without closing it", async () => {
  await inFolder(async (folder) => {
    await using writer = await openTensorBoard(folder);
    const path = join(folder, writer.name);
    for (const [i, event] of sampleSteps(3).entries()) {
      await writer.write(event);
      const { scalars } = await readEvents(path);
      assert.deepEqual(new Set(scalars.map((s) => s.step)).size, i + 1);
    }
  });
});

Deno.test("a folder that cannot be made is refused", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "file"), "");
    await assert.rejects(openTensorBoard(join(folder, "file/board")), /file/);
  });
});

/** Reads a folder as TensorBoard does; prints [tag, step, value] rows. */
const READER = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
board = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}).Reload()
print(json.dumps([[tag, e.step, e.value] for tag in board.Tags()["scalars"] for e in board.Scalars(tag)]))
`;

const python = Deno.env.get("GRIFFIN_PYTHON");
const has = python !== undefined &&
  await new Deno.Command(python, { args: ["-c", "import tensorboard"], stderr: "null" }).output()
    .then(({ success }) => success, () => false);

Deno.test({
  name: `TensorBoard reads the same, a torn record and a repeated part included${
    has ? "" : ": not run (GRIFFIN_PYTHON names no Python with tensorboard)"
  }`,
  ignore: !has,
  async fn() {
    await inFolder(async (folder) => {
      const events = [...sampleSteps(6), sampleValidation(6)];
      {
        await using writer = await openTensorBoard(folder);
        for (const event of events.slice(0, 5)) {
          await writer.write(
            event.type === "step" ? { ...event, loss: 99 } : event,
            { stage: 1, offset: 10 },
          );
        }
        const torn = frameRecord(
          encodeScalars([{ tag: "loss", value: 1 }], { step: 16, seconds: 1 }),
        );
        await Deno.writeFile(join(folder, writer.name), torn.subarray(0, 20), { append: true });
      }
      {
        await using writer = await openTensorBoard(folder);
        for (const event of events.slice(2)) await writer.write(event, { stage: 1, offset: 10 });
      }
      const { stdout } = await new Deno.Command(python!, {
        args: ["-c", READER, folder],
        stderr: "null",
      })
        .output();
      const found = JSON.parse(text(stdout)) as [string, number, number][];
      const wanted = expected(events, { stage: 1, offset: 10 }).map(({ tag, step, value }) => [
        tag,
        step,
        tag === "loss" && step < 13 ? 99 : value,
      ]);
      const order = (rows: unknown[]) => rows.map((r) => JSON.stringify(r)).sort();
      assert.deepEqual(order(found), order(wanted));
    });
  },
});
