"""Golden set of a draft for Qwen 2: grouped key heads, and biases of queries, keys and values, as published.

Writes the folder as its authors do (`qkv_bias` in config.json, no word of ours), with model.safetensors and once more
as pytorch_model.bin, and what the equations of griffin.md make of it: those of `export.py`, each projection with its bias.
Run: python tests/golden/make/qwen2_draft.py   (made with torch 2.15, safetensors 0.8)
"""
import json
import shutil

import torch
from safetensors.torch import save_file

from export import OWN, make

NAME, D, I, H, HK, K, V = "qwen2-draft", 24, 20, 4, 2, 16, 40
CONFIG = dict(
    architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_act="silu", hidden_size=D, intermediate_size=I,
    num_hidden_layers=1, num_attention_heads=H, num_key_value_heads=HK, head_dim=K, vocab_size=V, qkv_bias=True,
    max_position_embeddings=96, rms_norm_eps=1e-6, rope_theta=1000000.0,
)
ATTENTION, MLP = "layers.0.self_attn.", "layers.0.mlp."
SHAPES = {
    "embed_tokens.weight": (V, D),
    "fc.fc.weight": (D, 2 * D), "fc.fc.bias": (D,),
    "fc.mlp.input_layernorm.weight": (D,), "fc.post_attention_layernorm.weight": (D,),
    "fc.mlp.up_proj.weight": (I, 2 * D), "fc.mlp.down_proj.weight": (D, I),
    ATTENTION + "q_proj.weight": (H * K, D), ATTENTION + "q_proj.bias": (H * K,),
    ATTENTION + "k_proj.weight": (HK * K, D), ATTENTION + "k_proj.bias": (HK * K,),
    ATTENTION + "v_proj.weight": (HK * K, D), ATTENTION + "v_proj.bias": (HK * K,),
    ATTENTION + "o_proj.weight": (D, H * K),
    MLP + "gate_proj.weight": (I, D), MLP + "up_proj.weight": (I, D), MLP + "down_proj.weight": (2 * D, I),
    "layers.0.post_attention_layernorm.weight": (D,),
}


def values(name, shape):
    x = torch.randn(shape)
    if len(shape) == 2:
        return x * (0.5 if name.startswith("embed") else shape[1] ** -0.5)
    return 0.3 * x + (0.0 if name.endswith("bias") else 1.0)


torch.manual_seed(40)
weights = {name: values(name, shape).float() for name, shape in SHAPES.items()}
folder, binary = OWN / NAME, OWN / "torch" / NAME
for each in (folder, binary):
    each.mkdir(exist_ok=True)
(folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
shutil.copy(folder / "config.json", binary / "config.json")
save_file(weights, folder / "model.safetensors")
torch.save(weights, binary / "pytorch_model.bin")
make(NAME, 41, train=True)
