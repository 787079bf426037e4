"""Golden files of PyTorch's own format: what torch.save writes, and pickles that ask for more than tensors.

Run: python tests/golden/make/torch_bin.py   (made with torch 2.15)
`tensors.bin` beside its values as `tensors.safetensors`; a draft as `pytorch_model.bin`; a target in two shards;
`evil-*.bin` name functions that a reader must not call.
"""
import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

OWN = Path(__file__).parent.parent / "own"
ROOM = OWN / "torch"
ROOM.mkdir(exist_ok=True)
torch.manual_seed(7)

base = torch.randn(6, 5)
tensors = {
    "f32": base,
    "turned": base.T,
    "part": base[1:4, ::2],
    "scalar": torch.tensor(2.5),
    "f64": torch.randn(3, dtype=torch.float64),
    "f16": torch.randn(4).half(),
    "bf16": torch.randn(4).bfloat16(),
    "i64": torch.tensor([1, -2, 2**31 - 1]),
    "i32": torch.tensor([5, -6], dtype=torch.int32),
    "bool": torch.tensor([True, False, True]),
    "parameter": torch.nn.Parameter(torch.randn(2, 2)),
}
torch.save(tensors, ROOM / "tensors.bin")
module = torch.nn.Linear(3, 2)
torch.save({"epoch": 3, "state_dict": module.state_dict()}, ROOM / "nested.bin")
values = {k: (v.float() if v.is_floating_point() else v.int()).detach().contiguous().clone() for k, v in tensors.items()}
values["nested.weight"] = module.weight.detach().clone()
save_file(values, ROOM / "tensors.safetensors")

draft = ROOM / "draft"
draft.mkdir(exist_ok=True)
shutil.copy(OWN / "export-griffin" / "config.json", draft / "config.json")
torch.save(load_file(OWN / "export-griffin" / "model.safetensors"), draft / "pytorch_model.bin")

target = ROOM / "target"
target.mkdir(exist_ok=True)
whole = load_file(OWN / "families" / "llama-3" / "model.safetensors")
shutil.copy(OWN / "families" / "llama-3" / "config.json", target / "config.json")
names = sorted(whole)
shards = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
for file, part in shards.items():
    torch.save({n: whole[n] for n in part}, target / file)
index = {"metadata": {}, "weight_map": {n: file for file, part in shards.items() for n in part}}
(target / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1))


class Calls:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def evil(name, value, protocol):
    with zipfile.ZipFile(ROOM / f"evil-{name}.bin", "w", zipfile.ZIP_STORED) as z:
        z.writestr("archive/data.pkl", pickle.dumps(value, protocol))
        z.writestr("archive/version", "3\n")


evil("system", {"w": Calls(os.system, "echo run")}, 2)
evil("eval", {"w": Calls(eval, "1 + 1")}, 4)
evil("open", Calls(io.open, "a-file", "w"), 2)
evil("getattr", {"w": Calls(getattr, Calls(__import__, "os"), "system")}, 4)
with zipfile.ZipFile(ROOM / "packed.bin", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("archive/data.pkl", pickle.dumps({"w": 1}, 2) * 40)
