/** Which files of real models are needed. */
import assert from "node:assert/strict";
import { neededFiles, shardFiles, shardNames } from "../../lib/hub/needed_files.ts";

const listing = (...paths: string[]) => ({
  commit: "",
  files: paths.map((path) => ({ path, size: 1, hash: "", algorithm: "sha1" as const })),
});
const needed = (...paths: string[]) => {
  const { texts, weights } = neededFiles(listing(...paths));
  return [texts.map(({ path }) => path), weights && Object.values(weights)[0].path];
};

Deno.test("needed: texts of a model, nothing of other runtimes", () => {
  const texts = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
  ];
  const more = ["chat_template.jinja", "special_tokens_map.json"];
  const rest = [".gitattributes", "LICENSE", "tokenizer.model", "model.onnx", "a.gguf", "b.pth"];
  assert.deepEqual(needed(...rest, ...texts, ...more), [[...texts, ...more], undefined]);
});

Deno.test("needed: one format of weights, safetensors before PyTorch's, an index before a single file", () => {
  const index = "model.safetensors.index.json", bin = "pytorch_model.bin";
  assert.deepEqual(needed(bin, "model.safetensors"), [[], "model.safetensors"]);
  assert.deepEqual(needed(`${bin}.index.json`, "model.safetensors"), [[], "model.safetensors"]);
  assert.deepEqual(needed("model.safetensors", index), [[index], index]);
  assert.deepEqual(needed(bin, `${bin}.index.json`), [[`${bin}.index.json`], `${bin}.index.json`]);
  assert.deepEqual(needed(bin), [[], bin]);
});

Deno.test("needed: shards by the index, each once; damaged ones are named", () => {
  const text = JSON.stringify({ weight_map: { a: "2", b: "1", c: "2" } });
  assert.deepEqual(shardNames(text, "index"), ["1", "2"]);
  assert.deepEqual(shardFiles(listing("1", "2", "3"), ["1", "2"]).map((f) => f.path), ["1", "2"]);
  for (const damaged of ["", "[]", `{"weight_map":null}`]) {
    assert.throws(() => shardNames(damaged, "index"), /Cannot read index: wanted a JSON object/);
  }
  assert.throws(() => shardFiles(listing("1"), ["1", "2"]), /Cannot find 2: the index/);
});
