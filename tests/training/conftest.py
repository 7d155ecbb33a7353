"""A run that is about to be gone on with, for all tests of what it believes of its checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # the process that hands out the tests imports neither torch nor Lightning
    from vae_lightning.training.run import Parts


@pytest.fixture(scope="session")
def saved(stateful_run) -> dict[str, Any]:
    """What last.ckpt holds, as PyTorch reads it; not to be changed."""
    import torch

    return torch.load(stateful_run.last, weights_only=True)


@pytest.fixture(scope="session")
def parts(stateful_run) -> "Parts":
    """The run, built to be gone on with; what a test changes of it, it changes back."""
    from vae_lightning.training.run import build

    config = stateful_run.config()
    config["trainer"]["max_epochs"] = 2
    built = build(config, stateful_run, resume=True)
    for callback in built.trainer.checkpoint_callbacks:
        callback.dirpath = str(stateful_run.checkpoints)  # as Lightning will find it
    return built


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "forged.ckpt"
