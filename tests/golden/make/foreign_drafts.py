"""Drafts as other programs store them, and their logits, from the equations alone (griffin.md sections 2 and 9).

Run: python tests/golden/make/foreign_drafts.py   (made with torch 2.15, safetensors 0.8)
Each folder of `own/foreign` holds what a published draft holds, under its names and in its types; `NAME.results`
holds ids, features and the logits of each row. float64 throughout; weights are what their 16 bits hold.
"""
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
ROOM = Path(__file__).parent.parent / "own" / "foreign"
T, D, I, H, HK, K, V, VD, EPS, THETA, L = 6, 24, 20, 4, 2, 8, 40, 18, 1e-5, 500.0, 8
silu = torch.nn.functional.silu
LLAMA = {
    "hidden_act": "silu", "hidden_size": D, "intermediate_size": I, "num_hidden_layers": 1, "num_attention_heads": H,
    "num_key_value_heads": HK, "head_dim": K, "vocab_size": V, "max_position_embeddings": 96, "rms_norm_eps": EPS,
    "rope_theta": THETA, "initializer_range": 0.02, "model_type": "llama",
}


class Weights(dict):
    """Random weights by name, made when first asked for, as `dtype` holds them."""

    def __init__(self, dtype, biased):
        self.dtype, self.biased = dtype, biased  # biased: queries, keys and values have a bias

    def ask(self, name, *shape):
        if name not in self:
            x = torch.randn(*shape) * 0.1 + 1 if "norm" in name else torch.randn(*shape) * 1.5 * shape[-1] ** -0.5
            self[name] = x.to(self.dtype)
        return self[name].double()


def rms(x, weight):
    return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * weight


