/** A fresh draft: a function of its seed, of sizes that keep what passes through, with the vocabulary it needs. */
import assert from "node:assert/strict";
import { initialDraft } from "../../lib/train/initial.ts";
import { tinyDraftConfig } from "../model/tiny.ts";

const CONFIG = tinyDraftConfig(undefined, { target: "tiny-1" });

Deno.test("a draft vocabulary is asked for exactly where the design has one", () => {
  const taps = { fusion: "taps", head: "single", taps: [0, 1], draftVocabulary: 3 } as const;
  const own = tinyDraftConfig(undefined, taps), tokens = Int32Array.of(2, 5, 9);
  assert.equal(initialDraft(own, { seed: 1, tokens }).tokens, tokens);
  assert.throws(() => initialDraft(own, { seed: 1 }), /vocabulary of no tokens: wanted 3/);
  assert.throws(
    () => initialDraft(CONFIG, { seed: 1, tokens }),
    /vocabulary of 3 tokens: wanted none of its own/,
  );
});

Deno.test("a fresh draft is a function of its seed; norms are 1, biases 0", () => {
  const { parameters } = initialDraft(CONFIG, { seed: 3 });
  assert.deepEqual(parameters, initialDraft(CONFIG, { seed: 3 }).parameters);
  assert.notDeepEqual(parameters, initialDraft(CONFIG, { seed: 4 }).parameters);
  assert.ok(parameters["fc.mlp.input_layernorm.weight"].every((x) => x === 1));
  assert.ok(parameters["fc.fc.bias"].every((x) => x === 0));
  const deviation = (name: string) =>
    Math.sqrt(parameters[name].reduce((s, x) => s + x * x, 0) / parameters[name].length);
  assert.ok(Math.abs(deviation("layers.0.self_attn.q_proj.weight") * Math.sqrt(32) - 1) < 0.1);
  assert.ok(deviation("layers.0.mlp.down_proj.weight") < 0.021);
});
