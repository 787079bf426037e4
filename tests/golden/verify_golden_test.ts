/**
 * Greedy verdicts of the authors' code over the trees of call 1: accepted path, its length, the next token.
 * Their `best_candidate` is a row of the path table: the first that begins with the accepted path.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathsOf } from "../../lib/decode/ancestry.ts";
import { argmax, GREEDY, processLogits } from "../../lib/decode/sample.ts";
import { verifyGreedy, verifySampled } from "../../lib/decode/verify.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";

const FOLDER = Deno.env.get("GOLDEN_DIR") ?? join(import.meta.dirname!, "upstream");
const FILES = readdirSync(FOLDER).filter((name) => /^verify-.*\.safetensors$/.test(name)).sort();

Deno.test("there are golden verdicts", () => {
  assert.ok(FILES.length > 0, `Cannot check verdicts: found no verify-*.safetensors in ${FOLDER}`);
});

for (const file of FILES) {
  Deno.test(`greedy verification reproduces ${file}`, () => {
    using golden = openSafetensors(join(FOLDER, file));
    const cases = golden.names.filter((name) => name.endsWith(".tree_logits"))
      .map((name) => name.slice(0, name.lastIndexOf("."))).sort();
    assert.ok(cases.length > 0);
    let longest = 0;
    for (const name of cases) {
      using trees = openSafetensors(join(FOLDER, `tree-${name.split(".")[0]}.safetensors`));
      const tokens = trees.readInt("call1.draft_tokens"),
        table = trees.readInt("call1.retrieve_indices");
      const width = trees.info("call1.retrieve_indices").shape[1];
      const parents = new Int32Array(tokens.length).fill(-1);
      table.forEach((node, i) => {
        if (node > 0) parents[node] = table[i - 1];
      });
      const tree = { tokens, parents, scores: new Float32Array(tokens.length) };

      const logits = golden.readFloat32(`${name}.tree_logits`);
      const vocabulary = golden.info(`${name}.tree_logits`).shape[1];
      const choices = Int32Array.from(tokens, (_, i) => argmax(logits, i * vocabulary, vocabulary));
      const verdict = verifyGreedy(tree, (node) => choices[node]);
      const value = (what: string) => golden.readInt(`${name}.${what}`)[0];
      assert.equal(verdict.path.length, value("accept_length"), `${name}: accepted`);
      assert.equal(verdict.next, value("next_token"), `${name}: next token`);
      const begins = (path: Int32Array) => verdict.path.every((node, i) => path[i + 1] === node);
      const row = pathsOf(parents).findIndex(begins);
      assert.equal(row, value("best_candidate"), `${name}: path`);
      assert.deepEqual(
        verdict.path,
        Array.from(table.subarray(row * width + 1, row * width + 1 + verdict.path.length)),
      );
      longest = Math.max(longest, verdict.path.length);

      // Temperature 0 through the sampled walk leaves nothing to chance.
      const distribution = (node: number) => {
        const p = new Float64Array(vocabulary);
        processLogits(logits.subarray(node * vocabulary, (node + 1) * vocabulary), GREEDY, p);
        return p;
      };
      const chance = { accept: (p: number) => p === 1, draw: (p: Float64Array) => argmax(p) };
      assert.deepEqual(verifySampled(tree, distribution, { chance }), verdict);
    }
    assert.ok(longest >= 5, `the longest accepted path has ${longest} nodes: too easy`);
  });
}
