/** Which texts are names of the hub, and which are paths. */
import assert from "node:assert/strict";
import { formatName, modelNameOf } from "../../lib/hub/name.ts";

Deno.test("names: ORG/NAME, with a branch, tag or commit", () => {
  const main = { id: "org/Model-7B.v1_x", revision: "main" };
  assert.deepEqual(modelNameOf("org/Model-7B.v1_x"), main);
  assert.deepEqual(modelNameOf("org/tiny@v1.0"), { id: "org/tiny", revision: "v1.0" });
  assert.deepEqual(modelNameOf("org/tiny@refs/pr/1"), { id: "org/tiny", revision: "refs/pr/1" });
  assert.equal(formatName(main), "org/Model-7B.v1_x@main");
});

Deno.test("names: paths are none, whether they exist or not", () => {
  const paths = ["nowhere", "./org/tiny", "../tiny", "/org/tiny", "~/tiny", "a/b/c", "org/tiny/"];
  for (const path of [...paths, "", "a\\b", "org/..", "org/a..b", "org/a--b", "org/tiny.git"]) {
    assert.equal(modelNameOf(path), undefined, path);
  }
  assert.equal(modelNameOf("data/target"), undefined, "a folder that exists wins");
});

Deno.test("names: what could be both and is neither is refused with both readings", () => {
  const told = /Cannot find data\/targt: data is a folder here .* data\/targt@main would be the mo/;
  assert.throws(() => modelNameOf("data/targt"), told);
  assert.deepEqual(modelNameOf("data/targt@main"), { id: "data/targt", revision: "main" });
  for (const revision of ["", "../..", "-x", "a b"]) {
    assert.throws(() => modelNameOf(`org/tiny@${revision}`), /after the @ a branch, tag or commit/);
  }
});
