/** EAGLE-3's draft: its files, its vocabulary, and greedy decoding with it, which writes what plain decoding writes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { dynamicGrowth } from "../../lib/decode/growth.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { record } from "../../lib/eval/run.ts";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors.ts";
import { checkDraftConfig, type DraftConfig } from "../../lib/model/config.ts";
import { draftShapes } from "../../lib/model/draft.ts";
import { readDraft, writeDraft } from "../../lib/model/load.ts";
import { TINY, tinyDraft, tinyDraftConfig, tinyTarget } from "./tiny.ts";

const CHANGES = { fusion: "taps", head: "single", taps: [0, 1], draftVocabulary: 14 } as const;
const CONFIG = tinyDraftConfig(undefined, { ...CHANGES, target: "tiny-5" });

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a draft comes back with its vocabulary, under the published names", () =>
  inFolder(async (folder) => {
    const draft = tinyDraft(CONFIG);
    await writeDraft(folder, draft);
    const back = await readDraft(folder);
    assert.deepEqual(back, draft);
    using file = openSafetensors(join(folder, "model.safetensors"));
    // Published as offsets, and as a mask over the target's tokens.
    assert.deepEqual([...file.readInt("d2t")], Array.from(draft.tokens!, (t, i) => t - i));
    const known = file.readInt("t2d");
    assert.equal(known.length, CONFIG.vocabulary);
    assert.deepEqual([...known.keys()].filter((t) => known[t] === 1), [...draft.tokens!]);
  }));

Deno.test("a vocabulary that names a token twice, or none, is refused", () =>
  inFolder(async (folder) => {
    const draft = tinyDraft(CONFIG), path = join(folder, "model.safetensors");
    const shapes = draftShapes(CONFIG);
    for (const tokens of [[3, 3], [1, 24], [5, 4]]) {
      await writeDraft(folder, draft);
      const all = draft.tokens!.slice();
      all.set(tokens, tokens[1] === 24 ? all.length - 2 : 0);
      const tensors = Object.fromEntries(
        Object.entries(shapes).map(([n, shape]) => [n, { shape, data: draft.parameters[n] }]),
      );
      const d2t = { shape: [all.length], data: all.map((t, i) => t - i) };
      await writeSafetensors(path, { ...tensors, d2t });
      await assert.rejects(
        readDraft(folder),
        /d2t has target token \d+ at \d+.*, wanted rising ones below 24/,
      );
    }
  }));

Deno.test("a residual that is normalised stays so in the files, under its published name", () =>
  inFolder(async (folder) => {
    const draft = tinyDraft({ ...CONFIG, normedResidual: true });
    await writeDraft(folder, draft);
    assert.deepEqual(await readDraft(folder), draft);
    const json = JSON.parse(await Deno.readTextFile(join(folder, "config.json")));
    assert.equal(json.norm_before_residual, true);
  }));

Deno.test("greedy text is plain decoding's, whatever the draft vocabulary", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  for (const draftVocabulary of [3, 14, 24]) {
    const target = tinyTarget(backend, { seed: 5 });
    const growth = dynamicGrowth({ depth: 3, width: 3, budget: 9 });
    const config = { ...CONFIG, draftVocabulary }, prompt = Int32Array.of(3, 1, 4, 1, 5);
    using decoder = new TargetDecoder(target, { backend, taps: config.taps });
    const settings = { backend, target, growth, bits: 32 as const };
    using drafter = new TreeDrafter(tinyDraft(config), settings);
    const plain = await record(generate(decoder, prompt, { maxTokens: 30 }));
    const fast = await record(speculate(decoder, prompt, { drafter, maxTokens: 30 }));
    assert.deepEqual(fast.tokens, plain.tokens);
    using other = new TargetDecoder(target, { backend });
    await assert.rejects(
      record(speculate(other, prompt, { drafter })),
      /the draft reads layers \[0,1\], this target decoder taps \[\]/,
    );
  }
});

Deno.test("parts that do not go together are refused with the reason", () => {
  const refused: [Partial<DraftConfig>, RegExp][] = [
    [{ head: "dual" }, /fusion taps has one output, wanted head single/],
    [{ taps: [] }, /taps are \[\], wanted numbers of layers/],
    [{ taps: [0.5] }, /taps are \[0.5\]/],
    [{ draftVocabulary: 25 }, /draft_vocab_size is 25, wanted 1 to 24/],
    [{ draftVocabulary: undefined }, /draft_vocab_size is undefined/],
    [
      { fusion: "tgf", taps: undefined, draftVocabulary: undefined, normedResidual: true },
      /fusion tgf reads/,
    ],
    [{ fusion: "tgf" }, /fusion tgf reads the last layer/],
  ];
  for (const [changes, message] of refused) {
    assert.throws(() => checkDraftConfig({ ...CONFIG, ...changes }), message);
  }
  checkDraftConfig(CONFIG);
  checkDraftConfig(tinyDraftConfig(TINY, { fusion: "fspad" }));
});
