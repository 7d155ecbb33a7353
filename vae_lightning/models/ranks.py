"""What the ranks of a training agree on, so that they train one model with one state."""

import torch
import torch.distributed
from torch import Tensor


def are_several() -> bool:
    """Whether this process is one of several ranks that train together."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    return torch.distributed.get_world_size() > 1


def sum_over_ranks_(value: Tensor) -> None:
    """Makes it the sum over all ranks, in place."""
    if are_several():
        torch.distributed.all_reduce(value)


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean over all DDP ranks, of what each has found on its own images."""
    if not are_several():
        return value
    value = value.clone()
    torch.distributed.all_reduce(value)
    return value / torch.distributed.get_world_size()
