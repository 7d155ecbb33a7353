"""p(x|z) as a normal distribution of each pixel, with one scale for all or one for each."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from vae_lightning.models.distributions import normal_image
from vae_lightning.models.likelihoods.location_scale import LocationScale


class GaussianLikelihood(LocationScale):
    """p(x|z) = N(x; sigmoid(decoder(z)), scale^2 I); with one scale for all pixels the default for colour images.

    The optimal scale is the root mean squared error, and `variance` the running average of its square. The choices of
    `scale` are those of `LocationScale`.
    """

    statistic: ClassVar[str] = "variance"
    variance: Tensor

    def _images(self, loc: Float[Tensor, "*KB C H W"], scale: Tensor | float) -> Distribution:
        return normal_image(loc, scale)

    def _statistic_of(self, error: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        return error.square().mean()

    def _scale_of(self, statistic: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return statistic.sqrt()
