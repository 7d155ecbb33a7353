"""A training small enough to be repeated in many ways: under 0.2 s for two epochs of eleven batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor

from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.data.loader import ImageSet
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.networks.conv import ConvDecoder, ConvEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import build_vae
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.training.execution import Unprofiled, execute_together
from vae_lightning.training.module import VAEModule
from vae_lightning.training.stepping import Stepping

NUM_BATCHES = 11  # neither two nor three go into it

SGD = partial(torch.optim.SGD, lr=1e-3)
ADAM = partial(torch.optim.Adam, lr=1e-2, fused=True)


class Noise(ImageDataModule):
    """Images of noise: `num_train` to train on, and 8 each to validate and to test."""

    def __init__(self, num_train: int = 4 * NUM_BATCHES + 1, **options: Any):
        defaults = {"image_size": 8, "channels": 3, "batch_size": 4, "eval_batch_size": 5, "seed": 0}
        super().__init__(**{**defaults, **options})
        self.num_train = num_train

    def prepare_data(self):
        pass

    def decode(self, path):
        raise NotImplementedError

    def load_splits(self):
        shape = (self.num_train + 16, self.image_size, self.image_size, self.channels)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        rows = torch.arange(len(pixels)).split([self.num_train, 8, 8])
        return {
            split: ImageSet(pixels, chosen, None) for split, chosen in zip(("train", "val", "test"), rows, strict=True)
        }


class Rows(Logger):
    """Keeps what is logged: (step, figures)."""

    def __init__(self):
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    name = version = "rows"

    def log_hyperparams(self, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))


def module(optimizer=ADAM, **stepping: Any) -> VAEModule:
    """Convolutions, BatchNorm and dropout: the next step depends on everything that the last ones did."""
    torch.manual_seed(0)
    parts = {"encoder": partial(ConvEncoder, channels=[4, 8], hidden=8, dropout=0.2)}
    parts |= {"decoder": partial(ConvDecoder, channels=[4, 8], hidden=8, dropout=0.2)}
    vae = build_vae(
        (3, 8, 8), 3, parts["encoder"], DiagonalGaussian, StandardNormal, parts["decoder"], BernoulliLikelihood()
    )
    return VAEModule(vae, ELBO(), optimizer, seed=7, stepping=Stepping(**stepping))


def trainer(*callbacks, **options: Any) -> Trainer:
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)
    defaults = {"accelerator": "cpu", "max_epochs": 2, "num_sanity_val_steps": 0, "profiler": Unprofiled()}
    return Trainer(callbacks=list(callbacks), **{**quiet, **defaults, **options})


@dataclass
class Fitted:
    """What a training leaves."""

    trainer: Trainer
    weights: dict[str, Tensor]
    rows: list[tuple[int | None, dict[str, float]]] = field(repr=False)

    def of(self, split: str) -> list[tuple[int | None, dict[str, float]]]:
        return [row for row in self.rows if f"{split}/loss" in row[1]]


@contextmanager
def one_thread() -> Iterator[None]:
    """So small tensors gain nothing by threads, and lose a hundredfold where other processes keep the cores busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def fit(
    steps,
    *callbacks,
    trained: VAEModule | None = None,
    data: ImageDataModule | None = None,
    ckpt_path: Path | None = None,
    **options,
) -> Fitted:
    """Train with so many steps to an execution, from a checkpoint if there is one; the options are the Trainer's."""
    trained, data, logger = trained or module(), data or Noise(), Rows()
    fitting = trainer(*callbacks, **{"logger": logger, "log_every_n_steps": 2} | options)
    data.trainer = fitting
    execute_together(steps, fitting, data)
    fitting.fit(trained, data, ckpt_path=ckpt_path, weights_only=True)
    weights = {name: value.clone() for name, value in trained.state_dict().items()}
    return Fitted(fitting, weights, logger.rows)


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """The names of the weights that are not the same bit for bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]
