/** A draft's ONNX models, run by plain ONNX Runtime over two chunks and a cache, against our own backend. */
import assert from "node:assert/strict";
import { embedModel } from "../../lib/backend/onnx/export.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { sizeOf } from "../../lib/graph/node.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import { draftProgram } from "../../lib/model/draft.ts";
import type { SharedMatrices } from "../../lib/model/export.ts";
import { draftModels, onnxSizes } from "../../lib/model/export_onnx.ts";
import { exportReadme } from "../../lib/model/export_readme.ts";
import { type Draft, placeDraft } from "../../lib/model/load.ts";
import { HIDDEN } from "../../lib/graph/node.ts";
import { random } from "../../lib/random.ts";
import { type Feeds, mentions, openExported } from "../backend/onnx/exported_models.ts";
import { assertClose } from "../tolerance.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget, tinyWeights } from "./tiny.ts";

const WEIGHTS = tinyWeights(TINY);
const SHARED: SharedMatrices = {
  folder: "tiny",
  config: TINY,
  identity: "tiny-1",
  embedding: WEIGHTS["model.embed_tokens.weight"],
  head: WEIGHTS["lm_head.weight"],
};
const ROWS = 4, CAPACITY = 12, WIDTH = 3;

/** Two calls: a chain of four rows, then a tree over them whose second and third rows are siblings. */
function calls(wide: number): Feeds[] {
  const from = random(9, "calls", wide);
  return [0, ROWS].map((length) => {
    const bias = new Float32Array(ROWS * CAPACITY);
    if (length > 0) bias[2 * CAPACITY + length + 1] = HIDDEN;
    const depths = length > 0 ? [0, 1, 1, 2] : [0, 1, 2, 3];
    const ids = Int32Array.from({ length: ROWS }, () => from.integer(TINY.vocabulary));
    return {
      ids: { data: ids, shape: [1, ROWS] },
      positions: { data: Int32Array.from(depths, (d) => length + d), shape: [1, ROWS] },
      length: { data: Int32Array.of(length), shape: [1] },
      bias: { data: bias, shape: [1, 1, ROWS, CAPACITY] },
      features: {
        data: Float32Array.from({ length: ROWS * wide }, () => from.normal()),
        shape: [ROWS, wide],
      },
    };
  });
}

type Results = { tokens: number[]; log_probabilities: number[]; regress: number[] };

/** What our own backend says, without any export. */
async function ours(draft: Draft, reads: "target" | "draft", given: Feeds[]): Promise<Results[]> {
  using backend = await openOnnxBackend({ threads: 1 });
  const { config } = draft, cache = [1, config.kvHeads, CAPACITY, config.headSize];
  const weights = placeDraft(draft, { backend, target: tinyTarget(backend) });
  using run = await backend.compile(
    draftProgram(config, { rows: ROWS, capacity: CAPACITY, width: WIDTH, reads }),
    { weights },
  );
  const zeros = () => backend.tensor(new Float32Array(sizeOf(cache)), cache);
  const caches = { "keys.0": zeros(), "values.0": zeros() }, results: Results[] = [];
  for (const feeds of given) {
    const tensors = Object.entries(feeds).map(([n, { data, shape }]) => [
      n,
      backend.tensor(data.slice(), shape),
    ]);
    const out = await run.run({ ...Object.fromEntries(tensors), ...caches });
    results.push({
      tokens: [...out.tokens.host!],
      log_probabilities: [...out.logProbabilities.host!],
      regress: [...out.regress.host!],
    });
  }
  return results;
}

const DESIGNS: [string, Partial<DraftConfig>][] = [
  ["GRIFFIN", {}],
  ["FSPAD", { fusion: "fspad" }],
  ["EAGLE-2", { fusion: "linear", head: "single" }],
  ["EAGLE-3", { fusion: "taps", head: "single", taps: [0, 1], draftVocabulary: 10 }],
];

for (const [name, changes] of DESIGNS) {
  for (const fused of [false, true]) {
    Deno.test(`${name}'s models, ${fused ? "fused" : "standard"}, draft as ours do`, async () => {
      // Head size 16 is what ONNX Runtime's own attention takes.
      const draft = tinyDraft(tinyDraftConfig(undefined, { headSize: 16, ...changes }));
      const sizes = { rows: ROWS, capacity: CAPACITY, width: WIDTH };
      const { models, note } = draftModels({ draft, shared: SHARED }, {
        embed: embedModel,
        fused,
        ...sizes,
      });
      const two = draft.config.fusion === "taps";
      assert.deepEqual(
        Object.keys(models),
        two ? ["draft.onnx", "draft-fed.onnx"] : ["draft.onnx"],
      );
      for (const [file, bytes] of Object.entries(models)) {
        assert.equal(mentions(bytes, "com.microsoft"), fused);
        assert.equal(mentions(bytes, "GroupQueryAttention"), fused);
        const reads = file === "draft.onnx" ? "target" : "draft";
        const wide = two && reads === "target" ? 2 * TINY.width : TINY.width;
        const given = calls(wide), wanted = await ours(draft, reads, given);
        await using model = await openExported(bytes);
        const listed = note.models.find((m) => m.file === file)!;
        assert.deepEqual(listed.inputs.map((i) => i.name), [...model.inputs]);
        assert.deepEqual(listed.outputs.map((o) => o.name), [...model.outputs]);
        const shape = [1, draft.config.kvHeads, CAPACITY, draft.config.headSize];
        let [keys, values] = [0, 0].map(() => new Float32Array(sizeOf(shape)));
        for (const [i, feeds] of given.entries()) {
          const found = await model.run({
            ...feeds,
            keys: { data: keys, shape },
            values: { data: values, shape },
          });
          assert.deepEqual(Array.from(found.tokens), wanted[i].tokens);
          for (const key of ["log_probabilities", "regress"] as const) {
            const what = `${file}, call ${i + 1}: ${key}`;
            assertClose(found[key], wanted[i][key], {
              what,
              shape: [wanted[i][key].length],
              a: 1e-5,
            });
          }
          keys = Float32Array.from(found.new_keys);
          values = Float32Array.from(found.new_values);
        }
      }
      const readme = exportReadme(draft.config, { shared: SHARED, dtype: "F32", onnx: note });
      for (const { name } of [...note.models[0].inputs, ...note.models[0].outputs]) {
        assert.match(
          readme,
          new RegExp(`\\| \`${name}\` \\| \\w+ \\| \\[[\\d,]+\\] \\| \\w`),
          name,
        );
      }
    });
  }
}

Deno.test("sizes that do not fit the draft are refused", () => {
  const config = tinyDraftConfig();
  assert.deepEqual(onnxSizes(config), { rows: 16, capacity: TINY.positions, width: 10 });
  assert.equal(onnxSizes({ ...config, positions: 8192 }).capacity, 2048);
  assert.throws(() => onnxSizes(config, { rows: 96 }), /of 96 rows: wanted 1 to 95/);
  assert.throws(
    () => onnxSizes({ ...config, draftVocabulary: 8 }),
    /giving 10 tokens a row: wanted 1 to 8/,
  );
});
