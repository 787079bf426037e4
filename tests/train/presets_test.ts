/**
 * Published methods: each preset trains on a tiny target and drafts for it without changing its text, and has
 * as many parameters as its paper says.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import type { TokenizedText } from "../../lib/data/features.ts";
import { onlineExamples } from "../../lib/data/online.ts";
import { DraftDecoder } from "../../lib/decode/draft.ts";
import { generate, speculate } from "../../lib/decode/generate.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { record } from "../../lib/eval/run.ts";
import { checkDraftConfig, type DraftConfig } from "../../lib/model/config.ts";
import { countParameters } from "../../lib/model/draft.ts";
import type { Draft, Target } from "../../lib/model/load.ts";
import { random } from "../../lib/random.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { eagle3Taps, type Preset, type PresetName, PRESETS } from "../../lib/train/presets.ts";
import { checkRecipe, DEFAULT_RECIPE, type Recipe } from "../../lib/train/recipe.ts";
import { train } from "../../lib/train/train.ts";
import { frequentTokens } from "../../lib/train/vocabulary.ts";
import { TINY, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";

const NAMES = Object.keys(PRESETS) as PresetName[];

const TEXTS = [40, 50, 33, 61].map((length, i): TokenizedText => {
  const from = random(6, "text", i), ids = Int32Array.from({ length });
  for (let t = 0; t < length; t++) ids[t] = from.integer(TINY.vocabulary);
  return { id: `t${i}`, ids, mask: Uint8Array.from(ids, (_, t) => t < 4 ? 0 : 1) };
});

const STORED = { count: TEXTS.length, readText: (i: number) => TEXTS[i] };

/** The tiny target has two layers; EAGLE-3's own choice needs four. */
function configOf({ fusion, head }: Preset): DraftConfig {
  const own = fusion === "taps" && { taps: [0, 1], draftVocabulary: 13 };
  return tinyDraftConfig(TINY, { fusion, head, target: "tiny-1", ...own });
}

function recipeOf({ recipe, steps }: Preset): Recipe {
  const sizes = { epochs: 1, rows: 128, maxLength: 64, warmup: 1, schedule: "constant" } as const;
  return { ...DEFAULT_RECIPE, ...recipe, ...sizes, passes: steps[steps.length - 1] };
}

