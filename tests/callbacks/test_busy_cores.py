"""A training with threads for cores that others take is told so, once."""

import time
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from vae_lightning.callbacks import busy_cores
from vae_lightning.callbacks.busy_cores import BusyCores


@pytest.fixture
def epochs(monkeypatch, told):
    """Lets epochs pass with so many threads while others take so many of 4 cores, and returns what is logged."""

    def pass_by(
        num_threads: int, *taken: float, device: str = "cpu", seconds: float = 0.0, shortest: float = 0.0
    ) -> list[str]:
        monkeypatch.setattr(busy_cores, "num_cpus", lambda: 4)
        monkeypatch.setattr(busy_cores, "_SHORTEST_S", shortest)
        monkeypatch.setattr(torch, "get_num_threads", lambda: num_threads)
        trainer, module = Mock(Trainer), Mock(LightningModule)
        trainer.strategy.root_device = torch.device(device)
        callback, seen = BusyCores(), []
        for cores in taken:
            monkeypatch.setattr(busy_cores, "OtherProcesses", lambda c=cores: SimpleNamespace(cores_taken=lambda: c))
            callback.on_train_epoch_start(trainer, module)
            time.sleep(seconds)
            seen.append(len(told()))
            callback.on_train_epoch_end(trainer, module)
        return told() if not seconds else seen

    return pass_by


def test_it_is_told_once(epochs):
    assert epochs(4, 0.1, 2.6, 2.6) == [
        "other processes take 2.6 of 4 cores, beside the 4 threads of this training: it may be faster gone on with "
        "(Ctrl-C, and what it says) by trainer.num_threads=1"
    ]


@pytest.mark.parametrize(
    ("num_threads", "taken", "device"), [(4, 0.4, "cpu"), (2, 2.0, "cpu"), (1, 4.0, "cpu"), (4, 4.0, "cuda")]
)
def test_nothing_is_told_where_there_is_room(epochs, num_threads, taken, device):
    assert epochs(num_threads, taken, taken, device=device) == []


def test_within_a_long_epoch_it_is_told_before_its_end(epochs, monkeypatch):
    monkeypatch.setattr(busy_cores, "_LOOK_AFTER_S", 0.05)
    assert epochs(4, 2.6, seconds=0.5) == [1]


def test_short_epochs_are_not_waited_for(epochs):
    assert epochs(4, 2.6, 2.6, shortest=100.0) == []
