"""Golden sets of the families of targets: tiny random models of Hugging Face transformers, saved as they save them.

For each: config.json and model.safetensors by save_pretrained, and golden.safetensors with ids [T], logits [T, V] and
features [T, D] (what enters the LM head) of one forward, and the greedy continuation made with the cache, [N] ids.
Those as published: `published_families.py`. Run: python tests/golden/make/families.py   (made with transformers 5.24, torch 2.15)
"""
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM,
    Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
)

OWN = Path(__file__).parent.parent / "own" / "families"
SIZES = dict(
    hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=64, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False,
    bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
LLAMA3 = dict(
    rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=16,
)
FAMILIES = {
    "llama-2": (LlamaForCausalLM, LlamaConfig(**{**SIZES, "num_key_value_heads": 4})),
    "llama-3": (LlamaForCausalLM, LlamaConfig(**SIZES, rope_parameters=dict(rope_type="default", rope_theta=500000.0))),
    "llama-3.1": (LlamaForCausalLM, LlamaConfig(**SIZES, rope_parameters=LLAMA3)),
    "llama-3.2": (LlamaForCausalLM, LlamaConfig(**{**SIZES, "tie_word_embeddings": True}, head_dim=16, rope_parameters=LLAMA3)),
    "llama-linear": (LlamaForCausalLM, LlamaConfig(**SIZES, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0))),
    "llama-bias": (LlamaForCausalLM, LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True)),
    "mistral": (MistralForCausalLM, MistralConfig(**SIZES, head_dim=16, sliding_window=None)),
    "mixtral": (MixtralForCausalLM, MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**{**SIZES, "tie_word_embeddings": True})),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=16)),
}


@torch.no_grad()
def fill(model):
    """Random values: wide enough that argmax is no tie; norms and biases away from what they begin as."""
    for key, p in model.named_parameters():
        if p.ndim == 1:
            p.copy_((0.0 if key.endswith("bias") else 1.0) + 0.1 * torch.randn_like(p))
        else:
            p.copy_(torch.randn_like(p) * (0.5 if "embed" in key or "lm_head" in key else p.shape[-1] ** -0.5))


@torch.no_grad()
def store(name, model, length=24):
    """Writes the golden set of a model over `length` tokens; its text begins with 3/8 of them."""
    folder = OWN / name
    (folder / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(3, model.config.vocab_size, (1, length))
    out = model.model(ids)
    features = out.last_hidden_state
    logits = model.lm_head(features)
    prompt = ids[:, : length * 3 // 8]
    model.generation_config.eos_token_id = None
    text = model.generate(prompt, max_new_tokens=12, do_sample=False, use_cache=True, pad_token_id=0)
    text = text[0, prompt.shape[1] :]
    save_file({
        "ids": ids[0].int().contiguous(), "logits": logits[0].contiguous(), "features": features[0].contiguous(),
        "continuation": text.int().contiguous(),
    }, folder / "golden.safetensors")
    print(name, text.tolist())


def make(name, model_class, config):
    torch.manual_seed(len(name))
    model = model_class(config).eval()
    fill(model)
    model.save_pretrained(OWN / name)  # before the end token is taken away
    store(name, model)


if __name__ == "__main__":
    for name, (model_class, config) in FAMILIES.items():
        make(name, model_class, config)
