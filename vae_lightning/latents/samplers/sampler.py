"""What a sampler is: settings that are fitted on codes, and the distribution of codes that comes of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_lightning.noise import Noise


@dataclass(frozen=True)
class Codes:
    """Where training images lie in the latent space: what a sampler is fitted on.

    Attributes:
        z: a draw from the posterior of each image.
        loc: the posteriors' means.
        scale: their standard deviations, where they are normal with independent components; else None.
    """

    z: Float32[Tensor, "N D"]
    loc: Float32[Tensor, "N D"]
    scale: Float32[Tensor, "N D"] | None

    def __len__(self) -> int:
        return len(self.z)


class CodeDistribution(nn.Module, ABC):
    """A distribution of codes [D] whose `state_dict` is all that it has been fitted to."""

    @abstractmethod
    def forward(self, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
        """Samples, whose spread is that many times the distribution's own; of a mixture, that of its components."""


class Sampler(ABC):
    """Settings of a sampler; the numbers in them, with a seed and the codes, decide what is drawn.

    Attributes:
        name: of the file that the fit is kept in, and of its figures: letters, digits and underscores.
        num_images: training images that are encoded, at most; of more, so many drawn by the seed.
    """

    name: ClassVar[str]
    num_images: int

    def check(self, posterior: Distribution) -> None:  # noqa: B027 - most take codes of any kind
        """Look at the posterior of an image before anything is encoded.

        Raises:
            UserError: it is of a kind that it can't be fitted to.
        """

    @abstractmethod
    def empty(self, code_dim: int) -> CodeDistribution:
        """The distribution of codes of so many dimensions before it is fitted: what is kept is loaded into it."""

    @abstractmethod
    def fit(self, codes: Codes, seed: int) -> CodeDistribution:
        """The distribution fitted to the codes.

        Raises:
            ValueError: too few codes; it begins with the setting's name.
            UserError: codes of a kind that it can't be fitted to.
        """


def minimized(
    module: nn.Module,
    loss: Callable[[Float32[Tensor, "B D"]], Float[Tensor, ""]],
    rows: Float32[Tensor, "N D"],
    num_steps: int,
    batch_size: int,
    lr: float,
) -> None:
    """Minimize the loss of batches of rows over the module's parameters, by Adam with a cosine from `lr` to 0.

    On one thread: matrices as small as these are done before a second one has begun.
    """
    with _one_thread():
        _minimize(module, loss, rows, num_steps, batch_size, lr)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _minimize(
    module: nn.Module,
    loss: Callable[[Tensor], Tensor],
    rows: Tensor,
    num_steps: int,
    batch_size: int,
    lr: float,
) -> None:
    optimizer = torch.optim.Adam(module.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    with torch.enable_grad():
        for _ in range(num_steps):
            optimizer.zero_grad(set_to_none=True)
            loss(rows[torch.randint(len(rows), (min(batch_size, len(rows)),))]).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 10.0)
            optimizer.step()
            schedule.step()


class Standardized(nn.Module):
    """Mean and spread of codes, dimension by dimension, for what learns best at a mean of 0 and a spread of 1.

    Args:
        code_dim: D.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, code_dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(code_dim))
        self.register_buffer("spread", torch.ones(code_dim))

    @torch.no_grad()
    def start(self, z: Float32[Tensor, "N D"]) -> Float32[Tensor, "N D"]:
        """Take the codes' mean and spread; the codes by these, standardized."""
        self.mean.copy_(z.mean(0))
        self.spread.copy_(z.std(0, correction=0).clamp(min=1e-6))  # of a dimension that all images share
        return (z - self.mean) / self.spread

    def forward(self, standardized: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """The codes again."""
        return self.mean + self.spread * standardized
