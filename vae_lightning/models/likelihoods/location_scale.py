"""p(x|z) of independent pixels about a mean image: what Gaussian and Laplace likelihood have in common."""

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import softplus

from vae_lightning.models.distributions import at_least_float32, clamped_logit
from vae_lightning.models.parts import Likelihood, Shape
from vae_lightning.models.ranks import mean_over_ranks

Scale = float | Literal["optimal", "learned", "per_pixel"]


class LocationScale(Likelihood):
    """p(x|z) about the mean image sigmoid(decoder(z)), with one scale for all pixels or one for each.

    `scale="optimal"` takes the scale that maximises the batch's likelihood in training, and in evaluation a running
    average of what it follows from (sigma-VAE: Rybkin, Daniilidis, Levine, arXiv 2006.13202). `scale="learned"` is one
    parameter, started at `initial_scale`; a number is a fixed scale in pixel units. None is below `minimum_scale`.

    With `scale="per_pixel"` the decoder puts out [2C, H, W], the logits of the mean of all channels and then s of all
    channels: scale = minimum_scale + softplus(s + c), with c such that s = 0 is `initial_scale`.

    Its log-probability is a density: it is positive when the scale is small, and bits per dimension do not apply.

    Attributes:
        statistic: the name of the buffer that holds the running average.

    Raises:
        ValueError: a scale that is not positive and finite, an averaging outside [0, 1), or with a scale for each pixel
            an initial_scale that is no larger than minimum_scale.
    """

    levels = None  # a density
    statistic: ClassVar[str]
    num_updates: Tensor

    def __init__(
        self,
        scale: Scale = "optimal",
        initial_scale: float = 0.1,
        minimum_scale: float = 1e-3,
        averaging: float = 0.98,
    ):
        super().__init__()
        if not isinstance(scale, str) and not 0 < scale < math.inf:
            raise ValueError(f"scale must be positive and finite, or optimal, learned or per_pixel, got {scale}")
        for name, value in {"initial_scale": initial_scale, "minimum_scale": minimum_scale}.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if not 0 <= averaging < 1:
            raise ValueError(f"averaging must lie in [0, 1), got {averaging}")
        if scale == "per_pixel" and initial_scale <= minimum_scale:
            raise ValueError(f"initial_scale must be above minimum_scale, {minimum_scale}, got {initial_scale}")
        self.mode = scale if isinstance(scale, str) else "fixed"
        self.minimum_scale = minimum_scale
        self.averaging = averaging
        if self.mode == "learned":
            self.log_scale = nn.Parameter(torch.tensor(float(initial_scale)).log())
        elif self.mode == "optimal":
            start = torch.tensor(float(initial_scale), dtype=torch.float64)
            self.register_buffer(self.statistic, self._statistic_of(start).float())
            self.register_buffer("num_updates", torch.tensor(0.0))
        elif self.mode == "per_pixel":
            self._start = _before_softplus(initial_scale - minimum_scale)
            self.beside_mean = "the scale of each pixel"
        else:
            self.fixed_scale = float(scale)

    def forward(
        self, decoded: Float[Tensor, "*KB C2 H W"], target: Float[Tensor, "B C H W"] | None = None
    ) -> Distribution:
        decoded = at_least_float32(decoded)
        if self.mode == "per_pixel":
            logits, wide = decoded.chunk(2, -3)
            return self._images(torch.sigmoid(logits), self.minimum_scale + softplus(wide + self._start))
        loc = torch.sigmoid(decoded)
        return self._images(loc, self._scale(loc, target))

    def decoder_output(self, mean: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*B C2 H W"]:
        """What the decoder must give for the likelihood to have this mean, and of each pixel the scale of the start."""
        logits = clamped_logit(mean)
        return torch.cat([logits, torch.zeros_like(logits)], -3) if self.mode == "per_pixel" else logits

    def decoder_shape(self, image_shape: Shape) -> Shape:
        """Two values a pixel and channel where each has its scale, else one."""
        channels, height, width = image_shape
        return (2 * channels if self.mode == "per_pixel" else channels), height, width

    @abstractmethod
    def _images(self, loc: Float[Tensor, "*KB C H W"], scale: Tensor | float) -> Distribution:
        """The distribution of images about a mean image, with a scale or with one for each pixel."""

    @abstractmethod
    def _statistic_of(self, error: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """What of pixels' distances from their mean the scale follows from that makes them most likely."""

    @abstractmethod
    def _scale_of(self, statistic: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The scale that follows from it."""

    def _scale(self, loc: Tensor, target: Tensor | None) -> Tensor | float:
        if self.mode == "fixed":
            return self.fixed_scale
        if self.mode == "learned":
            return self.log_scale.exp().clamp_min(self.minimum_scale)
        average: Tensor = getattr(self, self.statistic)
        found = average
        if self.training and target is not None:
            # At the optimum the derivative with respect to the scale is zero, so detaching it changes no gradient.
            found = mean_over_ranks(self._statistic_of(loc.detach() - target))
            self._update(average, found)
        return self._scale_of(found).clamp_min(self.minimum_scale)

    @torch.no_grad()
    def _update(self, average: Tensor, found: Tensor) -> None:
        self.num_updates += 1
        # A plain mean over the first updates, so that the start value has no say.
        weight = torch.clamp(1 / self.num_updates, min=1 - self.averaging)
        average.lerp_(found, weight)


def _before_softplus(value: float) -> float:
    """What softplus makes `value` of, log(exp(value) - 1), of any size."""
    return value + math.log(-math.expm1(-value))
