"""Golden set of EAGLE-3's training step, written from the equations alone (griffin.md section 9; Li et al. 2025).

float64 throughout, stored as f32. Run: python tests/golden/make/eagle3.py   (made with torch 2.15, numpy 2.4)
Seven passes, grouped key heads, a draft vocabulary, padding; every logit, mask, loss and gradient.
"""
from pathlib import Path

import torch
from safetensors.torch import save_file

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)
B, T, D, I, H, HK, K, V, VD, TAPS, PASSES, DECAY, EPS = 2, 10, 32, 24, 4, 2, 8, 48, 28, 3, 7, 0.8, 1e-6


def f32(*shape, scale=1.0):
    """Random values that f32 holds exactly."""
    return (torch.randn(*shape) * scale).float().double()


shapes = {
    "fc.weight": (D, TAPS * D),
    "midlayer.hidden_norm.weight": (D,),
    "midlayer.input_layernorm.weight": (D,),
    "midlayer.self_attn.q_proj.weight": (H * K, 2 * D),
    "midlayer.self_attn.k_proj.weight": (HK * K, 2 * D),
    "midlayer.self_attn.v_proj.weight": (HK * K, 2 * D),
    "midlayer.self_attn.o_proj.weight": (D, H * K),
    "midlayer.post_attention_layernorm.weight": (D,),
    "midlayer.mlp.gate_proj.weight": (I, D),
    "midlayer.mlp.up_proj.weight": (I, D),
    "midlayer.mlp.down_proj.weight": (D, I),
    "norm.weight": (D,),
    "lm_head.weight": (VD, D),
}
w = {}
for name, shape in shapes.items():
    value = f32(*shape, scale=0.1) + 1 if len(shape) == 1 else f32(*shape, scale=1.5 * shape[1] ** -0.5)
    w[name] = value.float().double().requires_grad_()

embedding, head = f32(V, D, scale=0.5), f32(V, D, scale=0.3)
tokens = torch.sort(torch.randperm(V)[:VD]).values  # the target's id of each draft token
known = torch.zeros(V, dtype=torch.bool)
known[tokens] = True
features, tapped = f32(B, T, D), f32(B, T, TAPS * D)
text = torch.randint(0, V, (B, T + 1))
lengths = [T, T - 3]  # the second example is padded
ids = torch.zeros(B, T, dtype=torch.long)
loss_mask = torch.zeros(B, T)
for b, n in enumerate(lengths):
    ids[b, : n - 1] = text[b, 1:n]
    loss_mask[b, 2 : n - 1] = 1


def rms(x, weight):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * weight


def rotate(x, positions):
    """x [B, heads, T, K]: halves turned by position * 10000^(-2i/K)."""
    angle = positions[:, None] * 10000.0 ** (-2.0 * torch.arange(K // 2) / K)
    a, b = x[..., : K // 2], x[..., K // 2 :]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def up(x):
    """Rows moved up by one, zeros at the end."""
    return torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], 1)


def split(x, heads):
    return x.view(B, T, heads, K).transpose(1, 2)


A = "midlayer.self_attn."
target_logits = up(features) @ head.T  # row t: what the target says after x_{t+1}
g = tapped @ w["fc.weight"].T
keys, values, out, total = [], [], {}, 0
rows_ids, rows_mask = ids, loss_mask
causal = torch.ones(T, T).tril().bool()
for i in range(PASSES):
    e = embedding[rows_ids]
    both = torch.cat([rms(e, w["midlayer.input_layernorm.weight"]), rms(g, w["midlayer.hidden_norm.weight"])], -1)
    place = torch.arange(T, dtype=torch.float64) + i
    q = rotate(split(both @ w[A + "q_proj.weight"].T, H), place)
    keys.append(rotate(split(both @ w[A + "k_proj.weight"].T, HK), place).repeat_interleave(H // HK, 1))
    values.append(split(both @ w[A + "v_proj.weight"].T, HK).repeat_interleave(H // HK, 1))
    scores = (q @ keys[0].transpose(-1, -2) / K**0.5).masked_fill(~causal, float("-inf"))
    own = [(q * k).sum(-1, keepdim=True) / K**0.5 for k in keys[1:]]
    share = torch.softmax(torch.cat([scores, *own], -1), -1)
    context = share[..., :T] @ values[0]
    for j, v in enumerate(values[1:]):
        context = context + share[..., T + j : T + j + 1] * v
    a = g + context.transpose(1, 2).reshape(B, T, H * K) @ w[A + "o_proj.weight"].T
    u = rms(a, w["midlayer.post_attention_layernorm.weight"])
    inner = torch.nn.functional.silu(u @ w["midlayer.mlp.gate_proj.weight"].T) * (u @ w["midlayer.mlp.up_proj.weight"].T)
    g = a + inner @ w["midlayer.mlp.down_proj.weight"].T
    logits = rms(g, w["norm.weight"]) @ w["lm_head.weight"].T
    p = torch.softmax(target_logits[..., tokens], -1)
    mask = rows_mask * known[target_logits.argmax(-1)]
    loss = (-(p * torch.log_softmax(logits, -1)).sum(-1) * mask).sum() / (mask.sum() + 1e-5)
    total = total + DECAY**i * loss
    out |= {f"pass{i + 1}.logits": logits, f"pass{i + 1}.mask": mask, f"pass{i + 1}.loss": loss.reshape(1)}
    rows_ids, rows_mask, target_logits = up(rows_ids), up(rows_mask), up(target_logits)
total.backward()

inputs = {"input_ids": ids, "loss_mask": loss_mask, "features": features, "tapped": tapped,
          "embed_tokens.weight": embedding, "target.lm_head.weight": head,
          "d2t": tokens - torch.arange(VD), "t2d": known, "total": total.reshape(1)}
grads = {f"grad.{name}": value.grad for name, value in w.items()}
store = {k: v.detach().float().contiguous() if v.is_floating_point() else v.contiguous()
         for k, v in (inputs | w | out | grads).items()}
meta = {"inner": str(I), "heads": str(H), "kv_heads": str(HK), "head_size": str(K), "passes": str(PASSES),
        "decay": str(DECAY), "epsilon": str(EPS), "theta": "10000"}
path = Path(__file__).parent.parent / "own" / "eagle3.safetensors"
save_file(store, path, metadata=meta)
kept = [int(out[f"pass{i + 1}.mask"].sum()) for i in range(PASSES)]
print(path, path.stat().st_size, "bytes; total loss", float(total), "rows kept", kept)
