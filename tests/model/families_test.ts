/** The table of families: what each reads from `config.json`, and what is refused. */
import assert from "node:assert/strict";
import { familyOf } from "../../lib/model/families.ts";

const traits = (architecture: string, json: Record<string, unknown>) =>
  familyOf(architecture, "config.json").traits(json as never, "config.json");

Deno.test("a family differs from LLaMA in what its file says", () => {
  assert.deepEqual(traits("LlamaForCausalLM", {}), {});
  assert.deepEqual(traits("LlamaForCausalLM", { attention_bias: true, mlp_bias: true }), {
    ...{ qkvBias: true, outBias: true, mlpBias: true },
  });
  assert.deepEqual(traits("Qwen2ForCausalLM", { sliding_window: 4096 }), { qkvBias: true });
  assert.deepEqual(
    traits("Qwen2ForCausalLM", { sliding_window: 4096, use_sliding_window: true }),
    { qkvBias: true, window: 4096 },
  );
  assert.deepEqual(traits("Qwen3ForCausalLM", { attention_bias: false }), { qkNorm: true });
  assert.deepEqual(traits("MistralForCausalLM", { sliding_window: 4096 }), { window: 4096 });
  assert.deepEqual(traits("MistralForCausalLM", { sliding_window: null }), {});
  assert.deepEqual(traits("MixtralForCausalLM", { num_local_experts: 8, num_experts_per_tok: 2 }), {
    experts: { count: 8, chosen: 2 },
  });
});

Deno.test("an unknown architecture and missing numbers are one clear error", () => {
  assert.throws(
    () => familyOf("GPT2LMHeadModel", "x/config.json"),
    /x\/config\.json: architecture is GPT2LMHeadModel, wanted LlamaForCausalLM, Mistral/,
  );
  assert.throws(() => familyOf(undefined, "c"), /architecture is not given/);
  assert.throws(
    () => traits("MixtralForCausalLM", { num_local_experts: 8 }),
    /num_experts_per_tok is undefined, wanted a positive integer/,
  );
});
