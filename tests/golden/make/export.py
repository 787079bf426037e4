"""Golden sets of exported drafts: an implementation of the draft in PyTorch, from its equations alone.

Reads the folders that `deno run -A tests/golden/make/exported_drafts.ts` exported (config.json, model.safetensors;
griffin.md section 2), runs the draft over whole sequences and, for FSPAD, one pass of training (section 4: 1.0
feature + 0.1 token). float64 throughout, stored as f32.
Run: python tests/golden/make/export.py   (made with torch 2.15, safetensors 0.8)
"""
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

torch.set_default_dtype(torch.float64)
OWN = Path(__file__).parent.parent / "own"
B, T = 2, 7


class Draft:
    """One decoder layer between a fusion and a split head."""

    def __init__(self, folder):
        c = json.loads((folder / "config.json").read_text())
        own = c.get("griffin", {})
        self.fusion, self.dual = own.get("fusion", "tgf"), own.get("head", "dual") == "dual"
        self.d, self.k = c["hidden_size"], c["head_dim"]
        self.h, self.hk = c["num_attention_heads"], c["num_key_value_heads"]
        self.eps, self.theta, self.v = c["rms_norm_eps"], c["rope_theta"], c["vocab_size"]
        weights = {n: x.double() for n, x in load_file(folder / "model.safetensors").items()}
        self.embedding = weights.pop("embed_tokens.weight")
        self.w = {n: x.requires_grad_() for n, x in weights.items()}

    def times(self, x, name):
        return x @ self.w[name].T

    def norm(self, x, name):
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.w[name]

    def fuse(self, e, f):
        h = self.times(torch.cat([e, f], -1), "fc.fc.weight") + self.w["fc.fc.bias"]
        if self.fusion == "tgf":
            u = self.norm(h, "fc.post_attention_layernorm.weight")
            inner = "fc.mlp.input_layernorm.weight"
            z = self.times(torch.cat([self.norm(u, inner), self.norm(e, inner)], -1), "fc.mlp.up_proj.weight")
            return h + self.times(torch.nn.functional.silu(z), "fc.mlp.down_proj.weight")
        assert self.fusion == "fspad"
        gate = torch.nn.functional.silu(self.times(e, "fc.mlp.gate_proj.weight"))
        return h + self.times(gate * self.times(h, "fc.mlp.up_proj.weight"), "fc.mlp.down_proj.weight")

    def rotate(self, x):
        """x [B, heads, T, K]: the pair (i, i + K/2) as a complex number, times exp(i t theta^(-2i/K))."""
        half = self.k // 2
        speed = self.theta ** (-torch.arange(half) * 2.0 / self.k)
        turn = torch.exp(1j * torch.outer(torch.arange(x.shape[2]).double(), speed))
        z = torch.complex(x[..., :half], x[..., half:]) * turn
        return torch.cat([z.real, z.imag], -1)

    def attend(self, o):
        b, t, _ = o.shape
        at = "layers.0.self_attn."
        through = lambda name: self.times(o, f"{at}{name}_proj.weight") + self.w.get(f"{at}{name}_proj.bias", 0)
        heads = lambda name, n: through(name).view(b, t, n, self.k).transpose(1, 2)
        q, k, v = self.rotate(heads("q", self.h)), self.rotate(heads("k", self.hk)), heads("v", self.hk)
        group = self.h // self.hk  # query head i reads key head i // group
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        future = torch.ones(t, t).triu(1).bool()
        scores = (q @ k.mT / self.k**0.5).masked_fill(future, float("-inf"))
        context = (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, self.h * self.k)
        return o + self.times(context, "layers.0.self_attn.o_proj.weight")

    def __call__(self, ids, features):
        a = self.attend(self.fuse(self.embedding[ids], features))
        u = self.norm(a, "layers.0.post_attention_layernorm.weight")
        part = lambda name, x: self.times(x, f"layers.0.mlp.{name}_proj.weight")
        y = part("down", torch.nn.functional.silu(part("gate", u)) * part("up", u))
        assert self.dual and y.shape[-1] == 2 * self.d
        return a + y[..., : self.d], a + y[..., self.d :]


def up(x):
    """Rows moved up by one, zeros at the end."""
    return torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], 1)


def smooth_l1(x, y):
    """0.5 d^2 where |d| < 1, otherwise |d| - 0.5; mean over the width."""
    d = (x - y).abs()
    return torch.where(d < 1, 0.5 * d * d, d - 0.5).mean(-1)


def make(name, seed, train):
    draft = Draft(OWN / name)
    torch.manual_seed(seed)
    exact = lambda x: x.float().double()
    head, features = exact(torch.randn(draft.v, draft.d) * 0.3), exact(torch.randn(B, T, draft.d))
    ids = torch.randint(0, draft.v, (B, T))
    mask = torch.ones(B, T)
    mask[:, -1] = 0
    mask[0, :2] = 0  # a prompt
    mask[1, -3:] = 0  # padding
    predict, regress = draft(ids, features)
    log_q = torch.log_softmax(predict @ head.T, -1)
    store = {"ids": ids, "features": features, "mask": mask, "lm_head.weight": head,
             "predict": predict, "regress": regress, "log_probabilities": log_q}
    if train:
        goal = up(features)
        p = torch.softmax(goal @ head.T, -1)
        mean = lambda rows: (rows * mask).sum() / (mask.sum() + 1e-5)
        feature, token = mean(smooth_l1(regress, goal)), mean(-(p * log_q).sum(-1))
        (1.0 * feature + 0.1 * token).backward()
        store |= {"feature_loss": feature.reshape(1), "token_loss": token.reshape(1)}
        store |= {f"grad.{n}": x.grad for n, x in draft.w.items()}
    path = OWN / f"{name}.results.safetensors"
    save_file({n: (x.detach().float() if x.is_floating_point() else x).contiguous() for n, x in store.items()}, path)
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    make("export-griffin", 31, train=False)
    make("export-fspad", 32, train=True)
