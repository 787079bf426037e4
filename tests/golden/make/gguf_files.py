"""Golden GGUF files: the families' tiny models as GGUF, and blocks of every type that is read, with their values.

Reads the folders that `make/families.py` saved. Queries and keys of LLaMA are stored as pairs of rows that are rotated
together, as the format has them; transformers, which reads GGUF on its own, gives the golden logits again where it
knows all settings (of scaled angles, biases and head sizes of their own it does not).
Run: python tests/golden/make/gguf_files.py   (made with gguf 0.19, transformers 5.24, torch 2.15)
"""
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType as Q, GGUFWriter, quants
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

OWN = Path(__file__).parent.parent / "own"
ROOM = OWN / "gguf"
LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def theirs(name):
    stem, ending = name.rsplit(".", 1)
    if stem in TOP:
        return f"{TOP[stem]}.{ending}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{LAYER[part]}.{ending}"


def paired(x, heads):
    """Row (head, half, i) goes to (head, i, half)."""
    size = x.shape[0] // heads
    order = [h * size + half * (size // 2) + i for h in range(heads) for i in range(size // 2) for half in (0, 1)]
    return x[order]


def write(family, arch, kind, path):
    """A family's model as a GGUF file, its matrices of the given type; config as the format's settings."""
    folder = OWN / "families" / family
    c, weights = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
    rope = c["rope_parameters"]
    w = GGUFWriter(path, arch)
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_key_length(c["head_dim"] if c.get("head_dim") else c["hidden_size"] // heads)
    w.add_value_length(c["head_dim"] if c.get("head_dim") else c["hidden_size"] // heads)
    w.add_rope_dimension_count(c["head_dim"] if c.get("head_dim") else c["hidden_size"] // heads)
    w.add_rope_freq_base(rope["rope_theta"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_vocab_size(c["vocab_size"])
    w.add_bos_token_id(c["bos_token_id"])
    w.add_eos_token_id(c["eos_token_id"])
    w.add_token_list([f"<{i}>" for i in range(c["vocab_size"])])  # an array, which readers must step over
    if rope["rope_type"] == "linear":
        w.add_string(f"{arch}.rope.scaling.type", "linear")
        w.add_float32(f"{arch}.rope.scaling.factor", rope["factor"])
    for name, x in weights.items():
        if arch == "llama" and ".self_attn.q_proj" in name:
            x = paired(x, heads)
        if arch == "llama" and ".self_attn.k_proj" in name:
            x = paired(x, kv)
        x = x.numpy()
        if x.ndim == 1:
            w.add_tensor(theirs(name), x)
        else:
            fits = kind != Q.Q8_0 or x.shape[-1] % 32 == 0
            stored = kind if fits else Q.F16  # as converters do where blocks do not fit
            w.add_tensor(theirs(name), quants.quantize(x, stored), raw_dtype=stored)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def logits_of(path, family):
    """What transformers, reading the file, computes on the family's golden ids."""
    shutil.copy(OWN / "families" / family / "config.json", path.parent / "config.json")
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    (path.parent / "config.json").unlink()
    ids = load_file(OWN / "families" / family / "golden.safetensors")["ids"].long()
    with torch.no_grad():
        return model(ids.reshape(1, -1)).logits[0]


def angles(name, positions, size=64, theta=500000.0, factor=8.0, low=1.0, high=4.0):
    """A header without layers, and the factors that LLaMA 3.1's angles of a head of `size` are divided by."""
    wave = 2 * np.pi * theta ** (np.arange(0, size, 2) / size)
    kept = np.clip((positions / wave - low) / (high - low), 0, 1)
    w = GGUFWriter(ROOM / f"{name}.gguf", "llama")
    w.add_context_length(131072)
    w.add_embedding_length(2 * size)
    w.add_block_count(1)
    w.add_feed_forward_length(8)
    w.add_head_count(2)
    w.add_key_length(size)
    w.add_rope_freq_base(theta)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tensor("rope_freqs.weight", (1 / (kept + (1 - kept) / factor)).astype(np.float32))
    w.add_tensor("token_embd.weight", np.zeros((4, 2 * size), np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    shutil.rmtree(ROOM, ignore_errors=True)
    ROOM.mkdir()
    for family, arch, kind in [
        ("llama-3", "llama", Q.F32), ("llama-linear", "llama", Q.F16), ("llama-bias", "llama", Q.F32),
        ("qwen2", "qwen2", Q.F32), ("qwen3", "qwen3", Q.F32), ("llama-2", "llama", Q.Q8_0),
    ]:
        path = ROOM / f"{family}.gguf"
        write(family, arch, kind, path)
        if family not in ("llama-3", "qwen2", "llama-2"):
            continue
        wanted = load_file(OWN / "families" / family / "golden.safetensors")["logits"]
        found = logits_of(path, family)
        if kind == Q.Q8_0:
            save_file({"logits": found.contiguous()}, ROOM / f"{family}.results.safetensors")
        else:
            assert (found - wanted).abs().max() < 1e-5, family
    rng, store = np.random.default_rng(4), {}
    w = GGUFWriter(ROOM / "blocks.gguf", "llama")
    for kind in (Q.F32, Q.F16, Q.BF16, Q.F64, Q.Q8_0, Q.Q4_0, Q.Q4_K, Q.Q6_K, Q.Q5_K):
        if kind == Q.F64:
            data = rng.standard_normal((2, 512))
            w.add_tensor(kind.name, data)
            store[kind.name] = torch.from_numpy(data.astype(np.float32))
            continue
        if kind in (Q.Q4_K, Q.Q6_K, Q.Q5_K):  # any bits are values: only the scales must be numbers
            _, size = quants.GGML_QUANT_SIZES[kind]
            data = rng.integers(0, 256, (2, 2 * size), dtype=np.uint8)
            scale = np.frombuffer(np.float16(0.01).tobytes(), np.uint8)
            for b in range(2):
                for at in ([208] if kind == Q.Q6_K else [0, 2]):
                    data[:, b * size + at : b * size + at + 2] = scale
        else:
            data = quants.quantize(rng.standard_normal((2, 512)).astype(np.float32), kind)
        w.add_tensor(kind.name, data, raw_dtype=kind)
        store[kind.name] = torch.from_numpy(quants.dequantize(data, kind).reshape(2, 512).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    save_file(store, ROOM / "blocks.results.safetensors")
    angles("angles", 8192)
    angles("angles-other", 4096)
    print(sum(f.stat().st_size for f in ROOM.iterdir()), "bytes")


main()
