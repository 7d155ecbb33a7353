"""A stand-in for CUDA graphs on the CPU: it records which operators run on which memory, and runs them again.

As in a graph, every number of the host that went into an operator stays what it was, and so do the places of tensors;
what is done in Python happens once. Unlike in one, recording computes: the first replay has been done by then.
"""

from contextlib import nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vae_lightning.training.captured import Recorder


class _Noting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.noted = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.namespace != "profiler":
            self.noted.append((function, args, kwargs or {}, result))
        return result


class RecordedOperators(Recorder):
    """Counts, besides, how often it recorded and replayed."""

    def __init__(self):
        self.num_recorded = self.num_replayed = 0

    def warming_up(self):
        return nullcontext()

    def record(self, function):
        with _Noting() as noting:
            result = function()
        self.num_recorded += 1
        kept = [_kept(before, (args, kwargs)) for _, args, kwargs, before in noting.noted]
        pending = []

        def replay():
            self.num_replayed += 1
            if not pending:
                pending.append("the recording itself was the first time")
                return
            for (operator, args, kwargs, _), places in zip(noting.noted, kept, strict=True):
                _overwrite(places, operator(*args, **kwargs))

        return torch.no_grad()(replay), result


def _leaves(result):
    return [result] if isinstance(result, torch.Tensor) else tree_leaves(result)


def _kept(result, given):
    """What an operator gave, but for None where its memory is an input's: that is a view or in place."""
    inputs = {each.untyped_storage()._cdata for each in tree_leaves(given) if isinstance(each, torch.Tensor)}
    return [
        None if isinstance(each, torch.Tensor) and each.untyped_storage()._cdata in inputs else each
        for each in _leaves(result)
    ]


def _overwrite(kept, now):
    for old, new in zip(kept, _leaves(now), strict=True):
        if isinstance(old, torch.Tensor):
            old.copy_(new)
        elif old is not None:
            assert old == new, "a number that reached the host has changed, and with it perhaps what was recorded"
