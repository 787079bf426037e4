/** Trees drawn up by the authors' code: our depths, masks and paths must equal theirs, order included. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ancestorMask, depthsOf, pathsOf } from "../../lib/decode/ancestry.ts";
import { fromAuthorsFlags } from "../../lib/decode/growth.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";

const FOLDER = Deno.env.get("GOLDEN_DIR") ?? join(import.meta.dirname!, "upstream");
const FILES = readdirSync(FOLDER).filter((name) => /^tree-.*\.safetensors$/.test(name)).sort();

/** Parents from a mask [N,N]: ancestors stand in order of depth, so the last one before i is its parent. */
function parentsOf(mask: Int32Array, n: number): Int32Array {
  return Int32Array.from(
    { length: n },
    (_, i) => mask.subarray(i * n, i * n + i).lastIndexOf(1),
  );
}

Deno.test("there are golden trees", () => {
  assert.ok(FILES.length > 0, `Cannot check trees: found no tree-*.safetensors in ${FOLDER}`);
});

for (const file of FILES) {
  Deno.test(`ancestry reproduces ${file}`, () => {
    using golden = openSafetensors(join(FOLDER, file));
    const [, totalTokens, depth, topK] = file.match(/-n(\d+)-d(\d+)-k(\d+)\./)!.map(Number);
    const shape = fromAuthorsFlags({ depth, topK, totalTokens });
    const calls = golden.names.filter((name) => name.endsWith(".tree_mask"))
      .map((name) => name.split(".")[0]);
    assert.deepEqual(calls.sort(), ["call1", "call2"]);
    for (const call of calls) {
      const mask = golden.readInt(`${call}.tree_mask`),
        n = golden.info(`${call}.tree_mask`).shape[0];
      const parents = parentsOf(mask, n), depths = depthsOf(parents);
      assert.equal(n, shape.budget);
      assert.deepEqual(Int32Array.from(ancestorMask(parents)), mask);
      assert.deepEqual(depths, golden.readInt(`${call}.tree_position_ids`));
      assert.ok(depths.every((d) => d <= shape.depth), `a node is deeper than ${shape.depth}`);
      const paths = pathsOf(parents);
      assert.deepEqual(
        [paths.length, paths[0].length],
        golden.info(`${call}.retrieve_indices`).shape,
      );
      assert.deepEqual(
        paths.flatMap((path) => Array.from(path)),
        Array.from(golden.readInt(`${call}.retrieve_indices`)),
      );
      // The root is the newest token of the text.
      const tokens = golden.readInt(`${call}.draft_tokens`);
      assert.equal(tokens.length, n);
      assert.equal(tokens[0], golden.readInt(`${call}.input_ids`).at(-1));
    }
  });
}
