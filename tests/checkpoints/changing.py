"""How tests change what a checkpoint holds, and compare what is read of one."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FIRST = "vae.encoder.layers.1.weight"  # [4, 784]
ADAM = "optimizer_states/0/state/0"
GONE = object()
NAN, INF = float("nan"), float("inf")


def put(path: str, value: Any):
    """Change what stands at a path of keys: `a/0/b`, where a callback is named by the beginning of its key."""

    def change(checkpoint: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        node: Any = checkpoint
        for name in parents:
            node = node[_key(node, name)]
        if value is GONE:
            del node[_key(node, last)]
        else:
            node[_key(node, last)] = value

    return change


def _key(node: Any, name: str) -> Any:
    number = int(name) if name.isdigit() else name
    if isinstance(node, list) or number in node:
        return number
    return next((key for key in node if str(key).startswith(name)), name)


def edit(file: Path, change) -> None:
    checkpoint = torch.load(file, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, file)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        alike = (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        return alike and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other
