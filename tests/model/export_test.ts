/** Exported folders: every name and value of each design, types, what is refused, what the README says. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import { draftShapes } from "../../lib/model/draft.ts";
import {
  EXPORT_TYPES,
  exportDraft,
  readShared,
  type SharedMatrices,
} from "../../lib/model/export.ts";
import { type Draft, readDraft } from "../../lib/model/load.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyWeights } from "./tiny.ts";

const WEIGHTS = tinyWeights(TINY);
const SHARED: SharedMatrices = {
  folder: "tiny",
  config: TINY,
  identity: "tiny-1",
  embedding: WEIGHTS["model.embed_tokens.weight"],
  head: WEIGHTS["lm_head.weight"],
};

/** A folder that goes away; exports go into `out` in it. */
async function temporary(): Promise<{ path: string; out: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  return {
    path,
    out: join(path, "out"),
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

const DESIGNS: [string, Partial<DraftConfig>][] = [
  ["GRIFFIN", { fusion: "tgf", head: "dual" }],
  ["GRIFFIN", { fusion: "tgf", head: "dual", qkvBias: true }],
  ["FSPAD", { fusion: "fspad", head: "dual" }],
  ["EAGLE-2", { fusion: "linear", head: "single" }],
  ["EAGLE-3", { fusion: "taps", head: "single", taps: [0, 1], draftVocabulary: 10 }],
];

for (const [name, changes] of DESIGNS) {
  const biased = changes.qkvBias ? ", with biases," : "";
  Deno.test(`${name}'s export${biased} holds its parameters, the embedding and nothing else`, async () => {
    await using folder = await temporary();
    const draft = tinyDraft(tinyDraftConfig(undefined, changes));
    await exportDraft(folder.out, { draft, shared: SHARED });
    using file = openSafetensors(join(folder.out, "model.safetensors"));
    const shapes = draftShapes(draft.config);
    const own = draft.tokens === undefined ? [] : ["d2t", "t2d"];
    assert.deepEqual(
      file.names.toSorted(),
      ["embed_tokens.weight", ...Object.keys(shapes), ...own].sort(),
    );
    assert.deepEqual(file.readFloat32("embed_tokens.weight"), SHARED.embedding);
    assert.deepEqual(file.info("embed_tokens.weight").shape, [TINY.vocabulary, TINY.width]);
    for (const [n, shape] of Object.entries(shapes)) {
      assert.deepEqual(file.info(n).shape, shape);
      assert.deepEqual(file.readFloat32(n), draft.parameters[n]);
    }
    const target = { ...SHARED };
    const read = await readDraft(folder.out, { target });
    assert.deepEqual(read.config, { ...draft.config, target: "tiny-1" });
    assert.deepEqual(read.tokens, draft.tokens);
    const readme = await Deno.readTextFile(join(folder.out, "README.md"));
    assert.match(readme, /`tiny-1`/);
    assert.ok(readme.includes(name), "the README names the design");
    assert.equal(readme.includes("rename these two"), name === "EAGLE-2");
  });
}

Deno.test("types: numbers are rounded once, and a value beyond f16 is named", async () => {
  await using folder = await temporary();
  const draft = tinyDraft(), steps = { f32: 0, f16: 2 ** -11, bf16: 2 ** -8 };
  for (const [name, dtype] of Object.entries(EXPORT_TYPES)) {
    await exportDraft(folder.out, { draft, shared: SHARED, dtype });
    using file = openSafetensors(join(folder.out, "model.safetensors"));
    for (const n of file.names) {
      assert.equal(file.info(n).dtype, dtype);
      const wanted = draft.parameters[n] ?? SHARED.embedding, found = file.readFloat32(n);
      const step = steps[name as keyof typeof steps];
      const smallest = dtype === "F16" ? 2 ** -25 : 0; // half of its smallest step
      found.forEach((x, i) =>
        assert.ok(Math.abs(x - wanted[i]) <= step * Math.abs(wanted[i]) + smallest)
      );
    }
  }
  const bias = draft.parameters["fc.fc.bias"].slice();
  bias[3] = -7e4;
  const large: Draft = { ...draft, parameters: { ...draft.parameters, "fc.fc.bias": bias } };
  await exportDraft(folder.out, { draft: large, shared: SHARED, dtype: "BF16" });
  await assert.rejects(
    exportDraft(folder.out, { draft: large, shared: SHARED, dtype: "F16" }),
    /Cannot export fc.fc.bias as F16: element 3 is -70000, wanted at most 65504, or another type/,
  );
  bias[3] = NaN;
  await assert.rejects(
    exportDraft(folder.out, { draft: large, shared: SHARED }),
    /element 3 is NaN, wanted a finite number/,
  );
  // What was refused has not touched the export before it.
  using file = openSafetensors(join(folder.out, "model.safetensors"));
  assert.equal(file.info("fc.fc.bias").dtype, "BF16");
});

Deno.test("an export replaces an export, and no other folder", async () => {
  await using folder = await temporary();
  const draft = tinyDraft(), run = () => exportDraft(folder.out, { draft, shared: SHARED });
  await Deno.mkdir(folder.out);
  await run(); // into an empty folder
  await run();
  await assert.rejects(
    exportDraft(folder.out, { draft, shared: SHARED, sources: [folder.out] }),
    /it is what is exported, wanted another folder/,
  );
  await Deno.writeTextFile(join(folder.out, "notes.txt"), "mine");
  await assert.rejects(run(), /it holds notes.txt, wanted a new or empty folder/);
  await Deno.remove(join(folder.out, "notes.txt"));
  await Deno.remove(join(folder.out, "README.md")); // as a draft in training looks
  await assert.rejects(run(), /it holds config.json, model.safetensors and no README.md/);
});

Deno.test("a draft of another width is not exported with this target", async () => {
  await using folder = await temporary();
  const draft = tinyDraft(tinyDraftConfig({ ...TINY, width: 16 }));
  await assert.rejects(
    exportDraft(folder.out, { draft, shared: SHARED }),
    /its width is 16, the target's 32/,
  );
});

Deno.test("of the shipped target, embedding and head are read alone", async () => {
  const folder = join(import.meta.dirname!, "../../data/target");
  const { embedding, head, identity, config } = await readShared(folder);
  assert.equal(embedding.length, config.vocabulary * config.width);
  assert.equal(head === embedding, config.tied);
  assert.match(identity, /^[0-9a-f]{16}$/);
});
