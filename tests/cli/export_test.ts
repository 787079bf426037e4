/** `deno task export` as a process: what it leaves behind, and what it says. Refusals: `errors_test.ts`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import { inFolder, randomDraft, runTask } from "./tasks.ts";

Deno.test("a draft is exported with its ONNX model, and again over the first export", async () => {
  await inFolder(async (folder) => {
    await randomDraft(folder);
    const sizes = ["--rows", "4", "--capacity", "32", "--width", "3"];
    const args = ["--draft", "draft", "--dtype", "f16", "--onnx", ...sizes, "--json"];
    const { code, stdout, stderr } = await runTask(folder, { task: "export", args });
    assert.equal(code, 0, stderr);
    const { out, target, dtype, onnx } = JSON.parse(stdout);
    assert.deepEqual([out, dtype, onnx], ["runs/export", "f16", ["draft.onnx"]]);
    const list = async () =>
      (await Array.fromAsync(Deno.readDir(join(folder, out)))).map((f) => f.name);
    const files = ["README.md", "config.json", "model.safetensors"];
    assert.deepEqual((await list()).sort(), [...files, "draft.onnx"].sort());
    const readme = await Deno.readTextFile(join(folder, out, "README.md"));
    for (const part of [target, "4 rows a call, caches of 32 rows", "matrices as f16", "[4,3]"]) {
      assert.ok(readme.includes(part), `the README does not say ${part}`);
    }
    using file = openSafetensors(join(folder, out, "model.safetensors"));
    assert.equal(file.info("embed_tokens.weight").dtype, "F16");

    const second = await runTask(folder, { task: "export", args: ["--draft", "draft"] });
    assert.equal(second.code, 0, second.stderr);
    assert.deepEqual((await list()).sort(), files.toSorted());
  });
});
