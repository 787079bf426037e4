/**
 * Exported drafts against an implementation in PyTorch, written from the equations alone (`make/export.py`), which
 * read the same files: outputs of the draft in training and in decoding, as a Program and as an ONNX file, and
 * the gradient of a training step. One is a draft for Qwen 2, with biases, as others write it (`make/qwen2_draft.py`).
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Backend, type Params, readAll } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { embedModel } from "../../lib/backend/onnx/export.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { gradients } from "../../lib/graph/gradients.ts";
import { type HostArray, type Node, type Shape, sizeOf } from "../../lib/graph/node.ts";
import { program } from "../../lib/graph/program.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import { draftShapes } from "../../lib/model/draft.ts";
import { draftModels } from "../../lib/model/export_onnx.ts";
import { readDraft } from "../../lib/model/load.ts";
import { batchInputs } from "../../lib/train/passes.ts";
import { DEFAULT_RECIPE } from "../../lib/train/recipe.ts";
import { inputParts, passesOf, totalLoss } from "../../lib/train/step.ts";
import { testOnWebGpu } from "../adapter.ts";
import { openExported } from "../backend/onnx/exported_models.ts";
import { relative } from "./sets.ts";

const OWN = join(import.meta.dirname!, "own");
const NAMES = ["export-griffin", "export-fspad", "qwen2-draft"] as const;
type Name = typeof NAMES[number];
/** Largest error relative to the largest value. */
const TOLERANCE = 1e-4;

/** A folder as exported, and what PyTorch made of it. */
async function golden(name: Name) {
  const draft = await readDraft(join(OWN, name));
  using file = openSafetensors(join(OWN, name, "model.safetensors"));
  using set = openSafetensors(join(OWN, `${name}.results.safetensors`));
  const wanted = Object.fromEntries(
    set.names.filter((n) => n !== "ids").map((n) => [n, set.readFloat32(n)]),
  );
  const [batch, length] = set.info("ids").shape;
  const embedding = file.readFloat32("embed_tokens.weight");
  return { draft, embedding, ids: set.readInt("ids"), wanted, batch, length };
}

type Golden = Awaited<ReturnType<typeof golden>>;

/** Names that disagree, and by how much. */
function disagreements(found: Record<string, ArrayLike<number>>, wanted: Golden["wanted"]) {
  return Object.entries(found).flatMap(([name, values]) => {
    const error = relative(values, wanted[name]);
    return error <= TOLERANCE ? [] : [`${name}: relative error ${error}`];
  });
}

/** One pass of training: outputs, losses, and the gradient of feature 1.0 + token 0.1. */
async function trainingPass(
  { draft, embedding, ids, wanted, batch, length }: Golden,
  { backend, feature = 1 }: { backend: Backend; feature?: number },
): Promise<Record<string, ArrayLike<number>>> {
  const { config, parameters } = draft, shapes = draftShapes(config), names = Object.keys(shapes);
  const parts = inputParts(config), weights = { feature, token: 0.1, topK: 0 };
  const recipe = { ...DEFAULT_RECIPE, passes: 1, weights };
  const passes = passesOf(parts, batchInputs({ batch, length }, { config }), recipe);
  const [{ predict, regress, featureLoss, tokenLoss }] = passes;
  const outputs: Record<string, Node> = { predict, regress };
  if ("feature_loss" in wanted) {
    outputs.feature_loss = featureLoss;
    outputs.token_loss = tokenLoss;
    gradients(totalLoss(passes, recipe), names.map(parts.weight))
      .forEach((g, i) => outputs[`grad.${names[i]}`] = g);
  }
  const lead = [batch, length], wide = [...lead, config.width];
  const table = [config.vocabulary, config.width];
  const given: Record<string, [HostArray, Shape]> = {
    ids: [ids, lead],
    mask: [wanted.mask, lead],
    noisy: [wanted.features.slice(), wide],
    features: [wanted.features, wide],
    "embed_tokens.weight": [embedding, table],
    "lm_head.weight": [wanted["lm_head.weight"], table],
    ...Object.fromEntries(names.map((n) => [n, [parameters[n], shapes[n]]])),
  };
  const whole = program(outputs), inputs: Params = {};
  for (const name of Object.keys(whole.inputs)) inputs[name] = backend.tensor(...given[name]);
  using run = await backend.compile(whole);
  const found = await run.run(inputs);
  const values = await readAll(found);
  return Object.fromEntries(Object.entries(values).map(([n, data]) => [n, data.slice()]));
}

