/** The task on a small folder: counts, a fault, an example's text, and what it refuses. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openShardWriter } from "../../lib/data/features.ts";
import { encodeConversation } from "../../lib/text/chat.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { inFolder, runTask, TARGET } from "./tasks.ts";

async function writeData(folder: string): Promise<void> {
  const tokenizer = await loadTokenizer(TARGET);
  const of = { target: "0123456789abcdef", width: 2, taps: [], storage: "f16" } as const;
  for (const set of ["train", "validation"]) {
    const writer = await openShardWriter(join(folder, set), { of });
    for (const [i, content] of ["It is three of them.", "Four, as before."].entries()) {
      const { ids, mask } = encodeConversation(tokenizer, [
        { role: "user", content: "How many?" },
        { role: "assistant", content },
      ]);
      if (set === "validation" && i === 1) mask.fill(0);
      const features = new Float32Array(ids.length * 2), tapped = new Float32Array(0);
      await writer.append({ id: `${set}-${i}`, ids, mask, features, tapped });
    }
    await writer.flush();
  }
}

Deno.test("counts of both sets and the fault of one example, as text and as JSON", async () => {
  await inFolder(async (folder) => {
    await writeData(join(folder, "d"));
    const { code, stdout, stderr } = await runTask(folder, {
      task: "inspect",
      args: ["d", "--json"],
    });
    assert.equal(code, 0, stderr);
    const { sets } = JSON.parse(stdout);
    assert.deepEqual(sets.map((s: { examples: number }) => s.examples), [2, 2]);
    assert.deepEqual(sets.map((s: { faults: { id: string }[] }) => s.faults.map((f) => f.id)), [
      [],
      ["validation-1"],
    ]);
    assert.match(stderr, /^examples +2$/m);
    assert.match(stderr, /\d+-\d+ +\d+ +#+/);
    assert.match(stderr, /masks: sound/);
    assert.match(stderr, /example 1 \(validation-1\): none of its \d+ rows is trained/);
  });
});

Deno.test("one example: its rows, and its text with the trained rows marked", async () => {
  await inFolder(async (folder) => {
    await writeData(join(folder, "d"));
    const { code, stdout, stderr } = await runTask(folder, {
      task: "inspect",
      args: ["d", "--example", "0"],
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /example 0 of d.train: train-0, \d+ tokens/);
    assert.match(stdout, /How many\?<\|eot_id\|>[^[]*\[\[\s*It is three of them\]\]\.<\|eot_id\|>/);
  });
});

Deno.test("no data, and an example that there is not, are told in one line", async () => {
  await inFolder(async (folder) => {
    await writeData(join(folder, "d"));
    for (
      const [args, error] of [
        [["nowhere"], /^error: Cannot inspect nowhere: it holds no \.arrow shards\n$/],
        [
          ["d", "--example", "2"],
          /^error: Cannot show example 2 of d.train: it holds 2, .*0 to 1\n$/,
        ],
      ] as const
    ) {
      const { code, stderr } = await runTask(folder, { task: "inspect", args: [...args] });
      assert.equal(code, 1);
      assert.match(stderr, error);
    }
  });
});
