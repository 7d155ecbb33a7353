"""What the machine at hand can do."""

import ctypes
import os
import platform
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_NEVER = -1


def num_cpus() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def native_accelerator(accelerator: str) -> str:
    """What Lightning's accelerator `auto` or `gpu` means here: cuda, mps or cpu."""
    import torch

    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "cuda"
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return "mps"
    return "cpu" if accelerator == "auto" else accelerator


def native_precision(accelerator: str) -> str:
    """Lightning's `bf16-mixed` where it is the faster one, else `32-true`; see `bfloat16`."""
    return "bf16-mixed" if computes_in_bfloat16(native_accelerator(accelerator)) else "32-true"


def computes_in_bfloat16(device: str) -> bool:
    """Whether this kind of device does so faster than in float32; see `bfloat16`."""
    return bfloat16(device)[0]


def bfloat16(device: str) -> tuple[bool, str]:
    """Whether this kind of device (`cpu`, `cuda`, `mps`) computes faster in bfloat16 than in float32, and what says so.

    By a rule, so that the same machine always answers the same: CUDA from compute capability 8.0 on, CPUs with AMX, and
    those of AMD's with AVX-512-BF16. Others have AVX-512-BF16 as well, but what it spares there is less than what
    rounding costs (benchmarks/README.md).
    """
    import torch

    if device == "cuda":
        capability = torch.cuda.get_device_capability()
        return capability >= (8, 0), "a GPU of compute capability {}.{}".format(*capability)
    if device != "cpu":
        return False, f"{device} is trained on in float32"
    if torch.cpu._is_amx_tile_supported():
        return True, "a CPU with AMX"
    if not torch.cpu._is_avx512_bf16_supported():
        return False, "a CPU without bfloat16"
    if cpu_vendor() == "AuthenticAMD":
        return True, "a CPU of AMD's with AVX-512-BF16"
    return False, "a CPU with AVX-512-BF16, but without AMX and not of AMD's"


def cpu_vendor() -> str:
    """Who made the CPU, as it says itself: AuthenticAMD, GenuineIntel; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # Windows has it at the end of the name
        return platform.processor().rpartition(", ")[2]
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def device_name(accelerator: str) -> str:
    """The GPU's name where the accelerator (`cpu`, `cuda`, `mps`) is one, else the CPU's threads."""
    import torch

    if accelerator == "cuda":
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    if accelerator == "mps":
        return "Apple GPU"
    threads = torch.get_num_threads()
    return f"CPU, {threads} {'thread' if threads == 1 else 'threads'}"


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for its next use; whether that could be arranged.

    By default glibc gives large blocks back to the kernel at once, and the activations and gradients of each step are
    mapped and zeroed page by page anew: a third of a convolutional network's step on the CPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_TRIM_THRESHOLD, _NEVER) and libc.mallopt(_M_MMAP_THRESHOLD, _NEVER))


def flush_denormals() -> bool:
    """Let this process take numbers below 1e-38 for zero; whether the CPU can.

    Adam's running means of gradients that have become zero decay to such numbers and stay there, far slower to compute
    with than others: two thirds of an optimizer step on MNIST. Threads take the setting over from the one that starts
    them, and PyTorch starts its own at the first large operation; so this has to come before it.
    """
    import numpy as np
    import torch

    for kind in (np.float32, np.float64):
        np.finfo(kind)  # which it keeps; asked for the first time later, older numpy would warn of a broken CPU
    return torch.set_flush_denormal(True)
