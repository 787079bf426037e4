/** Tests lib/data/inspect.ts: counts of a folder made by hand, and masks that keep and break their promises. */
import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { openShardWriter, type ShardsOf } from "../../lib/data/features.ts";
import {
  inspectMasks,
  inspectShards,
  maskFault,
  promptEnding,
  readRows,
} from "../../lib/data/inspect.ts";
import { encodeConversation } from "../../lib/text/chat.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";

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

const ENDING = Int32Array.of(7, 8);

Deno.test("masks: sound ones, and the fault of each other one", () => {
  const fault = (ids: number[], mask: number[]) =>
    maskFault({ id: "e", ids: Int32Array.from(ids), mask: Uint8Array.from(mask) }, {
      ending: ENDING,
    });
  equal(fault([1, 7, 8, 3, 4, 5], [0, 0, 1, 1, 0, 0]), undefined);
  // Two replies, each after a prompt.
  equal(fault([7, 8, 3, 4, 7, 8, 3, 4, 5], [0, 1, 0, 0, 0, 1, 1, 0, 0]), undefined);
  match(fault([1, 7, 8, 3, 4], [0, 0, 0, 0, 0])!, /none of its 5 rows is trained/);
  match(fault([1, 7, 8, 3, 4, 5], [0, 0, 0, 1, 0, 0])!, /first trained row, 3, is not the last/);
  match(fault([1, 7, 8, 3, 4, 5], [0, 1, 1, 0, 0, 0])!, /first trained row, 1, is not/);
  match(fault([8, 3, 4, 5], [1, 1, 0, 0])!, /first trained row, 0, is not/);
  match(fault([7, 8, 3, 4], [0, 1, 1, 0])!, /row 2 of 4 is trained and predicts nothing/);
  match(fault([7, 8, 3, 4], [0, 2, 0, 0])!, /row 1 holds 2, wanted 0 or 1/);
});

Deno.test("the ending of prompts is the template's, and masks of conversations are sound", async () => {
  const tokenizer = await loadTokenizer("data/target"), ending = promptEnding(tokenizer);
  match(
    tokenizer.decode(ending, { special: true }),
    /<\|start_header_id\|>assistant<\|end_header_id\|>\s*$/,
  );
  const { ids, mask } = encodeConversation(tokenizer, [
    { role: "user", content: "How many?" },
    { role: "assistant", content: "It is three of them." },
    { role: "user", content: "And then?" },
    { role: "assistant", content: "Four, as before." },
  ]);
  equal(maskFault({ id: "c", ids, mask }, { ending }), undefined);
  const late = mask.slice();
  late[late.indexOf(1)] = 0;
  match(maskFault({ id: "c", ids, mask: late }, { ending })!, /is not the last token of a prompt/);
});

Deno.test("faults and rows are found by the example's number over all shards", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const writer = await openShardWriter(folder, {
      of: { target: "abc", width: 2, taps: [], storage: "f16" },
      shardExamples: 2,
    });
    for (let i = 0; i < 5; i++) {
      const ids = Int32Array.of(i, 7, 8, 3, 4, 5), mask = new Uint8Array(6);
      if (i !== 3) mask[2] = 1;
      const features = new Float32Array(12), tapped = new Float32Array(0);
      await writer.append({ id: `e${i}`, ids, mask, features, tapped });
    }
    await writer.flush();
    deepEqual(await inspectMasks(folder, { ending: ENDING }), [
      { index: 3, id: "e3", fault: "none of its 6 rows is trained" },
    ]);
    const { id, ids, mask } = await readRows(folder, 4);
    deepEqual([id, [...ids], [...mask]], ["e4", [4, 7, 8, 3, 4, 5], [0, 0, 1, 0, 0, 0]]);
    await rejects(readRows(folder, 5), /Cannot show example 5 of .*: it holds 5, wanted 0 to 4/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
