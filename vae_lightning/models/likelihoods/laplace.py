"""p(x|z) as a Laplace distribution of each pixel, with one scale for all or one for each."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace

from vae_lightning.models.likelihoods.location_scale import LocationScale


class LaplaceLikelihood(LocationScale):
    """p(x|z) = prod_i exp(-|x_i - sigmoid(decoder(z))_i| / scale) / (2 scale): the absolute error as a likelihood.

    Its mean image is the median of each pixel, too, which outliers move less than a Gaussian's. The optimal scale is
    the mean absolute error, of which `deviation` is the running average. The choices of `scale` are those of
    `LocationScale`; the standard deviation is sqrt(2) times the scale.
    """

    statistic: ClassVar[str] = "deviation"
    deviation: Tensor

    def _images(self, loc: Float[Tensor, "*KB C H W"], scale: Tensor | float) -> Distribution:
        scale = torch.as_tensor(scale, dtype=loc.dtype, device=loc.device).expand_as(loc)
        return Independent(Laplace(loc, scale, validate_args=False), 3, validate_args=False)

    def _statistic_of(self, error: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        return error.abs().mean()

    def _scale_of(self, statistic: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return statistic
