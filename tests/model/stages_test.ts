/** Which backend gets which layers and weights of a target that is split. */
import assert from "node:assert/strict";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { targetShapes } from "../../lib/model/llama.ts";
import { isPartOf, splitLayers } from "../../lib/model/stages.ts";
import { TINY } from "../model/tiny.ts";

const backend = referenceBackend(), last = referenceBackend(), config = { ...TINY, layers: 5 };

Deno.test("layers are given out in order, the rest to the last backend", () => {
  const stages = splitLayers(config, {
    last,
    before: [{ backend, layers: 1 }, { backend, layers: 3 }],
  });
  assert.deepEqual(stages.map(({ from, to }) => [from, to]), [[0, 1], [1, 4], [4, 5]]);
  assert.equal(stages[2].backend, last);
  assert.deepEqual(splitLayers(config, { before: [], last }), [{ backend: last, from: 0, to: 5 }]);
});

Deno.test("a share that is nothing, or leaves nothing, is refused", () => {
  for (const layers of [0, 5, 1.5]) {
    assert.throws(
      () => splitLayers(config, { before: [{ backend, layers }], last }),
      /wanted at least one, and at least one left/,
    );
  }
});

Deno.test("every weight is on its stage, the embedding on the first and the last", () => {
  const stages = splitLayers(config, { before: [{ backend, layers: 2 }], last });
  for (const name of Object.keys(targetShapes(config))) {
    const where = stages.map((stage) => isPartOf(stage, name, config));
    const layer = Number(/layers\.(\d+)/.exec(name)?.[1] ?? NaN);
    const wanted = name === "model.embed_tokens.weight" ? [true, true] : [layer < 2, !(layer < 2)];
    assert.deepEqual(where, wanted, name);
  }
});
