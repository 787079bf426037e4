/** Tests lib/model/draft_vocabulary.ts: tables there and back, and those that are refused. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../lib/io/safetensors.ts";
import { readDraftTokens, vocabularyTables } from "../../lib/model/draft_vocabulary.ts";
import { inTemporary } from "./foreign_drafts.ts";

/** Tokens that are read from tables. */
async function read(
  tables: Record<string, TensorToWrite>,
  sizes: { vocabulary: number; draftVocabulary: number },
): Promise<number[]> {
  let tokens: number[] = [];
  await inTemporary(async (folder) => {
    const path = join(folder, "tables.safetensors");
    await writeSafetensors(path, tables);
    using file = openSafetensors(path);
    tokens = [...readDraftTokens(file, sizes)];
  });
  return tokens;
}

Deno.test("tables give back the tokens they were made of, in the published form", async () => {
  const tokens = Int32Array.of(0, 3, 4, 9), tables = vocabularyTables(tokens, 10);
  assert.deepEqual([...tables.d2t.data], [0n, 2n, 2n, 6n]);
  assert.deepEqual([...tables.t2d.data], [1, 0, 0, 1, 1, 0, 0, 0, 0, 1]);
  assert.deepEqual(await read(tables, { vocabulary: 10, draftVocabulary: 4 }), [...tokens]);
});

Deno.test("without a table, a vocabulary as large as the target's is the target's; a smaller one is refused", async () => {
  const other = { a: { shape: [1], data: Int32Array.of(1) } };
  assert.deepEqual(await read(other, { vocabulary: 3, draftVocabulary: 3 }), [0, 1, 2]);
  await assert.rejects(read(other, { vocabulary: 3, draftVocabulary: 2 }), /it has no tensor d2t/);
});

Deno.test("tables of another length, and tokens that do not rise within the vocabulary, are refused", async () => {
  const refused: [offsets: number[], error: RegExp][] = [
    [[0, 0, 0], /d2t has 3 tokens, config\.json wants 4/],
    [[0, 0, -1, 0], /d2t has target token 1 at 2 after 1, wanted rising ones below 10/],
    [[0, 0, 0, 7], /d2t has target token 10 at 3 after 2/],
    [[-1, 0, 0, 0], /d2t has target token -1 at 0, wanted/],
  ];
  for (const [offsets, error] of refused) {
    const d2t = { shape: [offsets.length], data: Int32Array.from(offsets) };
    await assert.rejects(read({ d2t }, { vocabulary: 10, draftVocabulary: 4 }), error);
  }
});