for (const name of NAMES) {
  Deno.test(`${name}: outputs${name === "export-griffin" ? "" : " and gradient"} of a pass`, async () => {
    const set = await golden(name);
    assert.deepEqual(
      disagreements(await trainingPass(set, { backend: referenceBackend() }), set.wanted),
      [],
    );
    using backend = await openOnnxBackend({ threads: 1 });
    const found = await trainingPass(set, { backend });
    const trained = Object.keys(draftShapes(set.draft.config)).length;
    assert.equal(Object.keys(found).length, name === "export-griffin" ? 2 : 4 + trained);
    assert.deepEqual(disagreements(found, set.wanted), []);
  });

  for (const fused of [false, true]) {
    Deno.test(`${name}: its ONNX file, ${fused ? "fused" : "standard"}, over two chunks`, async () => {
      const set = await golden(name), { draft, embedding, ids, wanted, batch, length } = set;
      const { width: d, vocabulary: v, kvHeads, headSize } = draft.config;
      const rows = 4, capacity = 8, shared = { embedding, head: wanted["lm_head.weight"] };
      const sizes = { rows, capacity, width: v };
      const { models } = draftModels({ draft, shared }, { embed: embedModel, fused, ...sizes });
      await using model = await openExported(models["draft.onnx"]);
      const regress: number[] = [], logs: number[] = [];
      for (let b = 0; b < batch; b++) {
        const shape = [1, kvHeads, capacity, headSize];
        let [keys, values] = [0, 0].map(() => new Float32Array(sizeOf(shape)));
        for (let at = 0; at < length; at += rows) {
          const n = Math.min(rows, length - at), from = b * length + at;
          const tokens = new Int32Array(rows), features = new Float32Array(rows * d);
          tokens.set(ids.subarray(from, from + n));
          features.set(wanted.features.subarray(from * d, (from + n) * d));
          const found = await model.run({
            ids: { data: tokens, shape: [1, rows] },
            positions: {
              data: Int32Array.from({ length: rows }, (_, i) => at + i),
              shape: [1, rows],
            },
            length: { data: Int32Array.of(at), shape: [1] },
            bias: { data: new Float32Array(rows * capacity), shape: [1, 1, rows, capacity] },
            features: { data: features, shape: [rows, d] },
            keys: { data: keys, shape },
            values: { data: values, shape },
          });
          keys = Float32Array.from(found.new_keys);
          values = Float32Array.from(found.new_values);
          regress.push(...Array.from(found.regress).slice(0, n * d));
          for (let i = 0; i < n; i++) { // from best first back to the order of the vocabulary
            const row = new Array<number>(v);
            for (let c = i * v; c < (i + 1) * v; c++) {
              row[found.tokens[c]] = found.log_probabilities[c];
            }
            logs.push(...row);
          }
        }
      }
      assert.deepEqual(disagreements({ regress, log_probabilities: logs }, wanted), []);
    });
  }
}

testOnWebGpu("qwen2-draft: outputs of a pass", async (backend) => {
  const set = await golden("qwen2-draft"), { feature_loss: _, ...wanted } = set.wanted;
  const found = await trainingPass({ ...set, wanted }, { backend });
  assert.deepEqual(Object.keys(found), ["predict", "regress"]);
  assert.deepEqual(disagreements(found, wanted), []);
});

Deno.test("export-griffin: its names are those of the authors' own module", () => {
  using ours = openSafetensors(join(OWN, "export-griffin", "model.safetensors"));
  using theirs = openSafetensors(join(import.meta.dirname!, "upstream", "draft-gqa.safetensors"));
  assert.deepEqual(ours.names.toSorted(), theirs.names.toSorted());
});

Deno.test("export-fspad: other loss weights are told from the stored ones", async () => {
  const set = await golden("export-fspad");
  using backend = await openOnnxBackend({ threads: 1 });
  const found = await trainingPass(set, { backend, feature: 0.9 });
  const wrong = disagreements(found, set.wanted);
  assert.ok(wrong.length >= 10 && wrong.every((w) => w.startsWith("grad.")), `${wrong}`);
});
