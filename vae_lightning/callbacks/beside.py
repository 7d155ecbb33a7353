"""Pictures of a trained model that take long, drawn while it is tested."""

import contextvars
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from threading import Thread
from typing import NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from vae_lightning.callbacks.progress import told_on_bar
from vae_lightning.machine.cores import OtherProcesses
from vae_lightning.machine.hardware import num_cpus
from vae_lightning.pictures.picture import Drawing


class _UnderWay(NamedTuple):
    """What the bar says of a picture, the picture to be, and what is done with it."""

    doing: str
    drawing: "Future[Drawing]"
    finish: Callable[[Callable[[], Drawing]], None]


class DrawnBeside(Callback):
    """Draws pictures between the end of the training and that of the test, each in a thread that has a core to itself.

    In threads, because what takes long is compiled code, for which Python waits no more than it would for another
    process: nothing is imported twice, sent, or left behind when the run is broken off. They are published, in the main
    thread, before the figures of the test. To be placed before the callbacks that draw.
    """

    def __init__(self) -> None:
        self._others: OtherProcesses | None = None
        self._free_cores = 0
        self._count_free: Callable[[], int] | None = None
        self._under_way: list[_UnderWay] = []
        self._on_bar = ExitStack()

    def takes(self, doing: str, draw: Callable[[], Drawing], finish: Callable[[Callable[[], Drawing]], None]) -> bool:
        """Begin to draw, if a core is free.

        Args:
            doing: what the progress bar shows meanwhile.
            draw: called in another thread.
            finish: called in this one, once the drawing is there, with what returns it or raises what `draw` did.

        Returns:
            whether it has begun; else the picture is to be drawn here and now.
        """
        if self._count_free is not None:  # only now, for it may have to wait until that can be told
            self._free_cores, self._count_free = self._count_free(), None
        if self._free_cores < 1:
            return False
        self._free_cores -= 1
        self._under_way.append(_UnderWay(doing, _begun(draw), finish))
        return True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._others = OtherProcesses()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._others is not None:
            self._count_free = partial(free_cores, trainer, self._others)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._under_way:
            doing = ", ".join(each.doing for each in self._under_way)
            self._on_bar.enter_context(told_on_bar(trainer, doing, tell=True))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "test":  # of which there may have been no batch
            self._finish()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._under_way = []
        self._on_bar.close()

    def _finish(self) -> None:
        under_way, self._under_way = self._under_way, []
        self._free_cores, self._count_free = 0, None
        with self._on_bar:
            for each in under_way:
                each.finish(each.drawing.result)


def beside(trainer: Trainer) -> DrawnBeside | None:
    """The trainer's, if it has one."""
    return next((each for each in trainer.callbacks if isinstance(each, DrawnBeside)), None)


def free_cores(trainer: Trainer, others: OtherProcesses) -> int:
    """How many cores neither this machine's ranks compute on nor other processes, since they are watched."""
    threads = torch.get_num_threads() if trainer.strategy.root_device.type == "cpu" else 1
    return max(0, int(num_cpus() - threads * trainer.num_devices - others.cores_taken() + 0.5))


def _begun(draw: Callable[[], Drawing]) -> "Future[Drawing]":
    """A drawing that is under way in a thread for which nobody waits when the run is broken off."""
    drawing: Future[Drawing] = Future()
    context = contextvars.copy_context()  # which channels are drawn

    def work() -> None:
        try:
            drawing.set_result(context.run(draw))
        except BaseException as error:
            drawing.set_exception(error)

    Thread(target=work, name="picture", daemon=True).start()
    return drawing
