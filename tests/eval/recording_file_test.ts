/** Tests lib/eval/recording_file.ts: what is written is read again, and what is not a recording is refused. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Recording } from "../../lib/eval/recording.ts";
import { readRecording, recordingSubject, writeRecording } from "../../lib/eval/recording_file.ts";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors.ts";
import { tinyDraft } from "../model/tiny.ts";

const tree = (expanded: number[], from: number) => ({
  expanded: Int32Array.from(expanded),
  tokens: Int32Array.from({ length: 2 * expanded.length }, (_, i) => from + i),
  logProbabilities: Float32Array.from({ length: 2 * expanded.length }, (_, i) => -(from + i) / 3),
});

const RECORDING: Recording = {
  branching: 2,
  depth: 3,
  prompts: [
    {
      id: "a",
      promptTokens: 5,
      text: Int32Array.of(1, 2, 3, 4, 5, 6),
      emitted: 3,
      trees: [tree([-1, 0, 2], 10), tree([-1], 20)],
    },
    { id: "b", promptTokens: 6, text: Int32Array.of(7, 8, 9, 10), emitted: 1, trees: [] },
    {
      id: "c",
      promptTokens: 7,
      text: Int32Array.of(1, 2, 3, 4, 5),
      emitted: 2,
      trees: [tree([-1, 1], 30)],
    },
  ],
};
RECORDING.prompts[0].trees[0].logProbabilities[5] = -Infinity;

async function inFolder(use: (path: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await use(join(folder, "one.safetensors"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a recording comes back as it was", async () => {
  await inFolder(async (path) => {
    await writeRecording(path, RECORDING, { subject: "some draft" });
    assert.deepEqual(readRecording(path, { subject: "some draft" }), RECORDING);
  });
});

Deno.test("a recording of something else is not used", async () => {
  await inFolder(async (path) => {
    await writeRecording(path, RECORDING, { subject: "some draft" });
    assert.throws(
      () => readRecording(path, { subject: "another" }),
      /Cannot use .*one\.safetensors: it records some draft, wanted another/,
    );
  });
});

Deno.test("files of other kinds, and with parts missing, are refused", async () => {
  await inFolder(async (path) => {
    await writeSafetensors(path, { x: { shape: [1], data: new Float32Array(1) } });
    assert.throws(() => readRecording(path, { subject: "" }), /its format is pt, wanted griffin-/);
    await writeRecording(path, RECORDING, { subject: "s" });
    using file = openSafetensors(path);
    const { metadata } = file, all = ["texts", "rows", "expanded", "tokens"] as const;
    const ints = Object.fromEntries(all.map((name) => {
      const data = file.readInt(name).slice(0, name === "texts" ? -1 : undefined);
      return [name, { shape: [data.length], data }];
    }));
    const data = file.readFloat32("log_probabilities");
    const floats = { log_probabilities: { shape: [data.length], data } };
    await writeSafetensors(path, { ...ints, ...floats }, { metadata });
    assert.throws(
      () => readRecording(path, { subject: "s" }),
      /it holds 14,3,6,12,12 values, its prompts tell of 15,3,6,12,12/,
    );
  });
});

Deno.test("a subject changes with each of its parts", () => {
  const draft = tinyDraft(), target = { identity: "t" }, settings = { maxTokens: 3 };
  const prompts = [{ ids: Int32Array.of(1, 2) }, { ids: Int32Array.of(3) }];
  const one = { target, draft, prompts, settings };
  const trained = tinyDraft();
  Object.values(trained.parameters)[0][0] += 1;
  const others = [
    { ...one, target: { identity: "u" } },
    { ...one, target: { identity: "t", bits: 8 } },
    { ...one, draft: trained },
    { ...one, prompts: [{ ids: Int32Array.of(1) }, { ids: Int32Array.of(2, 3) }] },
    { ...one, settings: { maxTokens: 4 } },
  ];
  assert.equal(recordingSubject(one), recordingSubject({ ...one, draft: tinyDraft() }));
  assert.equal(new Set([one, ...others].map(recordingSubject)).size, 6);
});
