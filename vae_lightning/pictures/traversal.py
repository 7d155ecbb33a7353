"""What each latent dimension does to an image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae_lightning.drawing.walks import traversal_frames, traversal_picture
from vae_lightning.errors import UserError, require_at_least, require_frame_duration
from vae_lightning.latents.paths import Spread, prior_spread, traversals
from vae_lightning.pictures.saving import save_animation, save_picture
from vae_lightning.pictures.units import unit_statistics_of
from vae_lightning.runs.images import Choice, Split
from vae_lightning.runs.trained import TrainedRun


@dataclass(frozen=True)
class DrawTraversal:
    """A row a latent dimension, those with the most KL first, in which it alone varies: `traversal.png`, `.gif`.

    Attributes:
        images, indices, labels, split: one image at whose posterior mean all other dimensions stay; without any of
            them they stay at the prior's mean. See `runs.images.Choice`.
        dims: these dimensions instead, counted from 0.
        num_dims: at most so many, where `dims` is not given.
        num_columns: how many values of each.
        limit: the values run from -limit to limit, in standard deviations of the prior from its mean.
        frame_ms: how long a frame of the GIF stays.

    Raises:
        ValueError: a number too small.
    """

    images: str | Sequence[str] | None = None
    indices: Sequence[int] | None = None
    labels: Sequence[int] | None = None
    split: Split = "val"
    dims: Sequence[int] | None = None
    num_dims: int = 10
    num_columns: int = 11
    limit: float = 3.0
    frame_ms: int = 120

    def __post_init__(self) -> None:
        require_at_least("num_dims", self.num_dims, 1)
        require_at_least("num_columns", self.num_columns, 2)
        require_frame_duration("frame_ms", self.frame_ms)
        if not 0 < self.limit < math.inf:
            raise ValueError(f"limit must be positive and finite, got {self.limit}")

    def __call__(self, run: TrainedRun, folder: Path) -> None:
        spread = prior_spread(run.vae, run.device)
        spread = Spread(spread.mean.cpu(), spread.stddev.cpu(), spread.is_unit)
        centre, label, title = self._centre(run, spread)
        statistics = unit_statistics_of(run)
        dims = statistics.by_rate[: self.num_dims] if self.dims is None else self._checked(run)
        rates, values = statistics.rate[dims].tolist(), torch.linspace(-self.limit, self.limit, self.num_columns)
        z = traversals(centre, dims, values, spread)
        labels = None if label is None else label.expand(z.shape[:2].numel())
        shown = (
            run.decode(z.flatten(0, 1), labels).unflatten(0, z.shape[:2]),
            dims,
            rates,
            values.tolist(),
            title,
            run.context,
            not spread.is_unit,
        )
        save_picture(folder / "traversal.png", traversal_picture(*shown))
        save_animation(folder / "traversal.gif", traversal_frames(*shown), self.frame_ms)

    def _centre(self, run: TrainedRun, spread: Spread) -> tuple[Float[Tensor, " D"], Int64[Tensor, " 1"] | None, str]:
        """Where all other dimensions stay, with which label, and what the picture is called."""
        if self.images is None and self.indices is None and self.labels is None:
            label = run.told_to_make(None, 1)
            return spread.mean, label, "traversals around the prior's mean"
        chosen = Choice(self.images, self.indices, self.labels, self.split).read(run)
        if len(chosen.images) != 1:
            raise UserError(f"a traversal starts from one image, and {len(chosen.images)} were given")
        label = run.told(chosen.labels, 1)
        return run.encode(chosen.images.float() / 255, label)[0], label, "traversals around an image"

    def _checked(self, run: TrainedRun) -> list[int]:
        assert self.dims is not None
        wrong = [dim for dim in self.dims if not 0 <= dim < run.latent_dim]
        if wrong or not self.dims:
            raise UserError(f"dims={list(self.dims)}: choose from 0 to {run.latent_dim - 1}")
        return list(self.dims)
