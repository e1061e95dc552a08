#!/usr/bin/env python3
"""Writes the checkpoints beside this file, with PyTorch, which nothing else here needs (2.15.0 wrote the committed ones).
tests/model/torch_test.cpp knows their values."""

from collections import OrderedDict
from pathlib import Path

import torch

folder = Path(__file__).parent
module = torch.nn.Linear(2, 1)
torch.nn.init.constant_(module.weight, 0.75)
torch.nn.init.constant_(module.bias, -1)

tensors = module.state_dict()  # an OrderedDict with an attribute, _metadata
tensors["f32"] = torch.tensor([[0.1, -2.5, 3], [1e-40, 3e38, -0.0]])
tensors["bf16"] = torch.tensor([[0.1], [-2.5], [3e38]], dtype=torch.bfloat16)
tensors["f16"] = torch.tensor([0.1, -2.5, 65504, 6e-8, float("inf")], dtype=torch.float16)
tensors["f64"] = torch.tensor([0.1, -1e300], dtype=torch.float64)
tensors["i64"] = torch.tensor([-(2**40), 7])
tensors["u8"] = torch.tensor([0, 255], dtype=torch.uint8)
tensors["bool"] = torch.tensor([True, False, True])
tensors["scalar"] = torch.tensor(2.5)
tensors["empty"] = torch.zeros(0, 4)
tensors["parameter"] = torch.nn.Parameter(torch.arange(4.0).reshape(1, 1, 4))
tensors["with_gradient"] = torch.ones(2, requires_grad=True)
tensors["column"] = torch.arange(3.0).reshape(1, 3).t()  # its strides are (1, 3), which one column makes contiguous
shared = torch.arange(10, dtype=torch.bfloat16)
tensors["second_half"] = shared[5:]
tensors["first_half"] = shared[:4].view(2, 2)

training = {
    "epoch": 3,
    "seed": 2**64 - 59,
    "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.99)}]},
    "model": tensors,
    "ema": None,
}
torch.save(tensors, folder / "state_dict.pth")
torch.save(training, folder / "training.pth", pickle_protocol=4)
torch.save(OrderedDict(a=torch.ones(1)), folder / "old_format.pth", _use_new_zipfile_serialization=False)
torch.save({"a": torch.ones(2, 3).t()}, folder / "transposed.pth")
