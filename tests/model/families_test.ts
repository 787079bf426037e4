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
  assert.deepEqual(traits("Qwen3ForCausalLM", { attention_bias: false }), { qkNorm: true });
  assert.deepEqual(traits("MixtralForCausalLM", { num_local_experts: 8, num_experts_per_tok: 2 }), {
    experts: { count: 8, chosen: 2 },
  });
});

Deno.test("windows slide in the layers that the file says", () => {
  const four = { num_hidden_layers: 4 }, used = { ...four, use_sliding_window: true };
  const windowOf = (name: string, json: Record<string, unknown>) =>
    traits(`${name}ForCausalLM`, json).window;
  const all = { size: 4096, layers: [0, 1, 2, 3] };
  assert.deepEqual(windowOf("Mistral", { ...four, sliding_window: 4096 }), all);
  assert.deepEqual(windowOf("Mistral", four), all, "transformers' default");
  assert.equal(windowOf("Mistral", { ...four, sliding_window: null }), undefined);
  const experts = { num_local_experts: 8, num_experts_per_tok: 2 };
  assert.equal(windowOf("Mixtral", { ...four, ...experts }), undefined);
  assert.deepEqual(windowOf("Mixtral", { ...four, ...experts, sliding_window: 4096 }), all);
  for (const name of ["Qwen2", "Qwen3"]) {
    assert.equal(windowOf(name, { ...four, sliding_window: 64 }), undefined, "not said to be used");
    const sizes = { ...used, sliding_window: 64 };
    assert.deepEqual(windowOf(name, { ...sizes, max_window_layers: 3 }), { size: 64, layers: [3] });
    assert.equal(windowOf(name, sizes), undefined, "28 layers go before it where nothing is said");
    const [full, sliding] = ["full_attention", "sliding_attention"];
    const layer_types = [sliding, full, full, sliding];
    assert.deepEqual(windowOf(name, { ...sizes, layer_types }), { size: 64, layers: [0, 3] });
    assert.throws(
      () => windowOf(name, { ...sizes, layer_types: [full, "chunked_attention"] }),
      /layer_types are 2, one is chunked_attention; wanted full_attention or sliding_attention for/,
    );
  }
  assert.throws(
    () => windowOf("Mistral", { ...four, sliding_window: -1 }),
    /sliding_window is -1, wanted a positive integer/,
  );
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
