"""Golden sets of families as their authors publish them: config.json in the published form, matrices in 16 bits.

Each config.json is written here with the documented keys of a family and small sizes; transformers reads the folder as
it would read a published one, and what it computes in f32 is stored as `families.py` describes. Contexts of those with
a window are longer than it. Run: python tests/golden/make/published_families.py   (made with transformers 5.24, torch 2.15)
"""
import json

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from families import OWN, fill, store

LLAMA = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", hidden_size=32, intermediate_size=48,
    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, vocab_size=64, max_position_embeddings=128,
    rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, torch_dtype="float16",
)
LLAMA3 = {
    **LLAMA, "num_key_value_heads": 2, "rope_theta": 500000.0, "attention_bias": False, "mlp_bias": False,
    "torch_dtype": "bfloat16", "eos_token_id": [2, 3, 4],
    "rope_scaling": dict(
        factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16, rope_type="llama3",
    ),
}
QWEN2 = dict(
    architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_act="silu", hidden_size=32, intermediate_size=48,
    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=64, max_position_embeddings=128,
    max_window_layers=1, rms_norm_eps=1e-6, rope_theta=1000000.0, sliding_window=16, tie_word_embeddings=False,
    use_sliding_window=False, bos_token_id=1, eos_token_id=2, torch_dtype="bfloat16",
)
QWEN3 = {
    **QWEN2, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 16, "attention_bias": False,
    "num_hidden_layers": 3,
}
MISTRAL = {
    **QWEN2, "architectures": ["MistralForCausalLM"], "model_type": "mistral", "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5, "head_dim": 16,
}
for key in ("use_sliding_window", "max_window_layers"):
    del MISTRAL[key]
YARN = dict(factor=4.0, original_max_position_embeddings=32)
LONG = dict(short_factor=[1.0, 1.1, 1.3, 2.0], long_factor=[2.0, 3.0, 5.0, 9.0], original_max_position_embeddings=64)
PUBLISHED = {
    "vicuna-1.5": {**LLAMA, "pad_token_id": 0},
    "vicuna-1.5-16k": {**LLAMA, "pad_token_id": 0, "rope_scaling": dict(factor=4.0, type="linear")},
    # Five heads of eight: what 40 heads are to a width of 5120.
    "llama-2-13b": {**LLAMA, "hidden_size": 40, "intermediate_size": 108, "num_attention_heads": 5, "num_key_value_heads": 5,
                    "num_hidden_layers": 3, "rope_scaling": None},
    "llama-3.1-8b": {**LLAMA3, "rope_scaling": {**LLAMA3["rope_scaling"], "factor": 8.0}},
    "llama-3.2-1b": {**LLAMA3, "head_dim": 8, "tie_word_embeddings": True},
    "tinyllama": {**LLAMA, "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 1, "intermediate_size": 88,
                  "rope_scaling": None, "rope_theta": 10000.0, "attention_bias": False, "torch_dtype": "bfloat16"},
    "smollm2": {**LLAMA, "hidden_size": 72, "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 96,
                "rope_interleaved": False, "rope_scaling": None, "rope_theta": 100000, "tie_word_embeddings": True,
                "torch_dtype": "bfloat16"},
    "qwen2.5-yarn": {**QWEN2, "rope_scaling": dict(**YARN, type="yarn")},
    "llama-yarn-mscale": {**LLAMA, "rope_scaling": dict(
        **YARN, rope_type="yarn", beta_fast=16, beta_slow=2, mscale=1.2, mscale_all_dim=0.7, truncate=False)},
    "llama-dynamic": {**LLAMA, "rope_scaling": dict(type="dynamic", factor=2.0)},
    "llama-longrope": {**LLAMA, "rope_scaling": dict(**LONG, rope_type="longrope")},
    "mistral-window": MISTRAL,
    "mixtral-window": {**MISTRAL, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_local_experts": 3,
                       "num_experts_per_tok": 2},
    "qwen2-window": {**QWEN2, "use_sliding_window": True},
    "qwen3-window": {**QWEN3, "use_sliding_window": True,
                     "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
}

if __name__ == "__main__":
    for name, config in PUBLISHED.items():
        folder = OWN / name
        folder.mkdir(exist_ok=True)
        dtype = getattr(torch, config["torch_dtype"])
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        torch.manual_seed(sum(map(ord, name)))
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
        fill(model)
        model.to(dtype).save_pretrained(folder)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")  # transformers wrote its own form
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        store(name, model, 88 if name.endswith("window") else 24)
