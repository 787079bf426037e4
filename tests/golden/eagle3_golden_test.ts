/**
 * EAGLE-3's training step against an implementation in PyTorch, written from the equations alone
 * (`make/eagle3.py`): seven passes, their logits, masks and losses, and the gradient of the whole.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { gradients } from "../../lib/graph/gradients.ts";
import type { HostArray, Node, Shape } from "../../lib/graph/node.ts";
import { program } from "../../lib/graph/program.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import { draftShapes } from "../../lib/model/draft.ts";
import { DRAFT_TOKENS } from "../../lib/model/eagle3.ts";
import { batchInputs } from "../../lib/train/passes.ts";
import { PRESETS } from "../../lib/train/presets.ts";
import { DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { inputParts, passesOf, targetHead, totalLoss } from "../../lib/train/step.ts";
import { relative } from "./sets.ts";

const FILE = join(import.meta.dirname!, "own", "eagle3.safetensors");

/** Names of the set that our step disagrees with, and by how much. */
async function disagreements(backend: Backend, changes: Partial<Recipe> = {}): Promise<string[]> {
  using set = openSafetensors(FILE);
  const number = (name: string) => Number(set.metadata[name]);
  const [batch, length, wide] = set.info("tapped").shape;
  const [vocabulary, width] = set.info("embed_tokens.weight").shape;
  const config: DraftConfig = {
    width,
    inner: number("inner"),
    heads: number("heads"),
    kvHeads: number("kv_heads"),
    headSize: number("head_size"),
    vocabulary,
    positions: 64,
    epsilon: number("epsilon"),
    ropeTheta: number("theta"),
    fusion: "taps",
    head: "single",
    taps: Array.from({ length: wide / width }, (_, i) => i),
    draftVocabulary: set.info("d2t").shape[0],
  };
  const recipe: Recipe = {
    ...DEFAULT_RECIPE,
    ...PRESETS.eagle3.recipe,
    passes: number("passes"),
    ...changes,
  };
  const parts = inputParts(config), shapes = draftShapes(config), names = Object.keys(shapes);
  const passes = passesOf(parts, batchInputs({ batch, length }, { config }), recipe);
  const outputs: Record<string, Node> = { total: totalLoss(passes, recipe) };
  passes.forEach((pass, i) => {
    outputs[`pass${i + 1}.logits`] = parts.project(pass.predict, "lm_head.weight");
    outputs[`pass${i + 1}.mask`] = pass.mask;
    outputs[`pass${i + 1}.loss`] = pass.tokenLoss;
  });
  gradients(outputs.total, names.map(parts.weight))
    .forEach((g, i) => outputs[`grad.${names[i]}`] = g);

  const lead = [batch, length];
  const given: Record<string, [HostArray, Shape]> = {
    ids: [set.readInt("input_ids"), lead],
    mask: [set.readFloat32("loss_mask"), lead],
    features: [set.readFloat32("features"), [...lead, width]],
    noisy: [set.readFloat32("tapped"), [...lead, wide]],
    "embed_tokens.weight": [set.readFloat32("embed_tokens.weight"), [vocabulary, width]],
    [targetHead(config)]: [set.readFloat32("target.lm_head.weight"), [vocabulary, width]],
    [DRAFT_TOKENS]: [set.readInt("d2t").map((d, i) => d + i), [config.draftVocabulary!]],
    ...Object.fromEntries(names.map((n) => [n, [set.readFloat32(n), shapes[n]]])),
  };
  using run = await backend.compile(program(outputs));
  const found = await run.run(
    Object.fromEntries(Object.entries(given).map(([n, [x, s]]) => [n, backend.tensor(x, s)])),
  );
  return Object.keys(outputs).flatMap((name) => {
    const error = relative(found[name].host!, set.readFloat32(name));
    return error <= 1e-4 ? [] : [`${name}: relative error ${error}`];
  });
}

Deno.test("eagle3: seven passes, masks, losses and the gradient of the whole in float64", async () => {
  assert.deepEqual(await disagreements(referenceBackend()), []);
});

Deno.test("eagle3: the same in fp32, and neighbours of the recipe are told from it", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  assert.deepEqual(await disagreements(backend), []);
  const faults: Partial<Recipe>[] = [{ bptt: false }, { passDecay: 1 }, { backward: "mean" }];
  for (const fault of faults) {
    const found = await disagreements(backend, fault);
    assert.ok(found.length > 0, `${JSON.stringify(fault)} goes unseen`);
  }
});
