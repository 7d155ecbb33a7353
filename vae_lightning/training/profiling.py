"""Where the time of a training goes: `debug=profile`, as a table in the run directory."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.profilers import Profiler

from vae_lightning.disk.files import write_atomically
from vae_lightning.disk.unwritten import spared
from vae_lightning.machine.environment import environment
from vae_lightning.runs.records import PROFILE

_EPOCH = "run_training_epoch"  # Lightning's names of what it does
_PARTS = {  # what they stand for, by a part of the name; the first one that fits
    "backward_pass": "backward pass",
    "optimizer_step": "optimizer step",
    "dataloader_next": "waiting for training images",
    "val_next": "waiting for validation images",
    "training_step": "forward pass, loss and noise",
    "validation_step": "validation",
    "batch_to_device": "images to the device",
}
_REST = "Lightning's loop and hooks"
_TIMED, _WATCHED = 2, 3  # epochs: the first one sets everything up, and to watch operations slows them down
_MOST_ROWS, _NAME = 20, 60


@dataclass
class _Begun:
    """What is under way, since when, and how long what was done within it has taken."""

    part: str
    at: float
    seconds_within: float = 0.0


class StepProfiler(Profiler):
    """Writes `<run>/profile.txt`: what the second epoch's time went into, and the third epoch's operations.

    A time is what this process waited. A GPU works on while the next steps are launched; how long its kernels take
    stands with the operations.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        self._is_within = False
        self._began: list[_Begun] = []
        self._seconds: dict[int, defaultdict[str, float]] = {}
        self._calls: dict[int, Counter[str]] = {}
        self._operations: Any = None

    def start(self, action_name: str) -> None:
        """Time counts for what is begun here, until it ends or something within it begins."""
        if action_name == _EPOCH:
            self._epoch, self._is_within = self._epoch + 1, True
            self._seconds[self._epoch], self._calls[self._epoch] = defaultdict(float), Counter()
            if self._epoch == _WATCHED:
                with environment(KINETO_LOG_LEVEL="99"):  # else it prints lines of its own
                    self._operations = torch.profiler.profile(activities=_activities())
                    self._operations.start()
        self._began.append(_Begun(_part(action_name), time.perf_counter()))

    def stop(self, action_name: str) -> None:
        """What was begun ends."""
        ended = self._began.pop()
        seconds = time.perf_counter() - ended.at
        if self._is_within:
            self._seconds[self._epoch][ended.part] += seconds - ended.seconds_within
            # Lightning tells of an optimizer step twice, one within the other.
            self._calls[self._epoch][ended.part] += not self._began or self._began[-1].part != ended.part
        if self._began:
            self._began[-1].seconds_within += seconds
        if action_name == _EPOCH:
            self._is_within = False
            if self._epoch == _WATCHED:
                self._operations.stop()

    @contextmanager
    def profile(self, action_name: str) -> Iterator[str]:
        self.start(action_name)
        try:
            yield action_name
        finally:
            self.stop(action_name)

    def summary(self) -> str:
        """The tables; empty before there was an epoch."""
        if not self._seconds or self._is_within:
            return ""
        timed = min(_TIMED, max(self._seconds))
        tables = [f"epoch {timed} of this training", *_part_rows(self._seconds[timed], self._calls[timed])]
        if self._epoch < _WATCHED:
            tables += ["", f"operations are watched in the third epoch, and trainer.max_epochs has {self._epoch}"]
        else:
            tables += ["", "operations of the third epoch, which is slower for being watched", *self._operation_rows()]
        return "\n".join(tables) + "\n"

    def describe(self) -> None:
        """Write the tables; Lightning calls this after the training, and after the test."""
        text = self.summary()
        if text and self.dirpath is not None and self._local_rank in (None, 0):
            with spared(PROFILE):
                write_atomically(Path(self.dirpath) / PROFILE, text)

    def _operation_rows(self) -> Iterator[str]:
        events = self._operations.key_averages()
        has_gpu = any(event.self_device_time_total for event in events)
        rows = [(event.key, event.count, event.self_cpu_time_total, event.self_device_time_total) for event in events]
        rows.sort(key=lambda row: -row[3 if has_gpu else 2])
        totals = [sum(row[column] for row in rows) or 1 for column in (2, 3)]
        gpu = f"{'GPU ms':>11}{'share':>8}" if has_gpu else ""
        yield f"{'operation':<{_NAME}}{'calls':>9}{'CPU ms':>11}{'share':>8}{gpu}"
        for name, calls, cpu, device in rows[:_MOST_ROWS]:
            shown = name if len(name) < _NAME else f"{name[: _NAME - 4]}..."
            gpu = f"{device / 1000:>11,.1f}{device / totals[1]:>8.1%}" if has_gpu else ""
            yield f"{shown:<{_NAME}}{calls:>9,}{cpu / 1000:>11,.1f}{cpu / totals[0]:>8.1%}{gpu}"


def _activities() -> list[torch.profiler.ProfilerActivity]:
    kinds = torch.profiler.ProfilerActivity
    return [kinds.CPU, kinds.CUDA] if torch.cuda.is_available() else [kinds.CPU]


def _part(action: str) -> str:
    if action.startswith("[Callback]"):
        return f"callback {action.removeprefix('[Callback]').partition('{')[0].partition('.')[0]}"
    return next((label for part, label in _PARTS.items() if part in action), _REST)


def _part_rows(seconds: Mapping[str, float], calls: Mapping[str, int]) -> Iterator[str]:
    total = sum(seconds.values()) or 1.0
    yield f"{'what':<{_NAME}}{'calls':>9}{'seconds':>11}{'share':>8}"
    for name, took in sorted(seconds.items(), key=lambda part: -part[1])[:_MOST_ROWS]:
        yield f"{name:<{_NAME}}{calls[name]:>9,}{took:>11.3f}{took / total:>8.1%}"
    yield f"{'all':<{_NAME}}{'':>9}{total:>11.3f}{1:>8.1%}"
