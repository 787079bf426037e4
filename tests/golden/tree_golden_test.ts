/**
 * Drafting against the authors' own code: two calls of one sequence, the second with three accepted rows
 * more, must give the same trees: tokens, ancestors, paths and positions, order included.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { ancestorMask, depthsOf, pathsOf } from "../../lib/decode/ancestry.ts";
import { dynamicGrowth, fromAuthorsFlags } from "../../lib/decode/growth.ts";
import { GREEDY } from "../../lib/decode/sample.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import type { Target } from "../../lib/model/load.ts";
import { FOLDER, type GoldenDraft, goldenDraft, goldenFiles, openGolden } from "./sets.ts";

const TREES = goldenFiles(/^tree-(.+)-n(\d+)-d(\d+)-k(\d+)\.safetensors$/);

Deno.test("there are golden trees to draft", () => {
  assert.ok(TREES.length > 0, `Cannot check trees: found no tree-*.safetensors in ${FOLDER}`);
});

/** As much of a target as drafting needs: its two matrices and its positions. */
function headsOnly({ config, embedding, head }: GoldenDraft, backend: Backend): Target {
  const shape = [config.vocabulary, config.width];
  return {
    folder: FOLDER,
    config: { ...config, family: "llama", layers: 1, tied: false, eos: [] },
    weights: {
      "model.embed_tokens.weight": backend.tensor(embedding, shape),
      "lm_head.weight": backend.tensor(head, shape),
    },
    identity: "golden",
  };
}

async function checkTrees(match: RegExpMatchArray, backend: Backend): Promise<void> {
  const [file, variant, ...numbers] = match, [totalTokens, depth, topK] = numbers.map(Number);
  const draft = await goldenDraft(variant), target = headsOnly(draft, backend);
  using set = openGolden(file);
  const shape = fromAuthorsFlags({ depth, topK, totalTokens });
  const growth = dynamicGrowth(shape);
  using drafter = new TreeDrafter(draft, { backend, target, growth, bits: 32 });
  using drafting = drafter.begin({ first: 0, sampling: GREEDY });
  let accepted = 0;
  for (const call of ["call1", "call2"]) {
    // The new features, and all tokens so far: row t reads the token after it.
    const rows = set.info(`${call}.hidden_states`).shape[1];
    const ids = set.readInt(`${call}.input_ids`).slice(-rows);
    const features = set.readFloat32(`${call}.hidden_states`);
    const [{ tree }] = await drafter.propose([{ drafting, news: { ids, features } }]);
    accepted += rows;
    assert.equal(drafting.cache.length, accepted, `${call}: rows that stay in the cache`);
    assert.deepEqual(tree.tokens, set.readInt(`${call}.draft_tokens`), `${call}: tokens`);
    assert.deepEqual(
      Int32Array.from(ancestorMask(tree.parents)),
      set.readInt(`${call}.tree_mask`),
      `${call}: ancestors`,
    );
    assert.deepEqual(
      depthsOf(tree.parents),
      set.readInt(`${call}.tree_position_ids`),
      `${call}: positions`,
    );
    const paths = pathsOf(tree.parents),
      [count, length] = set.info(`${call}.retrieve_indices`).shape;
    assert.deepEqual([paths.length, paths[0].length], [count, length]);
    assert.deepEqual(
      paths.flatMap((path) => Array.from(path)),
      Array.from(set.readInt(`${call}.retrieve_indices`)),
      `${call}: paths`,
    );
  }
}

for (const match of TREES) {
  Deno.test(`drafting reproduces ${match[0]}`, async () => {
    using backend = await openOnnxBackend({ threads: 1 });
    await checkTrees(match, backend);
  });
}

// One is enough to see that the definition agrees; the interpreter is slow.
for (const match of TREES.slice(0, 1)) {
  Deno.test(`drafting in float64 reproduces ${match[0]}`, async () => {
    await checkTrees(match, referenceBackend());
  });
}
