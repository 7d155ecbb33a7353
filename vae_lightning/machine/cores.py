"""How busy the machine is beside this process, and how many threads are worth starting on it."""

import os
import time
from typing import Any

import psutil

from vae_lightning.machine.hardware import num_cpus

_SHORTEST_S = 0.2  # that says something: the kernel counts hundredths of a second
_MOST_A_CORE = 2  # threads: with more, a run of a large machine would stand still on a small one
_THREADS_SET = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class OtherProcesses:
    """Watches what other processes take of the cores that this one may use, from the moment on that it is made."""

    def __init__(self) -> None:
        self._before = _reading()

    def cores_taken(self) -> float:
        """How many cores they have kept busy since, 0 to `num_cpus()`; waits until that can be told."""
        time.sleep(max(0.0, self._before["at"] + _SHORTEST_S - time.monotonic()))
        passed = {name: value - self._before[name] for name, value in _reading().items()}
        busy = passed["at"] * num_cpus() - passed["idle"]
        return min(max(busy - passed["own"], 0.0) / passed["at"], float(num_cpus()))


def _reading() -> dict[str, float]:
    """Seconds so far: by the clock, that the cores were idle, all together, and that this process and its ended
    children have computed."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    each = psutil.cpu_times(percpu=True)
    chosen = [times for number, times in enumerate(each) if allowed is None or number in allowed]
    idle = sum(times.idle + getattr(times, "iowait", 0.0) for times in chosen)
    return {"at": time.monotonic(), "idle": idle, "own": sum(os.times()[:4])}


def take_threads(wanted: Any, others: OtherProcesses, before: Any = None) -> str | None:
    """Have PyTorch compute with so many threads on the CPU.

    Threads wait for each other at the end of each operation, and one that has no core of its own keeps all waiting:
    beside another busy process one thread is faster than two on two cores.

    Args:
        wanted: how many; "auto" is what OMP_NUM_THREADS says, else as many as before, else one a core that is free.
        others: watched since some time ago.
        before: how many a run had that is gone on with: with others its sums would differ in their last digits.

    Returns:
        a line that tells of fewer threads than cores, or of more; None where there is nothing to tell.
    """
    import torch

    if wanted != "auto":
        torch.set_num_threads(min(wanted, _MOST_A_CORE * num_cpus()))
        return _too_many(wanted) if wanted > num_cpus() else None
    if any(os.environ.get(name) for name in _THREADS_SET) or torch.get_num_threads() == 1:
        return None
    if type(before) is int and 1 <= before <= num_cpus():
        torch.set_num_threads(before)
        return None
    taken = others.cores_taken()
    free = max(1, int(num_cpus() - taken + 0.5))
    if free >= torch.get_num_threads():
        return None
    torch.set_num_threads(free)
    return (
        f"other processes take {taken:.1f} of {num_cpus()} cores, so this one computes with {free} "
        f"{'thread' if free == 1 else 'threads'}; trainer.num_threads={num_cpus()} takes them all"
    )


def _too_many(threads: int) -> str:
    most = _MOST_A_CORE * num_cpus()
    taken = f"; {most} are taken" if threads > most else ""
    return f"trainer.num_threads={threads}: more than the {num_cpus()} cores here, which slows all threads down{taken}"
