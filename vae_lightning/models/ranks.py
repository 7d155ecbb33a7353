"""What the ranks of a training agree on, so that they train one model with one state."""

import torch
import torch.distributed
from torch import Tensor


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean over all DDP ranks, of what each has found on its own images."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    value = value.clone()
    torch.distributed.all_reduce(value)
    return value / torch.distributed.get_world_size()
