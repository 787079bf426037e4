/** Tests lib/text/tokenizer.ts on the shipped tokenizer. */
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadTokenizer, streamDecoder } from "../../lib/text/tokenizer.ts";

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

/** The shipped tokenizer with changes to its two files. */
async function changed(
  change: (json: Record<string, never>, config: Record<string, unknown>) => void,
) {
  const folder = await Deno.makeTempDir(), names = ["tokenizer.json", "tokenizer_config.json"];
  const [json, config] = names.map((n) => JSON.parse(Deno.readTextFileSync(`data/target/${n}`)));
  change(json, config);
  [json, config].forEach((v, i) => writeFileSync(join(folder, names[i]), JSON.stringify(v)));
  return await loadTokenizer(folder);
}

Deno.test("added tokens that stand in the vocabulary too are not counted twice", async () => {
  const { vocabulary } = await changed((json: Record<string, unknown>) => {
    const { vocab } = json.model as { vocab: Record<string, number> };
    for (const { content, id } of json.added_tokens as { content: string; id: number }[]) {
      vocab[content] = id;
    }
  });
  equal(vocabulary, 4096);
});

Deno.test("special tokens and templates are found in each of their forms", async () => {
  const { eosToken, bosToken, chatTemplate } = await changed((_, config) => {
    config.eos_token = { content: "<|eot_id|>" };
    config.bos_token = null;
    config.chat_template = [{ name: "tools", template: "T" }, { name: "default", template: "D" }];
  });
  deepEqual([eosToken, bosToken, chatTemplate], ["<|eot_id|>", undefined, "D"]);
  equal((await changed((_, config) => delete config.chat_template)).chatTemplate, undefined);
});

Deno.test("a template in a file of its own goes before the configuration's", async () => {
  const { folder } = await changed((_, config) => config.chat_template = "of the configuration");
  writeFileSync(join(folder, "chat_template.jinja"), "of the file");
  equal((await loadTokenizer(folder)).chatTemplate, "of the file");
});

Deno.test("a tokenizer that cannot be used is named", async () => {
  const broken = changed((json: Record<string, unknown>) => delete json.model);
  await rejects(broken, /Cannot use .*tokenizer.json: /);
});

Deno.test("streamed text is the whole text, never with half a character", () => {
  const text = "Zażółć 你好 🙂🙂 end.", ids = tokenizer.encode(text);
  for (const size of [1, 2, 3, 5, ids.length]) {
    const stream = streamDecoder(tokenizer), parts: string[] = [];
    for (let at = 0; at < ids.length; at += size) {
      parts.push(stream.push(ids.subarray(at, at + size)));
    }
    for (const part of parts) ok(!part.includes("\uFFFD"), `${size} at a time gave ${part}`);
    equal(parts.join(""), text);
    equal(stream.flush(), "");
  }
});

Deno.test("a character that never becomes whole comes with flush, which starts anew", () => {
  const stream = streamDecoder(tokenizer), smile = tokenizer.encode("🙂");
  ok(smile.length > 1);
  equal(stream.push(tokenizer.encode("a")) + stream.push(smile.subarray(0, -1)), "a");
  equal(stream.flush(), "\uFFFD");
  equal(stream.push(tokenizer.encode("b")), "b");
});

Deno.test("a long stream decodes few ids at a time, and says the whole text", () => {
  const text = "Zażółć 你好 🙂🙂 and so on, 12.5 %. ".repeat(60), ids = tokenizer.encode(text);
  let most = 0;
  const stream = streamDecoder({
    decode(part) {
      most = Math.max(most, part.length);
      return tokenizer.decode(part);
    },
  });
  let streamed = "";
  for (const id of ids) streamed += stream.push([id]);
  equal(streamed + stream.flush(), text);
  ok(ids.length > 1000 && most < 64, `${most} of ${ids.length} ids at once`);
});

Deno.test("a decoder that gives up all of a broken run of bytes loses nothing at the seams", () => {
  // Ids are bytes; a run that is no UTF-8 as a whole decodes to a mark a byte, as byte fallback does.
  const decode = (ids: ArrayLike<number>) => {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(ids));
    } catch {
      return "\uFFFD".repeat(ids.length);
    }
  };
  const text = "一二三四五六七八九十".repeat(12), stream = streamDecoder({ decode });
  let streamed = "";
  for (const byte of new TextEncoder().encode(text)) streamed += stream.push([byte]);
  equal(streamed + stream.flush(), text);
});
