/** Tests lib/train/initial.ts: what a draft begins as, and which vocabularies it takes. */
import assert from "node:assert/strict";
import { draftShapes } from "../../lib/model/draft.ts";
import { initialDraft } from "../../lib/train/initial.ts";
import { tinyDraftConfig } from "../model/tiny.ts";

const TAPS = tinyDraftConfig(undefined, {
  fusion: "taps",
  head: "single",
  taps: [0, 1],
  draftVocabulary: 5,
});
const TOKENS = Int32Array.of(1, 3, 4, 10, 23);

const deviation = (values: Float32Array) =>
  Math.sqrt(values.reduce((s, x) => s + x * x, 0) / values.length);

Deno.test("matrices keep the size of what passes through them, those before a residual add little", () => {
  for (const fusion of ["tgf", "fspad", "linear", "taps"] as const) {
    const config = fusion === "taps" ? TAPS : tinyDraftConfig(undefined, { fusion });
    const tokens = fusion === "taps" ? TOKENS : undefined;
    const { parameters } = initialDraft(config, { seed: 3, tokens });
    const shapes = Object.entries(draftShapes(config));
    assert.deepEqual(Object.keys(parameters), shapes.map(([name]) => name));
    for (const [name, shape] of shapes) {
      const values = parameters[name];
      assert.equal(values.length, shape.reduce((a, b) => a * b, 1), name);
      if (shape.length === 1) {
        const wanted = name.endsWith("bias") ? 0 : 1;
        assert.ok(values.every((x) => x === wanted), `${name} is not ${wanted}`);
        continue;
      }
      const closing = /(down|o)_proj/.test(name), wanted = closing ? 0.02 : shape[1] ** -0.5;
      assert.ok(Math.abs(deviation(values) / wanted - 1) < 0.15, `${fusion}: ${name}`);
    }
  }
});

Deno.test("a closing matrix that is wide enough has the deviation of the others", () => {
  const config = tinyDraftConfig(undefined, { inner: 4096 });
  const { parameters } = initialDraft(config, { seed: 3 });
  assert.ok(Math.abs(deviation(parameters["layers.0.mlp.down_proj.weight"]) * 64 - 1) < 0.02);
});

Deno.test("each matrix has its own numbers, and no more depends on the design than must", () => {
  const all = initialDraft(tinyDraftConfig(), { seed: 3 }).parameters;
  const q = "layers.0.self_attn.q_proj.weight", v = "layers.0.self_attn.v_proj.weight";
  assert.notDeepEqual(all[q].slice(0, 64), all[v].slice(0, 64));
  const linear = initialDraft(tinyDraftConfig(undefined, { fusion: "linear" }), { seed: 3 });
  assert.deepEqual(linear.parameters[q], all[q]);
});

Deno.test("a draft vocabulary is kept, and refused where its size is another", () => {
  assert.equal(initialDraft(TAPS, { seed: 1, tokens: TOKENS }).tokens, TOKENS);
  assert.ok(!("tokens" in initialDraft(tinyDraftConfig(), { seed: 1 })));
  const begin = (tokens?: Int32Array, config = TAPS) => () =>
    initialDraft(config, { seed: 1, tokens });
  assert.throws(begin(), /vocabulary of no tokens: wanted 5/);
  assert.throws(begin(TOKENS.slice(1)), /vocabulary of 4 tokens: wanted 5/);
  assert.throws(begin(TOKENS, tinyDraftConfig()), /vocabulary of 5 tokens: wanted none of its own/);
});
