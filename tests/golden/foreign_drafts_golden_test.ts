/**
 * Drafts as other programs store them, converted: their logits are those that PyTorch computed from the originals,
 * by the equations alone (`make/foreign_drafts.py`), and their weights the originals bit by bit.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Backend, Params } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import type { HostArray, Shape } from "../../lib/graph/node.ts";
import { input } from "../../lib/graph/ops.ts";
import { program } from "../../lib/graph/program.ts";
import { openSafetensors } from "../../lib/io/safetensors.ts";
import { examine, type Finding, openChecked } from "../../lib/model/checkup.ts";
import { checkValues } from "../../lib/model/checkup_values.ts";
import type { DraftConfig } from "../../lib/model/config.ts";
import { convertDraft } from "../../lib/model/convert_draft.ts";
import { draftShapes, featureWidth } from "../../lib/model/draft.ts";
import { DRAFT_FORMATS, foreignName, type FormatName } from "../../lib/model/draft_formats.ts";
import { DRAFT_TOKENS } from "../../lib/model/eagle3.ts";
import { linear } from "../../lib/model/llama.ts";
import { type Draft, readDraft } from "../../lib/model/load.ts";
import { batchInputs } from "../../lib/train/passes.ts";
import { PRESETS } from "../../lib/train/presets.ts";
import { DEFAULT_RECIPE } from "../../lib/train/recipe.ts";
import { inputParts, passesOf } from "../../lib/train/step.ts";
import { relative } from "./sets.ts";

const ROOM = join(import.meta.dirname!, "own", "foreign"), LAYERS = 8;
/** Folders, and the format that each is in. */
const FOLDERS: Record<string, FormatName> = {
  eagle: "eagle",
  hass: "eagle",
  fspad: "fspad",
  griffin: "griffin",
  eagle3: "eagle3",
  specforge: "specForge",
  "speculators-eagle": "speculatorsEagle",
  "speculators-eagle3": "speculatorsEagle3",
  "speculators-normed": "speculatorsEagle3",
  "eagle-biased": "eagle",
  "fspad-biased": "fspad",
  "griffin-biased": "griffin",
  "speculators-eagle-biased": "speculatorsEagle",
};

/** Converts a golden's folder into `out`. */
async function converted(name: string, out: string): Promise<FormatName | undefined> {
  const opened = await openChecked(join(ROOM, name));
  using source = opened.source;
  const checkup = examine(opened, { layers: LAYERS });
  const findings: Finding[] = [...checkup.findings];
  for (const event of checkValues(source, checkup)) findings.push(...event.findings);
  assert.deepEqual(findings.filter((f) => f.level !== "note"), [], name);
  await convertDraft(out, { source, checkup, findings });
  return checkup.format;
}

/** Logits [T, V or Vd] of a draft on a golden's rows. */
async function logitsOf(
  { config, parameters, tokens }: Draft,
  { name, backend }: { name: string; backend: Backend },
): Promise<{ found: ArrayLike<number>; wanted: Float32Array }> {
  using set = openSafetensors(join(ROOM, `${name}.results.safetensors`));
  const shapes = draftShapes(config),
    parts = inputParts(config),
    [batch, length] = set.info("ids").shape;
  const preset = config.fusion === "taps" ? PRESETS.eagle3.recipe : {};
  const recipe = { ...DEFAULT_RECIPE, ...preset, passes: 1 };
  const [{ predict }] = passesOf(parts, batchInputs({ batch, length }, { config }), recipe);
  const { vocabulary, width, draftVocabulary } = config;
  const head = input("lm_head.weight", [draftVocabulary ?? vocabulary, width]);
  const whole = program({ logits: linear(predict, head) }),
    table = [vocabulary, width],
    lead = [batch, length];
  const given: Record<string, [HostArray, Shape]> = {
    ids: [set.readInt("ids"), lead],
    noisy: [set.readFloat32("features"), [...lead, featureWidth(config)]],
    "embed_tokens.weight": [set.readFloat32("embed_tokens.weight"), table],
    ...Object.fromEntries(
      Object.entries(shapes).map(([n, shape]) => [n, [parameters[n], shape] as [HostArray, Shape]]),
    ),
    ...(tokens === undefined
      ? { "lm_head.weight": [set.readFloat32("lm_head.weight"), table] }
      : { [DRAFT_TOKENS]: [tokens, [tokens.length]] }),
  };
  const inputs: Params = {};
  for (const n of Object.keys(whole.inputs)) inputs[n] = backend.tensor(...given[n]);
  using run = await backend.compile(whole);
  return { found: (await run.run(inputs)).logits.host!, wanted: set.readFloat32("logits") };
}

for (const [name, format] of Object.entries(FOLDERS)) {
  Deno.test(`${name}: converted, it computes what it did, with the same bits`, async () => {
    const folder = await Deno.makeTempDir(), out = join(folder, "draft");
    try {
      assert.equal(await converted(name, out), format);
      const draft = await readDraft(out);
      for (const backend of [referenceBackend(), await openOnnxBackend({ threads: 1 })]) {
        using used = backend;
        const { found, wanted } = await logitsOf(draft, { name, backend: used });
        assert.equal(found.length, wanted.length);
        assert.ok(relative(found, wanted) <= 1e-5, `${relative(found, wanted)}`);
      }
      const { source } = await openChecked(join(ROOM, name));
      using original = source, ours = openSafetensors(join(out, "model.safetensors"));
      for (const own of Object.keys(draftShapes(draft.config))) {
        const theirs = foreignName(format, own);
        if (!original.has(theirs)) continue;
        assert.equal(ours.info(own).dtype, original.info(theirs).dtype, own);
        assert.deepEqual(ours.readFloat32(own), original.readFloat32(theirs), own);
      }
      using set = openSafetensors(join(ROOM, `${name}.results.safetensors`));
      if (draft.tokens !== undefined) assert.deepEqual(draft.tokens, set.readInt("tokens"));
      assert.equal(
        draft.config.taps?.join(),
        DRAFT_FORMATS[format].fusion === "taps" ? "2,4,5" : undefined,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/** A part of a design, and the golden that has it. */
const PARTS: [name: string, what: string, part: Partial<DraftConfig>][] = [
  ["speculators-normed", "a residual that is not normalised is seen", { normedResidual: true }],
  ...Object.keys(FOLDERS).filter((name) => name.endsWith("-biased")).map((
    name,
  ): typeof PARTS[number] => [name, "biases left out are seen", { qkvBias: true }]),
];

for (const [name, what, part] of PARTS) {
  Deno.test(`${name}: the golden tells designs apart: ${what}`, async () => {
    const folder = await Deno.makeTempDir(), out = join(folder, "draft");
    try {
      await converted(name, out);
      const draft = await readDraft(out), [[key, value]] = Object.entries(part);
      assert.equal(draft.config[key as keyof DraftConfig], value);
      const plain = { ...draft, config: { ...draft.config, [key]: undefined } };
      using backend = referenceBackend();
      const { found, wanted } = await logitsOf(plain, { name, backend });
      assert.ok(relative(found, wanted) > 0.01, `${relative(found, wanted)}`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("a published draft of GRIFFIN with biases loads as it is, and is what the doctor makes of it", async () => {
  const folder = await Deno.makeTempDir(), out = join(folder, "draft"), name = "griffin-biased";
  try {
    await converted(name, out);
    const draft = await readDraft(join(ROOM, name));
    assert.equal(draft.config.qkvBias, true);
    assert.deepEqual(draft.parameters, (await readDraft(out)).parameters);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
