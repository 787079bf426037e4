/** Tests lib/io/gguf.ts: settings, tensors, and files that are damaged in every place. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openGguf } from "../../lib/io/gguf.ts";
import { inTemporary } from "../model/foreign_drafts.ts";

const ROOM = join(import.meta.dirname!, "../golden/own/gguf"), FILE = join(ROOM, "llama-3.gguf");
const BYTES = Deno.readFileSync(FILE);

/** The error of a file with these bytes. */
async function errorOf(bytes: Uint8Array): Promise<string> {
  let message = "";
  await inTemporary(async (folder) => {
    const path = join(folder, "a.gguf");
    await Deno.writeFile(path, bytes);
    try {
      openGguf(path)[Symbol.dispose]();
    } catch (cause) {
      message = (cause as Error).message.replace(folder, "");
    }
  });
  return message;
}

/** The file with bytes written over those that follow the first `text`. */
function patched(text: string, skip: number, bytes: number[]): Uint8Array {
  const copy = BYTES.slice(), at = new TextDecoder("latin1").decode(copy).indexOf(text);
  assert.ok(at > 0, text);
  copy.set(bytes, at + text.length + skip);
  return copy;
}

Deno.test("settings of every kind and tensors with the last dimension fastest", () => {
  using file = openGguf(FILE);
  const { settings } = file;
  assert.equal(settings["general.architecture"], "llama");
  assert.equal(settings["llama.attention.head_count_kv"], 2);
  assert.equal(settings["llama.rope.freq_base"], 500000);
  assert.deepEqual((settings["tokenizer.ggml.tokens"] as string[]).slice(0, 3), [
    "<0>",
    "<1>",
    "<2>",
  ]);
  assert.deepEqual(file.info("blk.0.ffn_down.weight").shape, [32, 48]);
  assert.deepEqual(file.info("token_embd.weight").dtype, "F32");
  assert.ok(file.has("output_norm.weight") && !file.has("output_norm.bias"));
  assert.equal(file.readFloat32("blk.1.attn_norm.weight").length, 32);
  assert.throws(() => file.readFloat32("nothing"), /it has no tensor nothing/);
});

Deno.test("values as f16 are those of f32, rounded", () => {
  using file = openGguf(FILE);
  const half = file.readHalf("output_norm.weight"), full = file.readFloat32("output_norm.weight");
  assert.deepEqual(new Float16Array(half.buffer), new Float16Array(full));
});

Deno.test("files that are no GGUF, of another version or order, or a part", async () => {
  const other = (at: number, ...bytes: number[]) => {
    const copy = BYTES.slice();
    copy.set(bytes, at);
    return errorOf(copy);
  };
  assert.match(await other(0, 0x50, 0x4b), /^Cannot read .a\.gguf: it does not begin with GGUF$/);
  assert.match(await other(4, 1), /it is version 1, wanted version 2 or 3/);
  assert.match(await other(4, 0, 0, 0, 3), /it is in big-endian order/);
  assert.match(await errorOf(new Uint8Array(0)), /its header wants 4 bytes at 0, the file has 0/);
  assert.throws(() => openGguf(join(ROOM, "nothing.gguf")), /no such file/);
});

/** A header without tensors, with one setting. */
function header(name: string, type: number, value: number[]): Uint8Array {
  const u64 = (n: number) => [n, 0, 0, 0, 0, 0, 0, 0];
  const counts = [...u64(0), ...u64(1)], key = [...new TextEncoder().encode(name)];
  const begin = [...new TextEncoder().encode("GGUF"), 3, 0, 0, 0];
  return Uint8Array.from([
    ...begin,
    ...counts,
    ...u64(key.length),
    ...key,
    type,
    0,
    0,
    0,
    ...value,
  ]);
}

Deno.test("parts of a model, and headers that ask for the impossible", async () => {
  assert.match(
    await errorOf(header("split.count", 2, [3, 0])),
    /it is one of 3 parts, wanted them merged/,
  );
  assert.match(
    await errorOf(header("general.alignment", 4, [0, 0, 0, 0])),
    /alignment is 0, wanted a positive/,
  );
  const many = [4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
  assert.match(await errorOf(header("list", 9, many)), /it has an array of 4294967296/);
  const nested = Array.from({ length: 12 }, () => [9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).flat();
  assert.match(await errorOf(header("nest", 9, nested)), /it has an array of 1/);
  assert.equal(await errorOf(header("fine", 7, [1])), "");
});

Deno.test("wherever the file is cut short, one error tells, and none reads beyond the end", async () => {
  const messages = new Set<string>();
  for (const length of [6, 20, 30, 200, 900, 1500, 2500, BYTES.length - 1]) {
    const message = await errorOf(BYTES.subarray(0, length));
    assert.match(
      message,
      /^Cannot read .a\.gguf: (its header wants \d+ bytes|tensor [\w.]+ ends at byte)/,
    );
    messages.add(message);
  }
  assert.ok(messages.size >= 7);
});

Deno.test("sizes, types and settings that make no sense are named", async () => {
  const name = "blk.0.ffn_up.weight";
  assert.match(
    await errorOf(patched(name, 0, [99])),
    /tensor blk\.0\.ffn_up\.weight has 99 dimensions/,
  );
  assert.match(await errorOf(patched(name, 20, [77])), /ffn_up\.weight has type number 77/);
  assert.match(
    await errorOf(patched(name, 20, [12])),
    /ffn_up\.weight \[48,32\] is no whole blocks of 256/,
  );
  assert.match(await errorOf(patched(name, 11, [0x40])), /it has a size of \d{18,} at byte/);
  assert.match(await errorOf(patched("llama.block_count", 0, [44])), /a setting of type number 44/);
});
