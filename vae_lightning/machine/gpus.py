"""GPUs for jobs that train at once on one machine: each job gets its own."""

import ctypes
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from vae_lightning.disk.locks import HeldError, hold
from vae_lightning.errors import UserError
from vae_lightning.machine.hardware import native_accelerator


def no_gpu(accelerator: str, built: str = "") -> UserError:
    """The refusal of an accelerator that is not there; `built` says why, as far as it is PyTorch's own affair."""
    return UserError(
        f"trainer.accelerator={accelerator}: PyTorch finds no GPU here{built}; trainer=auto takes what there is, "
        "trainer=cpu the CPU"
    )


def check_gpu(accelerator: Any) -> None:
    """Refuse a GPU where plainly there is none; where there may be one, PyTorch is asked later, which takes seconds.

    Raises:
        UserError: this is a Linux without a device, a driver or a tool of NVIDIA's or AMD's.
    """
    if accelerator in ("gpu", "cuda") and sys.platform == "linux" and not _may_have_gpu():
        raise no_gpu(accelerator)


def _may_have_gpu() -> bool:
    devices = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")  # of cards, of boards, of Windows' Linux, of AMD
    if any(next(Path("/dev").glob(name), None) for name in devices):
        return True
    if shutil.which("nvidia-smi"):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def visible_gpus() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them; none is touched."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def num_ranks(trainer: dict, num_jobs: int = 1) -> int:
    """How many processes the config's trainer node asks for on this machine; `num_jobs` share what `-1` names."""
    devices = trainer["devices"]
    if isinstance(devices, list):
        return len(devices)
    if isinstance(devices, str) and "," in devices:
        return len([name for name in devices.split(",") if name])
    if str(devices) not in ("auto", "-1"):
        return int(devices) if str(devices).isdigit() and int(devices) > 0 else 1  # what else it is, Lightning refuses
    if native_accelerator(trainer["accelerator"]) != "cuda":
        return 1
    return max(1, len(visible_gpus()) // num_jobs)


@contextmanager
def own_gpus(trainer: dict, num_jobs: int, locks: Path) -> Iterator[list[str]]:
    """The GPUs that are this job's alone while the block runs, as CUDA_VISIBLE_DEVICES names them.

    Empty where there is nothing to share out: one job at a time, no GPUs, or devices that the config names one by
    one. With more jobs than GPUs, equally many jobs share each.

    Args:
        trainer: the config's trainer node.
        num_jobs: how many jobs train at once.
        locks: a folder for the lock files; a lock is gone with its process.
    """
    wanted = num_ranks(trainer, num_jobs)
    named = isinstance(trainer["devices"], list) or "," in str(trainer["devices"])
    shares = num_jobs > 1 and not named
    gpus = visible_gpus() if shares and native_accelerator(trainer["accelerator"]) == "cuda" else []
    if not gpus or wanted > len(gpus):
        yield []
        return
    locks.mkdir(parents=True, exist_ok=True)
    seats = -(-num_jobs * wanted // len(gpus))
    with ExitStack() as held:
        yield _take(gpus, wanted, seats, locks, held)


def _take(gpus: list[str], wanted: int, seats: int, locks: Path, held: ExitStack) -> list[str]:
    while True:
        with ExitStack() as attempt:
            taken: list[str] = []
            for seat in range(seats):  # an empty GPU before a shared one
                for gpu in gpus:
                    if len(taken) < wanted and gpu not in taken and _locked(locks / f"{gpu}_{seat}.lock", attempt):
                        taken.append(gpu)
            if len(taken) == wanted:
                held.push(attempt.pop_all())
                return taken
        time.sleep(1.0)  # none was kept: two jobs that wait for each other's would wait for ever


def _locked(file: Path, stack: ExitStack) -> bool:
    try:
        stack.enter_context(hold(file))
    except HeldError:
        return False
    return True
