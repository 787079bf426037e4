"""PyTorch's side of `deno task bench training --vs`: the plain LLaMA stack and the GRIFFIN step of several passes.

Reads one JSON object a line, answers with one: {"op": "open", "kind", "sizes", "inputs"} loads tensors from a
safetensors file, {"op": "step"} makes one training step and says its milliseconds and loss, {"op": "save", "path",
"names"} writes trained tensors. Written the way PyTorch users write it (eager, fused AdamW, scaled dot product
attention), with nothing computed twice that our step computes once. Not part of the project's code: it is the peer.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

TINY = 1e-5


def rotate(x, cos, sin):
    """Rotary positions, half-split layout. x [B,H,T,K], tables [T,K]."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def tables(length, head_size, theta):
    angle = torch.outer(
        torch.arange(length, dtype=torch.float64),
        theta ** (-torch.arange(0, head_size, 2, dtype=torch.float64) / head_size),
    )
    angle = torch.cat((angle, angle), -1)
    return angle.cos().float(), angle.sin().float()


class Stack:
    """LLaMA layers and an LM head under soft-label cross entropy."""

    def __init__(self, sizes, t):
        self.sizes, self.ids, self.target = sizes, t["ids"].long(), t["target"]
        self.embedding = t["embedding"]
        self.names = [n for n in t if n not in ("ids", "target", "embedding", "schedule") and not n.startswith(("first.", "second."))]
        self.weights = {n: t[n].clone().requires_grad_() for n in self.names}
        self.cos, self.sin = tables(sizes["length"], sizes["width"] // sizes["heads"], 10000.0)

    def loss(self):
        s, w = self.sizes, self.weights
        b, t, d, h = s["batch"], s["length"], s["width"], s["heads"]
        x = F.embedding(self.ids, self.embedding)
        for i in range(s["layers"]):
            u = F.rms_norm(x, (d,), w[f"{i}.norm1"], 1e-5)
            q, k, v = (F.linear(u, w[f"{i}.{n}"]).view(b, t, h, d // h).transpose(1, 2) for n in "qkv")
            q, k = rotate(q, self.cos, self.sin), rotate(k, self.cos, self.sin)
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, d)
            x = x + F.linear(o, w[f"{i}.o"])
            z = F.rms_norm(x, (d,), w[f"{i}.norm2"], 1e-5)
            x = x + F.linear(F.silu(F.linear(z, w[f"{i}.gate"])) * F.linear(z, w[f"{i}.up"]), w[f"{i}.down"])
        logits = F.linear(F.rms_norm(x, (d,), w["norm"], 1e-5), w["head"]).view(b * t, -1)
        return F.cross_entropy(logits, self.target)

    def clip(self):
        pass


class Griffin:
    """The draft (fusion tgf, dual head) trained for several passes: griffin.md sections 2 and 4, paper mask."""

    def __init__(self, sizes, t):
        self.sizes = sizes
        self.ids, self.mask = t["ids"].long(), t["mask"]
        self.noisy, self.features = t["noisy"], t["features"]
        self.embedding, self.head = t["embed_tokens.weight"], t["lm_head.weight"]
        frozen = ("ids", "mask", "noisy", "features", "embed_tokens.weight", "lm_head.weight", "schedule")
        self.names = [n for n in t if n not in frozen and not n.startswith(("first.", "second."))]
        self.weights = {n: t[n].clone().requires_grad_() for n in self.names}
        self.cos, self.sin = tables(sizes["length"], sizes["headSize"], sizes["ropeTheta"])
        length = sizes["length"]
        back = torch.arange(length)[:, None] - torch.arange(length)[None, :]
        self.hidden = [torch.where(back >= p, 0.0, float("-inf")) for p in range(sizes["passes"])]

    def linear(self, x, name):
        return F.linear(x, self.weights[name])

    def norm(self, x, name):
        return F.rms_norm(x, (self.sizes["width"],), self.weights[name], self.sizes["epsilon"])

    def fuse(self, e, f):
        h = F.linear(torch.cat((e, f), -1), self.weights["fc.fc.weight"], self.weights["fc.fc.bias"])
        u = self.norm(h, "fc.post_attention_layernorm.weight")
        inner = "fc.mlp.input_layernorm.weight"
        z = self.linear(torch.cat((self.norm(u, inner), self.norm(e, inner)), -1), "fc.mlp.up_proj.weight")
        return h + self.linear(F.silu(z), "fc.mlp.down_proj.weight")

    def attend(self, q, streams):
        """Row r takes column c from stream P-1-(r-c) while that is at least 1, otherwise from stream 0."""
        last = len(streams) - 1
        if last == 0:
            return F.scaled_dot_product_attention(q, *streams[0], is_causal=True)
        scale, length = q.shape[-1] ** -0.5, q.shape[-2]
        scores = [torch.matmul(q, streams[0][0].transpose(-1, -2)) * scale + self.hidden[last]]
        down = [[F.pad(x[:, :, : length - i], (0, 0, i, 0)) for x in streams[last - i]] for i in range(last)]
        for i, (k, _) in enumerate(down):
            dot = (q * k).sum(-1, keepdim=True) * scale
            if i > 0:
                dot = torch.cat((torch.full_like(dot[:, :, :i], float("-inf")), dot[:, :, i:]), 2)
            scores.append(dot)
        share = torch.cat(scores, -1).softmax(-1)
        context = torch.matmul(share[..., :length], streams[0][1])
        for i, (_, v) in enumerate(down):
            context = context + share[..., length + i : length + i + 1] * v
        return context

    def loss(self):
        s, recipe = self.sizes, self.sizes["recipe"]
        weight = recipe["weights"]
        b, t, d, h, k = s["batch"], s["length"], s["width"], s["heads"], s["headSize"]
        up = lambda x: torch.cat((x[:, 1:], torch.zeros_like(x[:, :1])), 1)
        e, goal, label = F.embedding(self.ids, self.embedding), up(self.features), up(self.ids)
        with torch.no_grad():
            p = F.linear(goal, self.head).softmax(-1)
            top_p, top_ids = p.topk(10, -1)
        average = lambda rows, mask: (rows * mask).sum() / (mask.sum() + TINY)
        stream, streams, hits, total, metrics = self.noisy, [], [], 0.0, []
        for index in range(s["passes"]):
            o = self.fuse(e, stream)
            q, key, v = (
                self.linear(o, f"layers.0.self_attn.{n}_proj.weight").view(b, t, h, k).transpose(1, 2) for n in "qkv"
            )
            q, key = rotate(q, self.cos, self.sin), rotate(key, self.cos, self.sin)
            streams.append((key, v))
            context = self.attend(q, streams).transpose(1, 2).reshape(b, t, d)
            a = o + self.linear(context, "layers.0.self_attn.o_proj.weight")
            u = self.norm(a, "layers.0.post_attention_layernorm.weight")
            gated = F.silu(self.linear(u, "layers.0.mlp.gate_proj.weight")) * self.linear(u, "layers.0.mlp.up_proj.weight")
            more_p, more_r = self.linear(gated, "layers.0.mlp.down_proj.weight").chunk(2, -1)
            predict, regress = a + more_p, a + more_r

            mask = self.mask
            for j, hit in enumerate(hits):  # paper, eq. 3; rows before the sequence count as hit
                by = len(hits) - j
                mask = mask * torch.cat((torch.ones_like(hit[:, :by]), hit[:, : t - by]), 1)
            logits = F.linear(predict, self.head)
            log_q = logits.log_softmax(-1)
            feature = average(F.smooth_l1_loss(regress, goal, reduction="none").mean(-1), mask)
            token = average(-(p * log_q).sum(-1), mask)
            top = average(-(top_p * log_q.gather(-1, top_ids)).sum(-1), mask)
            total = total + weight["feature"] * feature + weight["token"] * token
            if s["passes"] > 1:
                total = total + weight["topK"] * top
            with torch.no_grad():
                rank = (logits > logits.gather(-1, label[..., None])).sum(-1)
                hit = (rank < recipe["alignK"]).float()
                metrics += [feature, token, top, average(1 - hit, self.mask), mask.sum() / (self.mask.sum() + TINY)]
                metrics += [average((rank < n).float(), self.mask) for n in (1, 3, 10)]
            hits.append(hit)
            stream = torch.cat((self.noisy[:, :1], regress.detach()[:, : t - 1]), 1)
        return total

    def clip(self):
        weights = list(self.weights.values())
        self.norm_of_gradient = torch.nn.utils.get_total_norm([w.grad for w in weights])
        torch.nn.utils.clip_grad_value_(weights, self.sizes["recipe"]["clip"])


class Job:
    def __init__(self, kind, sizes, path):
        tensors = load_file(path)
        self.model = {"stack": Stack, "griffin": Griffin}[kind](sizes, tensors)
        weights = self.model.weights
        recipe = sizes["recipe"]
        self.optimizer = torch.optim.AdamW(
            weights.values(),
            lr=float(tensors["schedule"][0]),
            betas=(recipe["beta1"], recipe["beta2"]),
            eps=recipe["epsilon"],
            weight_decay=recipe["weightDecay"],
            fused=True,
        )
        for name, w in weights.items():  # moments as given; the next step is the first
            self.optimizer.state[w] = {
                "step": torch.tensor(0.0),
                "exp_avg": tensors[f"first.{name}"].clone(),
                "exp_avg_sq": tensors[f"second.{name}"].clone(),
            }

    def step(self):
        before = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.loss()
        loss.backward()
        self.model.clip()
        self.optimizer.step()
        value = loss.item()
        return {"ms": (time.perf_counter() - before) * 1000, "loss": value}

    def save(self, path, names):
        save_file({n: self.model.weights[n].detach().contiguous() for n in names}, path)
        return {}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints must not mix with answers
    say = lambda value: print(json.dumps(value), file=answers, flush=True)
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
    say({"name": f"PyTorch {torch.__version__}", "threads": torch.get_num_threads()})
    jobs = {}
    for line in sys.stdin:
        request = json.loads(line)
        op, job = request["op"], request.get("job")
        try:
            if op == "open":
                jobs[job] = Job(request["kind"], request["sizes"], request["inputs"])
                say({})
            elif op == "close":
                jobs.pop(job)
                say({})
            elif op == "step":
                say(jobs[job].step())
            elif op == "save":
                say(jobs[job].save(request["path"], request["names"]))
            else:
                raise ValueError(f"unknown request {op}")
        except Exception as error:  # one answer a request, come what may
            say({"error": f"{type(error).__name__}: {error}"})


main()