/** A draft trained for two updates; one that moved, and whose losses are numbers. */
async function trained(
  preset: Preset,
  { target, backend }: { target: Target; backend: Backend },
): Promise<Draft> {
  const config = configOf(preset), { taps, draftVocabulary: size, vocabulary } = config;
  checkDraftConfig(config);
  const tokens = size === undefined ? undefined : frequentTokens(STORED, { size, vocabulary });
  const start = initialDraft(config, { seed: 2, tokens }), folder = await Deno.makeTempDir();
  using examples = onlineExamples(TEXTS, { target, backend, taps });
  try {
    const recipe = recipeOf(preset),
      run = train(start, {
        backend,
        target,
        examples,
        recipe,
        folder,
      });
    for (let updates = 0;;) {
      const { done, value } = await run.next();
      if (done) {
        assert.equal(updates, 2);
        for (const [name, values] of Object.entries(value.parameters)) {
          assert.ok(values.every(Number.isFinite), name);
          assert.ok(values.some((x, i) => x !== start.parameters[name][i]), `${name} never moved`);
        }
        return value;
      }
      if (value.type !== "step") continue;
      updates++;
      assert.equal(value.passes.length, recipe.passes);
      assert.ok(value.loss > 0 && value.gradientNorm > 0, `loss ${value.loss}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const name of NAMES) {
  Deno.test(`${name} trains, and its draft writes the target's own text`, async () => {
    using backend = await openOnnxBackend();
    const target = tinyTarget(backend), { taps } = configOf(PRESETS[name]);
    const draft = await trained(PRESETS[name], { target, backend });
    using decoder = new TargetDecoder(target, { backend, taps });
    using drafter = new DraftDecoder(draft, { backend, target, width: 4 });
    const tree = { depth: 4, width: 4, budget: 16 };
    for (const { ids } of TEXTS.slice(0, 2)) {
      const prompt = ids.slice(0, 9), maxTokens = 30;
      const wanted = await record(generate(decoder, prompt, { maxTokens }));
      const found = await record(speculate(decoder, prompt, { maxTokens, draft: drafter, tree }));
      assert.deepEqual(found.tokens, wanted.tokens);
      assert.equal(found.tokens.length, maxTokens);
      assert.ok(found.rounds.every((r) => r.drafted > 0));
    }
  });
}

Deno.test("a target decoder that does not tap what the draft reads is refused", async () => {
  using backend = await openOnnxBackend();
  const target = tinyTarget(backend), config = configOf(PRESETS.eagle3);
  const tokens = Int32Array.from({ length: 13 }, (_, i) => i);
  const draft = initialDraft(config, { seed: 2, tokens });
  using drafter = new DraftDecoder(draft, { backend, target, width: 2 });
  const tree = { depth: 2, width: 2, budget: 4 };
  for (const [taps, found] of [[[], ""], [[1, 0], "1,0"]] as const) {
    using decoder = new TargetDecoder(target, { backend, taps });
    const run = () => record(speculate(decoder, TEXTS[0].ids, { draft: drafter, tree }));
    await assert.rejects(
      run,
      new RegExp(`the draft reads layers \\[0,1\\], this target decoder taps \\[${found}\\]`),
    );
  }
});

Deno.test("every preset's recipe goes with its draft, in each of its steps", () => {
  for (const name of NAMES) {
    const preset: Preset = PRESETS[name];
    for (const passes of preset.steps) {
      checkRecipe({ ...recipeOf(preset), passes }, configOf(preset));
    }
  }
});

Deno.test("EAGLE-3 taps the layers 2, L/2 and L-3, of targets that have them", () => {
  assert.deepEqual(eagle3Taps({ layers: 32 }), [2, 16, 29]);
  assert.deepEqual(eagle3Taps({ layers: 9 }), [2, 4, 6]);
  assert.throws(() => eagle3Taps({ layers: 3 }), /target with 3: wanted 4 or more/);
});

/** LLaMA-2 and LLaMA-3 targets. */
const SIZES = {
  "7B": { width: 4096, inner: 11008, heads: 32, kvHeads: 32, vocabulary: 32000 },
  "8B": { width: 4096, inner: 14336, heads: 32, kvHeads: 8, vocabulary: 128256 },
  "13B": { width: 5120, inner: 13824, heads: 40, kvHeads: 40, vocabulary: 32000 },
  "70B": { width: 8192, inner: 28672, heads: 64, kvHeads: 8, vocabulary: 32000 },
};

/** Trained parameters in billions, as published. */
const PUBLISHED: Partial<Record<PresetName, Partial<Record<keyof typeof SIZES, number>>>> = {
  griffin: { "7B": 0.41, "13B": 0.65 },
  eagle2: { "7B": 0.24, "8B": 0.25, "13B": 0.37, "70B": 0.99 },
  hass: { "7B": 0.24, "8B": 0.25, "13B": 0.37, "70B": 0.99 },
  fspad: { "7B": 0.42 },
};

/**
 * Where the published number does not follow from the published equations at the target's sizes: ours. With
 * grouped keys GRIFFIN's paper has 0.42 (8B) and 2.07 (70B) for its own draft, 0.43 and 2.09 for FSPAD's, and
 * 0.67 for FSPAD's at 13B, though both designs have matrices of the same sizes.
 */
const FROM_EQUATIONS: typeof PUBLISHED = {
  griffin: { "8B": 0.4866, "70B": 1.9294 },
  fspad: { "8B": 0.4866, "13B": 0.6527, "70B": 1.9294 },
};

function parametersOf(name: string, size: string): number {
  const { fusion, head } = PRESETS[name as PresetName], sizes = SIZES[size as keyof typeof SIZES];
  const common = { positions: 4096, epsilon: 1e-5, ropeTheta: 1e4, headSize: 128 };
  return countParameters({ ...sizes, ...common, fusion, head }) / 1e9;
}

Deno.test("drafts for LLaMA targets have as many parameters as their papers say, or as their equations", () => {
  // Some published numbers are rounded, some are cut.
  for (const [table, allowed] of [[PUBLISHED, 0.012], [FROM_EQUATIONS, 1e-4]] as const) {
    for (const [name, row] of Object.entries(table)) {
      for (const [size, wanted] of Object.entries(row)) {
        const found = parametersOf(name, size);
        assert.ok(Math.abs(found - wanted) < allowed, `${name} ${size}: ${found} not ${wanted}`);
      }
    }
  }
});
