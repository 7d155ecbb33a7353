"""What a run spends on anything but training: its pictures, validation and test, under Lightning's profiler.

    python -m benchmarks.picture_cost data=mnist model=conv

trains as the train command does with the same arguments. What it last printed is in picture_cost.txt.
"""

import functools
import re
from collections import defaultdict
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.profilers import SimpleProfiler

from vae_lightning import train
from vae_lightning.training import run as training

NO_PICTURES = ("ModelCheckpoint", "Throughput", "ProgressBar", "RunDescription")


class QuietProfiler(SimpleProfiler):
    """Keeps what it measures to itself."""

    def describe(self) -> None:
        """Nothing: `report` tells what is wanted."""


profiler = QuietProfiler()


def profiled(function, name: str):
    """A function the whole of which is measured under this name, too."""

    @functools.wraps(function)
    def measured(*arguments: Any, **options: Any) -> Any:
        with profiler.profile(name):
            return function(*arguments, **options)

    return measured


def report() -> None:
    """The time in each kind of callback's hooks, in validation and in the test, and their share of the whole."""
    durations = {name: sum(times) for name, times in profiler.recorded_durations.items()}
    whole = durations["fit"] + durations["test"]
    seconds: dict[str, float] = defaultdict(float)
    for action, duration in durations.items():
        callback = re.match(r"\[Callback\](\w+)", action)
        if callback and callback[1] not in NO_PICTURES and "_test_" not in action:
            seconds[callback[1]] += duration
    pictures = sorted(seconds.items(), key=lambda item: -item[1])
    besides = {name: durations[name] for name in ("validation", "test")}
    together = sum(seconds.values()) + sum(besides.values())
    for name, duration in [*pictures, ("pictures together", sum(seconds.values())), *besides.items()]:
        print(f"{name:<24}{duration:>8.2f} s{duration / whole:>9.2%}")
    print(f"{'all but training':<24}{together:>8.2f} s{together / whole:>9.2%}")
    print(f"{'fit and test':<24}{whole:>8.2f} s")


if __name__ == "__main__":
    Trainer.fit = profiled(Trainer.fit, "fit")
    Trainer.test = profiled(Trainer.test, "test")
    loop = type(Trainer(logger=False, enable_checkpointing=False).fit_loop.epoch_loop.val_loop)
    run = loop.run
    loop.run = lambda self: profiled(run, "validation" if self.trainer.validating else "evaluation")(self)
    training.Unprofiled = lambda: profiler
    train.main()
    report()
