"""What the pictures drawn while training cost: trains one run as the train command does, under Lightning's profiler.

    python benchmarks/picture_cost.py experiment=mnist_conv

What it last printed, with hardware and date, is in picture_cost.txt beside this file.
"""

import functools
import re
from collections import defaultdict
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.profilers import SimpleProfiler

from vae_lightning import train, training

NO_PICTURES = ("ModelCheckpoint", "Throughput", "ProgressBar", "RunDescription")


class QuietProfiler(SimpleProfiler):
    """Keeps what it measures to itself."""

    def describe(self) -> None:
        """Nothing: `report` tells what is wanted."""


profiler = QuietProfiler()


def profiled(fit):
    """`Trainer.fit`, the whole of which is measured, too."""

    @functools.wraps(fit)
    def measured(*arguments: Any, **options: Any) -> None:
        with profiler.profile("fit"):
            fit(*arguments, **options)

    return measured


def report() -> None:
    """The time in each kind of callback's hooks, and its share of the time that the fit took."""
    durations = {name: sum(times) for name, times in profiler.recorded_durations.items()}
    seconds: dict[str, float] = defaultdict(float)
    for action, duration in durations.items():
        callback = re.match(r"\[Callback\](\w+)", action)
        if callback and callback[1] not in NO_PICTURES and "_test_" not in action:
            seconds[callback[1]] += duration
    shares = [*sorted(seconds.items(), key=lambda item: -item[1]), ("together", sum(seconds.values()))]
    for name, duration in shares:
        print(f"{name:<24}{duration:>8.2f} s{duration / durations['fit']:>9.2%}")
    print(f"{'the whole fit':<24}{durations['fit']:>8.2f} s")


if __name__ == "__main__":
    Trainer.fit = profiled(Trainer.fit)
    training.Unprofiled = lambda: profiler
    train.main()
    report()
