"""What the machine at hand can do."""

import ctypes
import os
import platform

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
    """Lightning's `bf16-mixed` where the hardware computes in bfloat16 itself, else `32-true`.

    That is CUDA from compute capability 8.0 on, and CPUs with AVX-512-BF16 or AMX.
    """
    return "bf16-mixed" if computes_in_bfloat16(native_accelerator(accelerator)) else "32-true"


def computes_in_bfloat16(device: str) -> bool:
    """Whether this kind of device (`cpu`, `cuda`, `mps`) does so itself, and hence faster than in float32."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    return device == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


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
