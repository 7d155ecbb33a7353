"""The train command of this project, with everything on that is on by default: pictures, logging, checkpoints."""

import functools
import sys
import tempfile
from typing import Any

from lightning.pytorch import Callback, Trainer

from benchmarks.contenders.cases import Case
from benchmarks.contenders.epochs import EpochTurns
from benchmarks.contenders.turns import Turns
from vae_lightning import train as command
from vae_lightning.machine.hardware import num_cpus


def train(case: Case, batch_size: int, num_epochs: int, precision: str, turns: Turns, *overrides: str) -> None:
    """Train an epoch a turn; precision as `trainer.precision`."""

    @functools.wraps(Trainer.__init__)
    def with_turns(self: Trainer, *arguments: Any, callbacks: list[Callback], **options: Any) -> None:
        initialize(self, *arguments, callbacks=[EpochTurns(turns, batch_size), *callbacks], **options)

    initialize, Trainer.__init__ = Trainer.__init__, with_turns
    with tempfile.TemporaryDirectory() as folder:
        limit = [f"trainer.limit_train_batches={case.num_images // batch_size}"] if case.num_images else []
        sys.argv = [
            "train",
            *case.overrides,
            f"data.batch_size={batch_size}",
            f"trainer.max_epochs={num_epochs}",
            f"trainer.precision={precision}",
            f"trainer.num_threads={num_cpus()}",  # auto would leave the other contenders' cores to them, who only wait
            f"output_dir={folder}",
            *limit,
            *overrides,
        ]
        command.main()
