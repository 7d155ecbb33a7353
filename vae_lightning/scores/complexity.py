"""The likelihood held against what a compressor makes of the image."""

import io
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float64, UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.latents.aggregated import NO_DENSITY
from vae_lightning.likelihood.kind import is_density, is_likelihood
from vae_lightning.runs.trained import TrainedRun
from vae_lightning.scores.score import AnomalyScore, ScoredBatch

_BITS = 8  # of a level


@dataclass(frozen=True)
class InputComplexity(AnomalyScore):
    """-log2 p(x) - L(x), in bits, with L the length of the image as PNG (arXiv 1909.11480).

    Simple images are likely to any model and short to any compressor; the difference does not favour them. The
    likelihood is its bound, the ELBO; a density counts as the probability of a level of 256, 8 bits a value more.

    Attributes:
        num_samples: latents of each image; None is as many as in training.

    Raises:
        ValueError: a num_samples below 1.
    """

    label: ClassVar[str] = "input complexity"
    unit: ClassVar[str] = "bits"
    digits: ClassVar[int] = 1
    num_samples: int | None = None

    def __post_init__(self) -> None:
        require_at_least("num_samples", 1 if self.num_samples is None else self.num_samples, 1)

    def why_not(self, run: TrainedRun) -> str | None:
        if run.preprocessing.channels not in (1, 3):
            return f"PNG has grey or RGB, and these images have {run.preprocessing.channels} channels"
        if not is_likelihood(run.kind) and not is_density(run.kind):
            return f"these are no bits: the model has {run.kind}"
        return None if run.vae.has_density else NO_DENSITY

    def __call__(self, batch: ScoredBatch) -> Float64[Tensor, " B"]:
        lengths = torch.tensor([png_bits(image) for image in batch.images], dtype=torch.float64)
        of_levels = _BITS * math.prod(batch.x.shape[1:]) if is_density(batch.run.kind) else 0
        return -batch.elbo(self.num_samples) / math.log(2) + of_levels - lengths


def png_bits(image: UInt8[Tensor, "C H W"]) -> int:
    """The length of a grey or RGB image as an optimized PNG, in bits; where all is black or white, as one of 1 bit."""
    levels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(levels[..., 0] if len(image) == 1 else levels)
    if len(image) == 1 and bool(((image == 0) | (image == 255)).all()):
        picture = picture.convert("1", dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return 8 * len(buffer.getvalue())