def rotate(x):
    """x [heads, T, K]: halves turned by position * theta^(-2i/K)."""
    angle = torch.outer(torch.arange(T).double(), THETA ** (-2.0 * torch.arange(K // 2) / K))
    a, b = x[..., : K // 2], x[..., K // 2 :]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def attend(w, at, x):
    """Causal attention over rows x [T, n D] to [T, D]."""
    wide = x.shape[-1]
    through = lambda name, n: x @ w.ask(f"{at}self_attn.{name}_proj.weight", n * K, wide).T + (
        w.ask(f"{at}self_attn.{name}_proj.bias", n * K) if w.biased else 0)
    split = lambda name, n: through(name, n).view(T, n, K).transpose(0, 1)
    q, k, v = rotate(split("q", H)), rotate(split("k", HK)), split("v", HK)
    k, v = k.repeat_interleave(H // HK, 0), v.repeat_interleave(H // HK, 0)
    scores = (q @ k.mT / K**0.5).masked_fill(torch.ones(T, T).triu(1).bool(), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(0, 1).reshape(T, H * K) @ w.ask(f"{at}self_attn.o_proj.weight", D, H * K).T


def mlp(w, at, a, out):
    u = rms(a, w.ask(f"{at}post_attention_layernorm.weight", D))
    gated = silu(u @ w.ask(f"{at}mlp.gate_proj.weight", I, D).T) * (u @ w.ask(f"{at}mlp.up_proj.weight", I, D).T)
    return gated @ w.ask(f"{at}mlp.down_proj.weight", out, I).T


def fuse(w, design, fc, e, f):
    h = torch.cat([e, f], -1) @ w.ask(f"{fc}weight", D, 2 * D).T
    if design != "eagle without bias":
        h = h + w.ask(f"{fc}bias", D)
    if design == "fspad":
        gated = silu(e @ w.ask("fc.mlp.gate_proj.weight", I, D).T) * (h @ w.ask("fc.mlp.up_proj.weight", I, D).T)
        return h + gated @ w.ask("fc.mlp.down_proj.weight", D, I).T
    if design == "griffin":
        u, inner = rms(h, w.ask("fc.post_attention_layernorm.weight", D)), w.ask("fc.mlp.input_layernorm.weight", D)
        z = torch.cat([rms(u, inner), rms(e, inner)], -1) @ w.ask("fc.mlp.up_proj.weight", I, 2 * D).T
        return h + silu(z) @ w.ask("fc.mlp.down_proj.weight", D, I).T
    return h


def last_layer(w, design, fc, at, e, f):
    """Predict of a draft that reads the last layer."""
    dual = design in ("griffin", "fspad")
    o = fuse(w, design, fc, e, f)
    a = o + attend(w, at, o)
    return a + mlp(w, at, a, 2 * D if dual else D)[:, :D]


def three_layers(w, at, e, tapped, normed):
    """Normalised result of EAGLE-3's draft; `normed`: the residual is the normalised feature."""
    g = tapped @ w.ask("fc.weight", D, 3 * D).T
    n = rms(g, w.ask(f"{at}hidden_norm.weight", D))
    a = (n if normed else g) + attend(w, at, torch.cat([rms(e, w.ask(f"{at}input_layernorm.weight", D)), n], -1))
    return rms(a + mlp(w, at, a, D), w.ask("norm.weight", D))


def make(name, seed, config, dtype, torch_file=False, design=None, fc="fc.", at="layers.0.", normed=False, embeds=True,
         biased=False):
    torch.manual_seed(seed)
    w = Weights(dtype, biased)
    embedding = (torch.randn(V, D) * 0.5).to(dtype)
    ids, e3 = torch.randint(0, V, (1, T)), design is None
    features = torch.randn(T, 3 * D if e3 else D).float().double()
    store = {"ids": ids.int(), "features": features[None]}
    e = embedding.double()[ids[0]]
    if e3:
        w["lm_head.weight"] = (torch.randn(VD, D) * 0.3).to(dtype)
        tokens = torch.sort(torch.randperm(V)[:VD]).values
        w["d2t"] = tokens - torch.arange(VD)
        w["t2d"] = torch.zeros(V, dtype=torch.bool)
        w["t2d"][tokens] = True
        logits = three_layers(w, at, e, features, normed) @ w["lm_head.weight"].double().T
        store["tokens"] = tokens.int()
    else:
        head = (torch.randn(V, D) * 0.3).float().double()
        store["lm_head.weight"] = head
        logits = last_layer(w, design, fc, at, e, features) @ head.T
    store |= {"embed_tokens.weight": embedding.double(), "logits": logits[None]}
    if embeds:
        w["embed_tokens.weight"] = embedding
    folder = ROOM / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    if torch_file:
        torch.save(dict(w), folder / "pytorch_model.bin")
    else:
        save_file(dict(w), folder / "model.safetensors")
    save_file({n: x.float() if x.is_floating_point() else x for n, x in store.items()}, ROOM / f"{name}.results.safetensors")


shutil.rmtree(ROOM, ignore_errors=True)
llama = LLAMA | {"architectures": ["LlamaForCausalLM"]}
make("eagle", 1, llama | {"bias": False}, torch.float16, torch_file=True, design="eagle without bias")
make("hass", 2, llama, torch.float32, design="eagle")
make("fspad", 3, llama, torch.float16, torch_file=True, design="fspad", fc="fc.fc.")
make("griffin", 4, llama, torch.bfloat16, torch_file=True, design="griffin", fc="fc.fc.")
eagle3 = LLAMA | {"draft_vocab_size": VD}
make("eagle3", 5, eagle3, torch.float16, torch_file=True, at="midlayer.")
layers = {"eagle_config": {"eagle_aux_hidden_state_layer_ids": [1, L // 2 - 1, L - 4]}}
make("specforge", 6, eagle3 | layers | {"architectures": ["LlamaForCausalLMEagle3"]}, torch.bfloat16, at="midlayer.")
speculators = {"transformer_layer_config": LLAMA, "speculators_config": {"verifier": {"architectures": ["LlamaForCausalLM"]}}}
make("speculators-eagle", 7, speculators | {"speculators_model_type": "eagle", "layernorms": False, "fusion_bias": True},
     torch.bfloat16, design="eagle", fc="fusion_fc.", at="transformer.", embeds=False)
speculators3 = speculators | {"speculators_model_type": "eagle3", "draft_vocab_size": VD,
                              "eagle_aux_hidden_state_layer_ids": [2, L // 2, L - 3]}
make("speculators-eagle3", 8, speculators3 | {"norm_before_residual": False}, torch.bfloat16)
make("speculators-normed", 9, speculators3 | {"norm_before_residual": True}, torch.bfloat16, normed=True)
# For targets with biases (Qwen 2): its configuration tells of them, or does not.
make("eagle-biased", 10, llama, torch.float16, torch_file=True, design="eagle", biased=True)
make("fspad-biased", 11, llama, torch.float32, design="fspad", fc="fc.fc.", biased=True)
make("griffin-biased", 12, LLAMA | {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "qkv_bias": True},
     torch.bfloat16, torch_file=True, design="griffin", fc="fc.fc.", biased=True)
make("speculators-eagle-biased", 13, speculators | {"speculators_model_type": "eagle", "layernorms": False, "fusion_bias": True},
     torch.bfloat16, design="eagle", fc="fusion_fc.", at="transformer.", embeds=False, biased=True)
print(sum(f.stat().st_size for f in ROOM.rglob("*") if f.is_file()), "bytes")
