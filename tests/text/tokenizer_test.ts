/** Tests lib/text/tokenizer.ts on the shipped tokenizer. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";

const tokenizer = await loadTokenizer("data/target");

Deno.test("text survives the round trip", () => {
  for (
    const text of [
      "Ada has 12 pens.",
      "def f(x):\n    return x",
      "Zażółć 你好 🙂",
      "  two  blanks ",
    ]
  ) {
    equal(tokenizer.decode(tokenizer.encode(text)), text);
  }
});

Deno.test("special tokens are recognised in text, and left out of decoded text unless asked for", () => {
  const ids = tokenizer.encode("<|begin_of_text|>hi<|eot_id|>");
  deepEqual([ids[0], ids.at(-1)], [4090, 4094]);
  equal(tokenizer.decode(ids), "hi");
  equal(tokenizer.decode(ids, { special: true }), "<|begin_of_text|>hi<|eot_id|>");
});

Deno.test("nothing decodes to nothing; the vocabulary is the model's", () => {
  equal(tokenizer.decode([]), "");
  equal(tokenizer.encode("").length, 0);
  equal(tokenizer.vocabulary, 4096);
  equal(tokenizer.eosToken, "<|eot_id|>");
});

Deno.test("missing and broken files are named", async () => {
  const folder = await Deno.makeTempDir();
  await rejects(loadTokenizer(folder), /tokenizer.json: no such file/);
  writeFileSync(join(folder, "tokenizer.json"), "{");
  await rejects(loadTokenizer(folder), /tokenizer.json: found text that is not a JSON object/);
});
