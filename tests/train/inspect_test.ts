/** What inspection tells of an example is what a validation of the same recipe counts. */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { fillBatch, planEpoch } from "../../lib/train/batches.ts";
import { freshOptimizer } from "../../lib/train/checkpoint.ts";
import { inspectAlignment } from "../../lib/train/inspect.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { Resident } from "../../lib/train/resident.ts";
import { tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import { learnable } from "./tiny_run.ts";

for (const mask of ["paper", "upstream", "none"] as const) {
  Deno.test(`rows kept and missed with mask ${mask} are those that validation counts`, async () => {
    using backend = await openOnnxBackend({ threads: 1 });
    const recipe: Recipe = {
      ...DEFAULT_RECIPE,
      passes: 3,
      mask,
      alignK: 2,
      rows: 64,
      maxLength: 64,
      noise: 0,
    };
    const target = tinyTarget(backend), draft = tinyDraft(tinyDraftConfig());
    const examples = learnable(target, [40]), example = await examples.read(0);
    const [plan] = planEpoch(examples.lengths, { ...recipe, epoch: 0 }), { batch, length } = plan;
    const arrays = await fillBatch(examples, { plan, epoch: 0 }, recipe);
    const optimizer = freshOptimizer(draft, { recipe });
    const state = { ...draft, optimizer, step: 0, settings: "" };
    using resident = new Resident(state, { backend, target, recipe });
    const { passes: wanted } = await resident.validate({ batch, length, arrays });
    const found = await inspectAlignment(draft, { example, of: examples.of }, {
      ...{ backend, target, recipe },
    });
    const rows = found.trainable.filter(Boolean).length;
    assert.equal(rows, example.mask.slice(0, -1).reduce((a, b) => a + b, 0));
    assert.deepEqual([...found.tokens.slice(0, 5)], [...example.ids.slice(2, 7)]);
    found.passes.forEach(({ trained, hit }, p) => {
      const kept = trained.filter(Boolean).length / rows;
      const misaligned = found.trainable.filter((is, t) => is && !hit[t]).length / rows;
      assert.ok(Math.abs(kept - wanted[p].kept) < 1e-6, `pass ${p}: kept ${kept}`);
      assert.ok(Math.abs(misaligned - wanted[p].misaligned) < 1e-6, `pass ${p}: ${misaligned}`);
    });
    assert.ok(mask === "none" || found.passes[2].trained.some((t, i) => found.trainable[i] && !t));
  });
}
