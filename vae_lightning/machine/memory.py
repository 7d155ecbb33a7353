"""How much memory this process has taken at most."""

import sys
from contextlib import suppress
from pathlib import Path

_RESET = "5"  # of Linux's clear_refs: the largest size so far is the present one
_PAGES = 1 if sys.platform == "darwin" else 1024  # bytes in which ru_maxrss counts


def forget_peak() -> None:
    """Have the peaks count from here on, of this process and of its GPU; of the process on Linux alone."""
    import torch

    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_RESET)
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """The most that this process has had in memory; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PAGES


def peak_gpu_bytes() -> int:
    """The most that PyTorch has had on this process's GPU; 0 where it has used none."""
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0
